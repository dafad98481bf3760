"""The sidebands of one session, as its owner sees them.

They hear every event of the session but audio, no sooner than its client, and what they say
counts as what the client says. They always speak GA. An error goes to who caused it alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from gateway.ids import event_id
from gateway.notices import (
    CROWDED,
    ENDED,
    MOVED,
    SLOW,
    Join,
    Left,
    Notice,
    Over,
    Said,
    Stay,
    Told,
    ToOwner,
)
from gateway.realtime import client_events as ce
from gateway.realtime.codec import encode
from gateway.realtime.dialects import Ga
from gateway.realtime.refusals import SERVER_ERROR, Refusal
from gateway.realtime.server_events import AudioDelta, Error, ServerEvent
from gateway.sessions.journal import OfSideband

MOST = 8
"""Sidebands of a session."""
MOST_TOLD = 1 << 20
"""Bytes of an event; of a longer one, sidebands are only told that there was one."""
SILENT_S = 15.0
"""A sideband whose gateway has not spoken of it for so long is gone."""
_MOST_UNHEARD = 8 << 20  # bytes that were said and not heard yet, of all sidebands

NO_AUDIO = Refusal(
    "invalid_value",
    "A sideband cannot append audio: the session has one microphone, that of its own client.",
    "type",
)


class Host(Protocol):
    """The session's connection."""

    def welcome(self, sideband_id: str) -> None:
        """Tell a new sideband what the session is, after what its client waits for."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do something beside everything else."""

    async def said(self, event: ce.ClientEvent, raw: OfSideband, sideband_id: str) -> None:
        """A sideband's event."""

    async def room(self) -> None:
        """Wait while much waits to be told."""


def read(ga: Ga, message: str | bytes) -> ce.ClientEvent:
    """What a sideband says. What it may not say comes back as a Refusal."""
    event = ga.decode(message)
    return NO_AUDIO.of(event.event_id) if isinstance(event, ce.AppendAudio) else event


@dataclass(slots=True)
class _Member:
    gateway_id: str
    heard_s: float
    is_listening: bool = False


class Audience:
    __slots__ = ("_ga", "_members", "_n_unheard", "_post", "_said", "_session_id", "_tenant")

    def __init__(
        self, session_id: str, tenant: str, ga: Ga, post: Callable[[str, Notice], None]
    ) -> None:
        """
        Args:
            post: Tells a gateway something.
        """
        self._session_id, self._tenant, self._ga, self._post = session_id, tenant, ga, post
        self._members: dict[str, _Member] = {}
        self._said: deque[Said] | None = None  # None: nobody attends to it
        self._n_unheard = 0

    def __bool__(self) -> bool:
        return bool(self._members)

    def hear(self, sender: str, notice: ToOwner, host: Host) -> bool:
        """Something of a sideband.

        Args:
            sender: The gateway that has it.

        Returns:
            Whether it is one of this session: there is no other way to learn so.
        """
        if notice.tenant != self._tenant:
            return False
        if isinstance(notice, Join):
            self._join(sender, notice, host)
            return True
        member = self._members.get(notice.sideband_id)
        if member is None or member.gateway_id != sender:
            return isinstance(notice, Left)
        member.heard_s = time.monotonic()
        match notice:
            case Said():
                self._hear(notice, host)
            case Left():
                del self._members[notice.sideband_id]
            case Stay():
                pass
            case _:
                assert_never(notice)
        return True

    def tell(self, event: ServerEvent, new_event_id: Callable[[], str], to: str = "") -> None:
        """What the client has been told just now.

        Args:
            to: The only sideband that hears it, and from now on all the rest.
        """
        if not self._members or isinstance(event, AudioDelta):
            return
        if to in self._members:
            self._members[to].is_listening = True
        gateways = self._listening(to)
        for message in self._ga.encode(event, new_event_id) if gateways else ():
            told = message if len(message) <= MOST_TOLD else _too_large(event)
            for gateway_id, ids in gateways.items():
                self._post(gateway_id, Told(self._session_id, ids, told))

    def _listening(self, to: str) -> dict[str, list[str]]:
        """By gateway."""
        self._forget_silent()
        gateways: dict[str, list[str]] = {}
        for sideband_id, member in self._members.items():
            if sideband_id == to or (member.is_listening and not to):
                gateways.setdefault(member.gateway_id, []).append(sideband_id)
        return gateways

    def end(self, *, is_last: bool) -> None:
        """There is nothing more to hear.

        Args:
            is_last: Whether the session ends; else it goes on elsewhere.
        """
        for sideband_id in list(self._members):
            self._dismiss(sideband_id, ENDED if is_last else MOVED)

    def deaf(self, gateway_id: str) -> None:
        """Something that a gateway said never came."""
        for sideband_id, member in list(self._members.items()):
            if member.gateway_id == gateway_id:
                self._dismiss(sideband_id, MOVED)

    def _join(self, sender: str, join: Join, host: Host) -> None:
        self._forget_silent()
        if join.sideband_id not in self._members and len(self._members) >= MOST:
            self._post(sender, Over(self._session_id, [join.sideband_id], CROWDED))
            return
        self._members[join.sideband_id] = _Member(sender, time.monotonic())
        host.welcome(join.sideband_id)

    def _hear(self, said: Said, host: Host) -> None:
        self._n_unheard += len(said.message)
        if self._n_unheard > _MOST_UNHEARD:
            self._n_unheard -= len(said.message)
            return self._dismiss(said.sideband_id, SLOW)
        if self._said is not None:
            return self._said.append(said)
        self._said = deque([said])
        host.start(self._attend(self._said, host), "sidebands")

    async def _attend(self, waiting: deque[Said], host: Host) -> None:
        while waiting:
            said = waiting.popleft()
            self._n_unheard -= len(said.message)
            event = read(self._ga, said.message)
            await host.said(event, OfSideband(said.message), said.sideband_id)
            await host.room()
        self._said = None

    def _dismiss(self, sideband_id: str, why: str) -> None:
        member = self._members.pop(sideband_id)
        self._post(member.gateway_id, Over(self._session_id, [sideband_id], why))

    def _forget_silent(self) -> None:
        before_s = time.monotonic() - SILENT_S
        for sideband_id, member in list(self._members.items()):
            if member.heard_s < before_s:
                del self._members[sideband_id]


def refused(refusal: Refusal) -> bytes:
    """How a sideband is told what is wrong."""
    return encode(Error.of(refusal), event_id())


def _too_large(event: ServerEvent) -> bytes:
    name = type(event).__struct_config__.tag
    message = f"An event of the session is too large to be told here: {name}."
    return refused(Refusal("event_too_large", message, type=SERVER_ERROR))
