"""How connections end, and what clients are told of it.

Source: realtime contract §1.3 and §1.5. A session outlives its connection, unless the client
says goodbye, its time is over, somebody closes it, or we have a mistake.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import WSCloseCode, web

from gateway.garbage import forget_frames
from gateway.ids import event_id
from gateway.realtime.codec import encode
from gateway.realtime.refusals import SERVER_ERROR, Refusal
from gateway.realtime.server_events import Error

AUTH_CLOSE = 3000
RESTART_CLOSE = 1012
"""Clients that can reconnect do so at once."""
RESTART_FRAME = RESTART_CLOSE.to_bytes(2, "big") + b"service restart"
SAID_GOODBYE = {WSCloseCode.OK, WSCloseCode.GOING_AWAY, 1005}
"""Codes of a client that has done what it wanted; 1005 is that of none."""
_GOODBYE_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may last, in seconds."""

    session_s: float
    stt_idle_s: float
    words_s: float
    """From the end of an utterance to its words."""


class Ending(Exception):
    """Why a connection ends."""

    reason = "failed"
    """As metrics, logs and history have it."""
    is_last = True
    """Whether the session ends with it."""


class ClientLeft(Ending):
    """The client closed its WebSocket, or is not there any more."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(code)
        self.is_last = code in SAID_GOODBYE
        self.reason = "client_left" if self.is_last else "connection_lost"


class Expired(Ending):
    """The session has lasted as long as it may."""

    reason = "expired"


class Slow(Ending):
    """The client does not read what we send."""

    reason, is_last = "slow_client", False


class Moved(Ending):
    """Another gateway serves the session."""

    reason, is_last = "moved", False


class Superseded(Ending):
    """Another connection to this gateway serves the session."""

    reason, is_last = "moved", False


class Drained(Ending):
    """This process ends; another gateway will serve the session."""

    reason, is_last = "drain", False


class Closed(Ending):
    """Somebody else ended the session."""

    reason = "closed"


class Revoked(Ending):
    """The API key that opened the session is no longer let in."""

    reason = "revoked"


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last words on a connection."""

    code: int
    why: str
    refusal: Refusal | None = None
    """An error event that comes first."""


def goodbye(why: Ending, session_id: str, session_s: float) -> Goodbye | None:
    """What the client is told of it; None if it does not listen.

    Args:
        session_s: How long a session may last.
    """
    match why:
        case Expired():
            sentence = f"Your session hit the maximum duration of {round(session_s / 60)} minutes."
            return Goodbye(WSCloseCode.GOING_AWAY, sentence, Refusal("session_expired", sentence))
        case Moved() | Superseded() | Drained() | Closed() | Revoked():
            return _PLAIN[type(why)]
        case ClientLeft() | Slow():
            return None
        case _:
            return _broken(session_id)


REVOKED = Goodbye(
    AUTH_CLOSE,
    "authentication_error.api_key_revoked",
    Refusal(
        "api_key_revoked",
        "The API key that opened this session has been revoked.",
        type="authentication_error",
    ),
)
_PLAIN: dict[type[Ending], Goodbye] = {
    Superseded: Goodbye(RESTART_CLOSE, "the session is served elsewhere"),
    Moved: Goodbye(RESTART_CLOSE, "the session is served elsewhere"),
    Drained: Goodbye(RESTART_CLOSE, "service restart"),
    Closed: Goodbye(WSCloseCode.OK, "the session was closed"),
    Revoked: REVOKED,
}


def _broken(session_id: str) -> Goodbye:
    sentence = (
        "The server had an error while processing your request. Sorry about that! "
        f"(include session ID in your message: {session_id}). "
        "We recommend you retry your request."
    )
    refusal = Refusal(None, sentence, type=SERVER_ERROR)
    return Goodbye(WSCloseCode.INTERNAL_ERROR, SERVER_ERROR, refusal)


def found_in(group: BaseExceptionGroup[BaseException]) -> Ending:
    """Why a connection ends whose tasks failed. Anything but an Ending is a mistake of ours, and
    ends this session and no other."""
    found = list(_leaves(group))
    endings = [error for error in found if isinstance(error, Ending)]
    if len(endings) < len(found):
        log.error("session failed", exc_info=group)
    forget_frames(group)
    return endings[0] if endings else Ending()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from _leaves(inner)


async def say(ws: web.WebSocketResponse, last: Goodbye) -> None:
    """One error event, if there is something wrong, then the end of the connection."""
    try:
        async with asyncio.timeout(_GOODBYE_S):
            if last.refusal is not None:
                await ws.send_str(encode(Error.of(last.refusal), event_id()).decode())
            await ws.close(code=last.code, message=last.why.encode())
    except (ConnectionError, TimeoutError):
        return  # it is not there, or does not read
