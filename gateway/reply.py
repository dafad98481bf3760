"""One reply: think, and speak what is thought, both at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway import metrics
from gateway.aloud import Aloud
from gateway.backends import Backends, Thought, TurnQueue
from gateway.pacer import Wheel
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from gateway.realtime.refusals import CLIENT_ERROR, SERVER_ERROR
from gateway.told import told
from mesh.errors import MeshError, Rejected, first_of

_TYPES = {
    "insufficient_quota": "insufficient_quota",
    "rate_limit_exceeded": "rate_limit_error",
    "context_length_exceeded": CLIENT_ERROR,
}
"""Of codes that say whose fault it was, the type that clients know."""

Ask = Callable[[StartReply], AbstractAsyncContextManager[AsyncIterator[Thought]]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where replies are made: what all of a process need."""

    backends: Backends
    wheel: Wheel
    lead_s: float
    apology: str = ""
    """What is said instead of an answer when there is no model; empty is nothing."""
    queue: TurnQueue | None = None
    """Where utterances wait that cannot be recognised now."""
    speculates: bool = False
    """Whether a model is asked before the user has ended."""
    ask: Ask | None = None
    """Asks the model, instead of the backends."""


Ended = sig.ReplyEnded | sig.ReplyFailed


class Audience(Protocol):
    """Who a reply is for."""

    def take(self, signal: sig.Signal) -> None:
        """Hear of the reply, now."""

    async def room(self) -> None:
        """Wait until the client has read enough."""


async def run(start: StartReply, stage: Stage, audience: Audience) -> None:
    """Run one reply to its end, reporting as it goes. Cancel the task to stop it."""
    if start.voice is None:
        ended = await _think(start, stage, audience, None)
    else:
        ended = await _think_aloud(start, stage, audience)
    audience.take(ended)


async def _think_aloud(start: StartReply, stage: Stage, audience: Audience) -> Ended:
    begun = start.begun
    if begun and begun.ended and not begun.text[begun.from_char :].strip():
        return begun.ended
    aloud = Aloud(start, stage.backends, audience.take, wheel=stage.wheel, lead_s=stage.lead_s)
    async with asyncio.TaskGroup() as tasks:
        thinking = tasks.create_task(_think(start, stage, audience, aloud), name="think")
        speaking = tasks.create_task(aloud.run(), name="speak")
        await asyncio.wait({thinking})  # so that both are stopped at once
        if not aloud.has_words:
            speaking.cancel()  # calls do not wait for a voice that has nothing to say
    return thinking.result()


async def _think(start: StartReply, stage: Stage, audience: Audience, aloud: Aloud | None) -> Ended:
    begun = start.begun
    if begun is not None and aloud is not None and (rest := begun.text[begun.from_char :]):
        await aloud.say(rest)
    if begun is not None and begun.ended is not None:
        return await _thought(begun.ended, audience, aloud)
    is_silent = begun is None or not begun.text
    try:
        async with (stage.ask or stage.backends.think)(start) as thoughts:
            ended = sig.ReplyEnded(start.response_id, sig.Tokens())
            async for thought in thoughts:
                if isinstance(thought, sig.ReplyEnded):
                    ended = thought
                    continue
                is_silent = False
                audience.take(thought)
                if aloud is not None and isinstance(thought, sig.ReplyText):
                    await aloud.say(thought.delta)
                await audience.room()
            return await _thought(ended, audience, aloud)
    except* MeshError as errors:
        error = first_of(errors)
    failed = _failed(start, error)
    is_outage = not isinstance(error, Rejected) and failed.type != CLIENT_ERROR
    if is_outage:
        metrics.DEGRADED_REPLIES.labels("no_llm").inc()
    return await _thought(failed, audience, aloud, stage.apology * (is_silent and is_outage))


async def _thought(
    ended: Ended, audience: Audience, aloud: Aloud | None, notice: str = ""
) -> Ended:
    """The model has ended. What it said, or the notice if it could not, is still spoken."""
    if aloud is None:
        return ended
    if isinstance(ended, sig.ReplyEnded):
        audience.take(sig.ReplyThought(ended.response_id, ended))
    elif notice or aloud.has_words:
        audience.take(sig.ReplyFailing(ended.response_id, ended, notice))
    if notice:
        await aloud.say(notice)
    await aloud.finish()
    return ended


def _failed(start: StartReply, error: MeshError) -> sig.ReplyFailed:
    code = error.code or f"{error.tier or 'mesh'}_{error.status.name.lower()}"
    about = {"response_id": start.response_id, "code": code, "reason": error.detail}
    log.warning("reply failed", extra=about)
    return sig.ReplyFailed(start.response_id, code, told(error), _TYPES.get(code, SERVER_ERROR))
