"""A reply's speech over gRPC: one synthesis stream, opened again elsewhere when it breaks.

What the broken one had not spoken to the end of a piece is said to the next one, and of that the
client hears what it has not heard yet: see `spoken.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress

from gateway.backends import Profile, Sound
from gateway.generation import session_ref
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from gateway.realtime.settings import RATE_HZ
from gateway.recognition import FORMAT
from gateway.spoken import SAMPLE_BYTES, Spoken
from gateway.streams import Dial, Stream
from mesh.errors import Broken, Draining, MeshError, Rejected
from ovos.common.v1 import common_pb2
from ovos.tts.v1 import tts_pb2 as pb

MOST_BROKEN = 3  # workers in a row that break on the same words: they shall not break them all
_CHUNK_MS = 100  # five frames: one at a time, they cost this process a third more
_CREDIT_SAMPLES = 4 * RATE_HZ  # audio that a worker may be ahead of what the client was sent
_GRANT_SAMPLES = RATE_HZ // 2  # a grant is worth a message from here on
_AGAIN_S = 0.2

log = logging.getLogger(__name__)

Call = Stream[pb.StreamingSynthesizeRequest, pb.StreamingSynthesizeResponse]


class MeshSpeech:
    """One reply being spoken."""

    def __init__(
        self,
        dial: Dial[pb.StreamingSynthesizeRequest, pb.StreamingSynthesizeResponse],
        start: StartReply,
        profile: Profile,
        patience_s: float,
    ) -> None:
        """
        Args:
            patience_s: How long synthesis may be away before iterating raises.
        """
        self._dial, self._start, self._profile = dial, start, profile
        self._patience_s = patience_s
        self._spoken = Spoken(start.response_id, start.begun)
        self._first_char = self._spoken.start.char
        self._text = ""  # all of it, from `_first_char` on
        self._is_whole = False
        self._line: _Line | None = None
        self._is_writing = False
        self._away_since_s: float | None = None
        self._broken = 0  # workers, since there was new audio

    async def open(self) -> None:
        """Let a worker get ready while the text is still being written."""
        with suppress(MeshError):  # iterating tries again, and says why it cannot
            line = await self._connect()
            line.is_open = True  # there is nothing to leave out

    async def say(self, text: str) -> None:
        self._text += text
        await self._write()

    async def finish(self) -> None:
        self._is_whole = True
        await self._write()

    async def __aiter__(self) -> AsyncGenerator[Sound]:
        """
        Raises:
            MeshError: synthesis has been away for longer than `patience_s`, or refuses us.
        """
        try:
            while True:
                try:
                    async for sound in self._hear(self._line or await self._connect()):
                        yield sound
                    return
                except Rejected:
                    raise  # the next worker would not take it either
                except MeshError as error:
                    await self._rest(error)
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop speaking."""
        line, self._line = self._line, None
        if line is not None:
            await line.call.stop(pb.StreamingSynthesizeRequest(cancel=pb.CancelSynthesis()))

    async def _connect(self) -> _Line:
        self._line = line = _Line(self._dial())
        start = self._spoken.start
        config = _synthesis(self._start, self._profile)
        config.continues = start.char > 0
        config.credit.allowed_until_sample = line.grant(self._spoken.unheard)
        await line.call.write(pb.StreamingSynthesizeRequest(config=config))
        return line

    async def _hear(self, line: _Line) -> AsyncGenerator[Sound]:
        async for news in line.call:
            match news.WhichOneof("payload"):
                case "ready":
                    for sound in self._go_on(line, news.ready.engine):
                        yield sound
                    await self._write()
                case "error" if not news.error.retryable:
                    raise Broken(news.error.message, tier="tts")
                case "finished":
                    return
                case _:
                    for sound in self._spoken.take(news):
                        if isinstance(sound, sig.ReplyAudio):
                            self._broken = 0
                            self._dial.worked()
                        yield sound
                    await line.took(len(news.audio.chunk.data) // SAMPLE_BYTES)
        raise Broken("the stream ended early", tier="tts")

    def _go_on(self, line: _Line, engine: str) -> list[Sound]:
        """A worker is ready. Only now it is known where it has to begin."""
        seam, told = self._spoken.go_on(engine)
        self._away_since_s, line.is_ready = None, True
        if not line.is_open:
            line.said = seam.char - self._first_char
            line.is_open = True
        return told

    async def _rest(self, error: MeshError) -> None:
        """Wait before the next stream; raises the error when patience is over."""
        line, self._line = self._line, None
        if line is not None:
            await line.call.stop()
            self._broken += line.is_ready and not isinstance(error, Draining)
        now_s, was_there = asyncio.get_running_loop().time(), self._away_since_s is None
        if self._away_since_s is None:
            self._away_since_s = now_s
            about = {"response_id": self._start.response_id, "reason": error.detail}
            log.warning("speech breaks off", extra=about)
        if self._broken >= MOST_BROKEN or now_s - self._away_since_s >= self._patience_s:
            raise error
        if not (was_there or self._dial.has_other):
            await asyncio.sleep(_AGAIN_S)

    async def _write(self) -> None:
        """Say what the worker has not been told. Who comes meanwhile is seen to as well."""
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while (line := self._line) is not None and line.is_open:
                if (request := line.next_request(self._text, is_whole=self._is_whole)) is None:
                    return
                try:
                    await line.call.write(request)
                except MeshError:
                    line.is_open = False  # iterating sees why, and opens another
        finally:
            self._is_writing = False


class _Line:
    """One stream, and how far it has come."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.is_ready = False
        self.is_open = False
        """It may be told text."""

        self.said = 0
        """Of the text."""

        self._is_finished = False
        self._chunks = 0
        self._taken = self._granted = 0  # samples

    def next_request(self, text: str, *, is_whole: bool) -> pb.StreamingSynthesizeRequest | None:
        """What comes next of the text; None while there is nothing."""
        if self.said < len(text):
            rest, self.said = text[self.said :], len(text)
            self._chunks += 1
            chunk = pb.TextChunk(text=rest, sequence=self._chunks)
            return pb.StreamingSynthesizeRequest(text=chunk)
        if is_whole and not self._is_finished:
            self._is_finished = True
            return pb.StreamingSynthesizeRequest(finish=pb.FinishSynthesis())
        return None

    def grant(self, more: int = 0) -> int:
        """Room for the samples that come next, and for so many more."""
        self._granted = self._taken + _CREDIT_SAMPLES + more
        return self._granted

    async def took(self, n_samples: int) -> None:
        self._taken += n_samples
        if self._taken + _CREDIT_SAMPLES - self._granted >= _GRANT_SAMPLES:
            credit = common_pb2.FlowCredit(allowed_until_sample=self.grant())
            with suppress(MeshError):  # it has sent all and ended, or iterating says why it failed
                await self.call.write(pb.StreamingSynthesizeRequest(credit=credit))


def _synthesis(start: StartReply, profile: Profile) -> pb.StreamingSynthesisConfig:
    assert start.voice is not None
    config = pb.StreamingSynthesisConfig(
        session=session_ref(),
        response_id=start.response_id,
        audio_format=FORMAT,
        voice=pb.VoiceSelection(voice_id=start.voice.name, speaking_rate=start.voice.speed),
    )
    config.voice.engines.extend(profile.tts)
    config.chunk_duration.FromMilliseconds(_CHUNK_MS)
    return config
