"""One reply: think, and speak what is thought, both at once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from gateway.backends import Backends, Speech
from gateway.pacer import Track, Wheel
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from gateway.realtime.refusals import CLIENT_ERROR, SERVER_ERROR
from gateway.told import told
from mesh.errors import MeshError, first_of

_TYPES = {
    "insufficient_quota": "insufficient_quota",
    "rate_limit_exceeded": "rate_limit_error",
    "context_length_exceeded": CLIENT_ERROR,
}
"""Of codes that say whose fault it was, the type that clients know."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where replies are made: what all of a process need."""

    backends: Backends
    wheel: Wheel
    lead_s: float


class Audience(Protocol):
    """Who a reply is for."""

    def take(self, signal: sig.Signal) -> None:
        """Hear of the reply, now."""

    async def room(self) -> None:
        """Wait until the client has read enough."""


async def run(start: StartReply, stage: Stage, audience: Audience) -> None:
    """Run one reply to its end, reporting as it goes. Cancel the task to stop it."""
    try:
        if start.voice is None:
            ended = await _think(start, stage, audience, None)
        else:
            ended = await _think_aloud(start, stage, audience)
    except* MeshError as failed:
        error = first_of(failed)
        code = error.code or f"{error.tier or 'mesh'}_{error.status.name.lower()}"
        about = {"response_id": start.response_id, "code": code, "reason": error.detail}
        log.warning("reply failed", extra=about)
        type_ = _TYPES.get(code, SERVER_ERROR)
        audience.take(sig.ReplyFailed(start.response_id, code, told(error), type_))
    else:
        audience.take(ended)


async def _think_aloud(start: StartReply, stage: Stage, audience: Audience) -> sig.ReplyEnded:
    begun = start.begun
    if begun and begun.ended and not begun.text[begun.from_char :].strip():
        return begun.ended
    async with stage.backends.speak(start) as speech, asyncio.TaskGroup() as tasks:
        thinking = tasks.create_task(_think(start, stage, audience, speech), name="think")
        tasks.create_task(_speak(start, stage, audience, speech), name="speak")
    return thinking.result()


async def _think(
    start: StartReply, stage: Stage, audience: Audience, speech: Speech | None
) -> sig.ReplyEnded:
    ended = sig.ReplyEnded(start.response_id, sig.Tokens())
    if (begun := start.begun) is not None:
        if speech is not None and (rest := begun.text[begun.from_char :]):
            await speech.say(rest)
        if begun.ended is not None:
            return await _thought(begun.ended, audience, speech)
    async with stage.backends.think(start) as thoughts:
        async for thought in thoughts:
            if isinstance(thought, sig.ReplyEnded):
                ended = thought
                continue
            audience.take(thought)
            if speech is not None and isinstance(thought, sig.ReplyText):
                await speech.say(thought.delta)
            await audience.room()
        return await _thought(ended, audience, speech)


async def _thought(
    ended: sig.ReplyEnded, audience: Audience, speech: Speech | None
) -> sig.ReplyEnded:
    """The model has ended: what it said is still spoken."""
    if speech is not None:
        audience.take(sig.ReplyThought(ended.response_id, ended))
        await speech.finish()
    return ended


async def _speak(start: StartReply, stage: Stage, audience: Audience, speech: Speech) -> None:
    def send(frame: bytes) -> None:
        audience.take(sig.ReplyAudio(start.response_id, frame))

    track = Track(stage.wheel, send, stage.lead_s)
    stage.wheel.join(track)
    try:
        async with aclosing(aiter(speech)) as sounds:  # stops synthesis while thinking stops, too
            async for sound in sounds:
                if isinstance(sound, sig.ReplyAudio):
                    await track.add(sound.pcm)
                else:
                    audience.take(sound)
        await track.drain()
    finally:
        stage.wheel.leave(track)
