"""One reply: think, and speak what is thought, both at once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from gateway.backends import Backends, Sound, Speech
from gateway.pacer import Track, Wheel
from gateway.queued_turns import TurnQueue
from gateway.realtime import signals as sig
from gateway.realtime.effects import Begun, StartReply
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
    queue: TurnQueue | None = None
    """Where utterances wait that cannot be recognised now."""


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

    begun = start.begun or _ANEW
    skip = begun.sent_bytes
    track = Track(stage.wheel, send, stage.lead_s)
    stage.wheel.join(track)
    try:
        async for sound in speech:
            if isinstance(sound, sig.ReplyAudio):
                pcm, skip = sound.pcm[skip:], max(0, skip - len(sound.pcm))
                await track.add(pcm)
            else:
                audience.take(_later(sound, begun))
        await track.drain()
    finally:
        stage.wheel.leave(track)


_ANEW = Begun("", 0, 0, 0, None)


def _later(sound: Sound, begun: Begun) -> Sound:
    """What a voice says that began in the middle of a reply: it counts from there."""
    if not isinstance(sound, sig.ReplyTiming) or not begun.from_char:
        return sound
    by_char, by_ms = begun.from_char, begun.from_ms
    words = tuple((end_char + by_char, end_ms + by_ms) for end_char, end_ms in sound.words)
    piece = sound.piece and (sound.piece[0] + by_char, sound.piece[1] + by_ms)
    return sig.ReplyTiming(sound.response_id, words, piece)
