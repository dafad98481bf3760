"""A session that is told things, and what is kept of that."""

from __future__ import annotations

import base64
import json
from typing import Any

from gateway.ids import Ids
from gateway.realtime import effects as do
from gateway.realtime.client_events import ClientEvent
from gateway.realtime.dialects import Ga
from gateway.realtime.effects import Effect
from gateway.realtime.identity import Identity
from gateway.realtime.server_events import AudioDelta, ServerEvent
from gateway.realtime.session import Session
from gateway.realtime.settings import Kind
from gateway.realtime.signals import Signal
from gateway.realtime.snapshot import Saved
from gateway.sessions.journal import Input, Journal, Opened
from gateway.sessions.resume import state_of
from gateway.sessions.store import Meta

META = Meta("acme", "hash", "gpt-realtime", 4_000_000_000, "conv_1")
SEED = b"0123456789abcdef"


def open_session(saved: Saved, ids: Ids) -> Session:
    return Session(saved.identity, new_id=ids, settings=saved.default, kept_ms=3000)


class Told:
    """`said` is every event of the session, and `ids` the id of each."""

    def __init__(self, session_id: str = "sess_1", kind: Kind = "realtime") -> None:
        self.ids_of = Ids(SEED)
        identity = Identity(session_id, META.model, META.expires_at_s, kind)
        self.session = Session(identity, new_id=self.ids_of, kept_ms=3000)
        self.journal = Journal(self.session)
        state = state_of(self.session, self.ids_of, 0)
        assert state is not None
        self.state, self.first, self.seq = state, 0, 0
        """A snapshot, how many entries came before it, and how many events."""
        self.said: list[ServerEvent] = []
        self.ids: list[str] = []
        self.effects: list[Effect] = []
        self.after = 0
        """How much has to be kept of what was told last."""

    def opened(self) -> Told:
        self.give(Opened())
        return self

    def give(self, event: Input, raw: str = "") -> list[Effect]:
        session = self.session
        effects = session.open() if isinstance(event, Opened) else session.receive(event)
        self.after = self.note(event, effects, raw)
        for effect in effects:
            if isinstance(effect, do.Send):
                self.said.append(effect.event)
                self.ids.append(self.journal.stamp(effect.event))
        self.effects += effects
        return effects

    def note(self, event: Input, effects: list[Effect], raw: str) -> int:
        return self.journal.note(event, effects, raw)

    def signals(self, *signals: Signal) -> list[Effect]:
        return [effect for signal in signals for effect in self.give(signal)]

    def send(self, type_: str, **fields: Any) -> list[Effect]:
        """A client's event, through the codec."""
        raw = json.dumps({"type": type_, **fields})
        event: ClientEvent = Ga().decode(raw)
        return self.give(event, raw)

    def append(self, pcm: bytes) -> list[Effect]:
        return self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    def item(self, **item: Any) -> list[Effect]:
        return self.send("conversation.item.create", item=item)

    def user(self, text: str) -> list[Effect]:
        content = [{"type": "input_text", "text": text}]
        return self.item(type="message", role="user", content=content)

    def respond(self, **wanted: Any) -> str:
        """Starts a response; its id."""
        effects = self.send("response.create", response=wanted)
        [start] = [effect for effect in effects if isinstance(effect, do.StartReply)]
        return start.response_id

    def snapshot(self) -> None:
        """What a gateway does now and then when nothing runs."""
        self.journal.settle()
        self.journal.take()
        state = state_of(self.session, self.ids_of, self.journal.seq)
        assert state is not None, "something runs"
        self.state, self.first, self.seq = state, self.journal.next, self.journal.seq

    @property
    def counted(self) -> list[tuple[int, ServerEvent]]:
        """The events that have a number."""
        told = [event for event in self.said if not isinstance(event, AudioDelta)]
        return list(enumerate(told, start=1))
