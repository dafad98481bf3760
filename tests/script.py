"""Scripts for the Realtime core: inputs go in, effects come out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import server_events as ev
from gateway.realtime import signals as sig
from gateway.realtime.codec import decode, encode
from gateway.realtime.identity import Identity
from gateway.realtime.session import Session
from gateway.realtime.settings import Kind, Settings
from tests import wire

Event = dict[str, Any]


class Script:
    """A session whose ids are counted, with a short way to write inputs.

    Every server event goes through the codec and the published types.
    """

    def __init__(
        self, settings: Settings | None = None, *, kind: Kind = "realtime", **options: Any
    ) -> None:
        numbers = itertools.count(1)
        self.session = Session(
            Identity("sess_1", "gpt-realtime", 1_790_003_600, kind),
            new_id=lambda prefix: f"{prefix}_{next(numbers)}",
            settings=settings,
            **options,
        )  # takes conv_1
        self._events = itertools.count(1)

    def take(self, given: ce.ClientEvent | sig.Signal) -> list[do.Effect]:
        effects = self.session.receive(given)
        self.sent(effects)
        return effects

    def send(self, type_: str, **fields: Any) -> list[do.Effect]:
        """An event of the client, through the codec."""
        return self.take(decode(json.dumps({"type": type_, **fields})))

    def says(self, type_: str, **fields: Any) -> list[Event]:
        """What the client hears when it sends this."""
        return self.sent(self.send(type_, **fields))

    def hears(self, *given: ce.ClientEvent | sig.Signal) -> list[Event]:
        """What the client hears of these inputs."""
        return [event for one in given for event in self.sent(self.take(one))]

    def error(self, type_: str, **fields: Any) -> Event:
        """The error that this event is answered with, and with nothing else."""
        effects = self.send(type_, event_id="evt_x", **fields)
        [event] = self.sent(effects)
        assert len(effects) == 1
        assert event["type"] == "error"
        assert event["error"]["event_id"] == "evt_x"
        return event["error"]

    def sent(self, effects: Iterable[do.Effect]) -> list[Event]:
        """The server events among effects, as a client reads them."""
        return [
            wire.check(json.loads(encode(event, f"event_{next(self._events)}")))
            for effect in effects
            if (event := event_of(effect)) is not None
        ]

    # Whole steps that many scripts need.

    def user_says(self, text: str, **fields: Any) -> str:
        """A written user message; returns the item's id."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, **fields}
        return str(self.says("conversation.item.create", item=item)[0]["item"]["id"])

    def utterance(self, name: str = "u1", words: str | None = "hello") -> list[do.Effect]:
        """A spoken turn, found by detection; without words they are still to come."""
        effects = self.take(sig.SpeechStarted(name, 100))
        effects += self.take(sig.SpeechStopped(name, 900))
        if words is not None:
            effects += self.take(sig.Transcribed(name, words, 800))
        return effects

    def respond(self, **wanted: Any) -> str:
        """Start a response; returns its id."""
        created = self.says("response.create", response=wanted)[0]
        assert created["type"] == "response.created", created
        return str(created["response"]["id"])


def event_of(effect: do.Effect) -> ev.ServerEvent | None:
    """What the client is sent; no limits apply to it."""
    if isinstance(effect, do.TellLimits):
        return ev.RateLimitsUpdated(())
    return effect.event if isinstance(effect, do.Send) else None


def types(events: Iterable[Event]) -> list[str]:
    return [event["type"] for event in events]


def only(effects: Iterable[do.Effect], kind: type) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def pcm(ms: int) -> bytes:
    """Audio of that length (PCM16 LE mono 24 kHz)."""
    return b"\x01\x02" * (24 * ms)
