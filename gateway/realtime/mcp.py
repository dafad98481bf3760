"""The MCP servers of a session: what tools they have, and calls that the user has to approve.

Source: realtime contract §6.8, transcript §12.12. The tools of a server are known as long as
its `mcp_list_tools` item is in the conversation. Choices, where the contract leaves them:

* A server that cannot be listed gets `conversation.item.done` without tools, then
  `mcp_list_tools.failed` and an `error` that says why. It is asked again when the client
  sends `tools` again or deletes the item. Responses go on without it.
* A server that a response names in its own `tools` stays known to the session.
* Another url, secret or `allowed_tools` makes another server: it is listed anew.
* A call that was approved runs outside of responses: its item is added behind the approval,
  and its events have `output_index` 0. Responses wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET

from . import effects as do
from . import server_events as ev
from . import signals as sig
from .calls import called, unknown_end
from .conversation import Conversation, Entry, NewId
from .effects import Effect
from .items import McpApprovalRequest, McpApprovalResponse, McpCall, McpTools
from .mcp_listing import Asked, Listing, SavedAsked, SavedListing, SavedServers, key, tool, why
from .mcp_tools import Bound, Listed, Offer, allowed, offer
from .refusals import refuse
from .settings import McpTool, Settings

MOST_SERVERS = 16  # of one session or response
MAX_LIST = 640 << 10  # bytes of one server's tools as JSON: clients take frames of 1 MiB
MAX_LISTED = 8 << 20  # bytes of all that a session ever listed
UNANSWERED = "The user has not approved this call yet."
DENIED = "The user did not approve this call."


class Servers:
    """The servers by what tells them apart. Late news of those that were forgotten is ignored."""

    __slots__ = (
        "_answered", "_asked", "_calls", "_conversation", "_known", "_new_id",
        "_of_session", "_room",
    )  # fmt: skip

    def __init__(self, conversation: Conversation, new_id: NewId) -> None:
        self._conversation, self._new_id = conversation, new_id
        self._known: dict[bytes, Listing] = {}
        self._of_session: tuple[McpTool, ...] = ()
        self._asked: dict[str, Asked] = {}  # by approval request
        self._answered: tuple[str, ...] = ()
        self._calls: dict[str, Entry] = {}  # approved, running
        self._room = MAX_LISTED

    def check(self, servers: Sequence[McpTool], param: str) -> None:
        """
        Raises:
            Refused: they are too many, or the conversation has no room for their lists.
        """
        if len(servers) > MOST_SERVERS:
            message = f"At most {MOST_SERVERS} MCP servers can be used at a time."
            raise refuse("invalid_value", message, param)
        if any(key(server) not in self._known for server in servers):
            self._conversation.place(None)

    def configure(self, servers: tuple[McpTool, ...], *, again: bool) -> list[Effect]:
        """The session has these servers from now on.

        Args:
            again: Ask those that failed once more.
        """
        keys = {key(server) for server in servers}
        effects: list[Effect] = []
        for name, known in list(self._known.items()):
            if name in keys:
                known.of_session = True
            elif known.of_session:
                effects += self._forget(name)
        labels = {server.server_label for server in servers}
        gone = {server.server_label for server in self._of_session} - labels
        self._asked = {
            request: asked
            for request, asked in self._asked.items()
            if asked.bound.server.server_label not in gone
        }
        self._of_session = servers
        return [*effects, *self._list(servers, of_session=True, again=again)]

    def use(self, servers: Iterable[McpTool], *, again: bool) -> list[Effect]:
        """A response needs these servers: ask those that were not asked."""
        return self._list(servers, of_session=False, again=again)

    def lists(self, servers: Iterable[McpTool]) -> list[Entry]:
        """The items with the tools of these servers."""
        known = (self._known.get(key(server)) for server in servers)
        return [listing.entry for listing in known if listing]

    def offer(self, settings: Settings) -> Offer:
        """What a response with these settings can call."""
        listed: dict[str, Listed] = {}
        for server in settings.servers:
            known = self._known.get(key(server))
            if known and known.tools:
                listed[server.server_label] = known.tools
        return offer(settings, listed)

    def receive(self, news: sig.Mcp) -> list[Effect]:
        match news:
            case sig.ToolsListed() | sig.ToolsNotListed():
                return self._listed(news)
            case sig.ToolReturned() | sig.ToolFailed():
                entry = self._calls.pop(news.item_id, None)
                return [] if entry is None else self._called(entry, news)

    def _list(self, servers: Iterable[McpTool], *, of_session: bool, again: bool) -> list[Effect]:
        effects: list[Effect] = []
        for server in servers:
            name = key(server)
            known = self._known.get(name)
            if known and not (again and known.failed):
                continue
            entry = Entry(McpTools(self._new_id("mcpl"), server.server_label), awaited=True)
            self._known[name] = Listing(server, entry, of_session)
            previous = self._conversation.insert(entry)
            effects += [
                do.Send(ev.ItemAdded(previous, entry.item)),
                do.Send(ev.McpListing(entry.item.id)),
                do.ListTools(entry.item.id, server),
            ]
        return effects

    def _listed(self, news: sig.ToolsListed | sig.ToolsNotListed) -> list[Effect]:
        found = (known for known in self._known.values() if known.entry.item.id == news.item_id)
        known = next(found, None)
        if known is None or not known.is_open:
            return []
        if isinstance(news, sig.ToolsNotListed):
            return [*self._not_listed(known), why(known.server, news.message)]
        tools = allowed(known.server, tuple(map(tool, news.tools)))
        size = len(msgspec.json.encode(tools))
        if size > min(MAX_LIST, self._room):
            return [*self._not_listed(known), why(known.server, "Its list is too long.")]
        self._room -= size
        known.tools = tools
        known.entry.change(tools=tools)
        return [*self._done(known.entry), do.Send(ev.McpListed(news.item_id))]

    def _not_listed(self, known: Listing) -> list[Effect]:
        known.failed = True
        return [*self._done(known.entry), do.Send(ev.McpNotListed(known.entry.item.id))]

    def _done(self, entry: Entry) -> list[Effect]:
        entry.awaited = False
        previous = self._conversation.previous_id(entry)
        return [do.Send(ev.ItemDone(previous, entry.item)), do.Record(entry.fact())]

    def _forget(self, name: bytes) -> list[Effect]:
        """The client does not use this server any more. Its item stays."""
        known = self._known.pop(name)
        if not known.is_open:
            return []
        return [do.DropTool(known.entry.item.id), *self._not_listed(known)]

    def deleted(self, entry: Entry) -> list[Effect]:
        """The client deleted an item: what it stood for is gone. Another item, of the client's
        own, may have the same id."""
        item_id = entry.item.id
        asked = self._asked.get(item_id)
        if asked and asked.entry is entry:
            del self._asked[item_id]
        is_work = self._calls.get(item_id) is entry
        if is_work:
            del self._calls[item_id]
        for name, known in list(self._known.items()):
            if known.entry is entry:
                del self._known[name]
                is_work = is_work or known.is_open
        return [do.DropTool(item_id)] if is_work else []

    # Approval.

    def ask(self, entry: Entry, bound: Bound) -> None:
        """The model made a call that the user has to approve."""
        entry.text = UNANSWERED
        self._asked[entry.item.id] = Asked(entry, bound)

    def check_answer(self, answer: McpApprovalResponse) -> None:
        """
        Raises:
            Refused: nothing was asked under that id, or it was answered.
        """
        request_id = answer.approval_request_id
        if request_id in self._asked:
            return
        what = "was already answered" if request_id in self._answered else "not found"
        message = f"Approval request with id '{request_id}' {what}."
        raise refuse("invalid_value", message, "item.approval_request_id")

    def answer(self, answer: McpApprovalResponse, index: int) -> list[Effect]:
        """The user decided.

        Args:
            index: Of the place behind the answer in the conversation.
        """
        request_id = answer.approval_request_id
        asked = self._asked.pop(request_id)
        self._answered += (request_id,)
        if answer.approve:
            asked.entry.text = ""
            return self._call(asked, index)
        reason = "" if answer.reason is UNSET else f" {answer.reason}"
        asked.entry.text = f"{DENIED}{reason}"
        return []

    def _call(self, asked: Asked, index: int) -> list[Effect]:
        request, bound = asked.entry.item, asked.bound
        assert isinstance(request, McpApprovalRequest)
        label = request.server_label
        now = (server for server in self._of_session if server.server_label == label)
        server = next(now, bound.server)  # its secrets may be new
        call_id = self._new_id("mcp")
        call = McpCall(call_id, label, request.name, request.arguments, request.id)
        entry = Entry(call, awaited=True)
        self._calls[call_id] = entry
        previous = self._conversation.insert(entry, index)
        return [
            do.Send(ev.ItemAdded(previous, entry.item)),
            do.Send(ev.McpCalling(call_id, 0)),
            do.CallTool(call_id, server, bound.name, request.arguments),
            *(do.Record(moved.fact()) for moved in self._conversation.moved()),
        ]

    def _called(self, entry: Entry, news: sig.ToolReturned | sig.ToolFailed) -> list[Effect]:
        return [do.Send(called(entry, news, 0)), *self._done(entry)]

    # In another process.

    @property
    def is_quiet(self) -> bool:
        """Whether no call runs that was approved."""
        return not self._calls

    def resumed(self) -> list[Effect]:
        """Ask the servers again that did not answer the last process. What its calls did is not
        known, and they may not be made twice."""
        effects: list[Effect] = []
        for item_id in list(self._calls):
            effects += self.receive(unknown_end(item_id))
        for known in self._known.values():
            if known.is_open:
                effects.append(do.ListTools(known.entry.item.id, known.server))
        return effects

    def saved(self) -> SavedServers:
        index = {id(entry): n for n, entry in enumerate(self._conversation.entries())}
        return SavedServers(
            known=tuple(
                SavedListing(k.server, index[id(k.entry)], k.of_session, k.tools, k.failed)
                for k in self._known.values()
            ),
            of_session=self._of_session,
            asked=tuple(
                SavedAsked(request_id, index[id(asked.entry)], asked.bound)
                for request_id, asked in self._asked.items()
                if id(asked.entry) in index
            ),
            answered=self._answered,
            room=self._room,
        )

    def restore(self, saved: SavedServers) -> None:
        entries = self._conversation.entries()
        for k in saved.known:
            listing = Listing(k.server, entries[k.entry], k.of_session, k.tools, k.failed)
            listing.entry.awaited = listing.is_open
            self._known[key(k.server)] = listing
        self._of_session, self._room = saved.of_session, saved.room
        self._asked = {a.request_id: Asked(entries[a.entry], a.bound) for a in saved.asked}
        self._answered = saved.answered
