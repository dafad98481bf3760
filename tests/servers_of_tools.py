"""Scripts with MCP servers: their lists come when they are asked for, a ledger reads along."""

from __future__ import annotations

from typing import Any

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from tests.ledger import Ledger
from tests.script import Event, Script, only

SECRETS = ("s3cret-token", "s3cret-header")
DOCS: Event = {
    "type": "mcp", "server_label": "docs", "server_url": "https://mcp.example/sse",
    "authorization": SECRETS[0], "headers": {"x-team": SECRETS[1]},
}  # fmt: skip
SEARCH: Event = {
    "name": "search",
    "description": "Search docs",
    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
    "annotations": None,
}
TEXT = {"output_modalities": ["text"]}


class World(Script):
    """A session that writes, with all that came out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[do.Effect] = []
        self.heard: list[Event] = []
        self._ledger = Ledger()
        self._calls = 0
        self._see(self.session.open())
        self.send("session.update", session={"type": "realtime", **TEXT})

    def take(self, given: Any) -> list[do.Effect]:
        effects = self.session.receive(given)
        self._see(effects)
        return effects

    def _see(self, effects: list[do.Effect]) -> None:
        self.effects += effects
        for event in self.sent(effects):
            self._ledger.read(event)
            self.heard.append(event)

    def last(self, type_: str) -> Event:
        return next(event for event in reversed(self.heard) if event["type"] == type_)

    def update(self, *tools: Event) -> list[do.Effect]:
        """The session has these tools from now on."""
        return self.send("session.update", session={"type": "realtime", "tools": list(tools)})

    def listed(self, *tools: Event, has: tuple[Event, ...] = (SEARCH,)) -> str:
        """The session has these tools, and their servers answered; the last list's id."""
        asked = only(self.update(*tools), do.ListTools)
        for one in asked:
            self.take(sig.ToolsListed(one.item_id, has))
        return str(asked[-1].item_id) if asked else ""

    def start(self, **wanted: Any) -> do.StartReply:
        """Start a response that need not wait."""
        [start] = only(self.send("response.create", response=wanted), do.StartReply)
        assert isinstance(start, do.StartReply)
        return start

    @property
    def rid(self) -> str:
        """The response that was created last."""
        return str(self.last("response.created")["response"]["id"])

    def call(self, name: str, arguments: str, call_id: str = "") -> list[do.Effect]:
        """The model calls a tool; its arguments come in two parts."""
        self._calls += 1
        call_id = call_id or f"call_{self._calls}"
        half = len(arguments) // 2
        effects = self.take(sig.ReplyCall(self.rid, call_id, name, arguments[:half]))
        effects += self.take(sig.ReplyCall(self.rid, call_id, name, arguments[half:]))
        return effects + self.take(sig.ReplyCallDone(self.rid, call_id, name, arguments))

    def end(self, incomplete: str | None = None) -> list[do.Effect]:
        """The model ends."""
        return self.take(sig.ReplyEnded(self.rid, sig.Tokens(10, 0, 2), incomplete))
