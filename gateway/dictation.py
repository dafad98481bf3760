"""A recording being recognised over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

from gateway.backends import Passage, PlacedWord
from gateway.generation import session_ref
from gateway.realtime.effects import Listening
from gateway.recognition import endpointing, recognition
from gateway.streams import Dial
from mesh.errors import Broken, MeshError, Unavailable
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb

RATE_HZ = 16_000

_FORMAT = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)
_CHUNK_BYTES = RATE_HZ * 2 // 5  # 200 ms: what a chunk may hold
_NO_LIMIT = 1 << 62

log = logging.getLogger(__name__)


class MeshDictation:
    """A worker that cannot begin hands over to one other. Unlike a session's microphone it is
    not moved later: the client has the recording and can ask again."""

    def __init__(
        self, dial: Dial[pb.StreamingRecognizeRequest, pb.StreamingRecognizeResponse]
    ) -> None:
        """
        Raises:
            MeshError: nobody can be asked.
        """
        self._dial, self._stream = dial, dial()
        self._config = pb.StreamingRecognitionConfig()
        self._may_move = True
        self._sample = self._credit = 0
        self._chunk = 0
        self._room = asyncio.Event()
        self._passages: dict[str, Passage | None] = {}  # as they began; None: no words yet

    async def open(self, how: Listening, model: str, *, words: bool) -> None:
        """
        Raises:
            MeshError: the call has ended.
        """
        self._config = pb.StreamingRecognitionConfig(
            session=session_ref(),
            audio_format=_FORMAT,
            recognition=recognition(how, model),
            endpointing=endpointing(how),
        )
        self._config.recognition.word_timestamps = words
        try:
            await self._begin()
        except MeshError as error:
            await self._move(error)

    async def hear(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), _CHUNK_BYTES):
            await self._hear(pcm[at : at + _CHUNK_BYTES])

    async def finish(self) -> None:
        finish = pb.FinishRecognition()
        await self._stream.write(pb.StreamingRecognizeRequest(finish=finish))

    async def close(self) -> None:
        finish = pb.FinishRecognition(discard=True)
        await self._stream.stop(pb.StreamingRecognizeRequest(finish=finish))

    async def __aiter__(self) -> AsyncIterator[Passage]:
        """
        Raises:
            MeshError: the call failed, or a passage has no words.
        """
        try:
            async for news in self._news():
                self._take(news)
                for passage in self._next():
                    yield passage
                if news.WhichOneof("payload") == "finished":
                    return
        finally:
            self._grant(_NO_LIMIT)  # who writes is told by the write that nobody listens
        raise Unavailable("the stream ended early", tier="stt")

    async def _news(self) -> AsyncIterator[pb.StreamingRecognizeResponse]:
        try:
            async for news in self._stream:
                self._may_move = False  # it has given credit, so it may have been sent audio
                yield news
            return
        except MeshError as error:
            await self._move(error)
        async for news in self._stream:
            yield news

    async def _move(self, error: MeshError) -> None:
        """Begin with another worker, once.

        Raises:
            MeshError: the same error, if that is not to be; or what the other one says.
        """
        if not (self._may_move and error.retryable and self._dial.has_other):
            raise error
        self._may_move = False
        await self._stream.stop()
        self._stream = self._dial()
        await self._begin()

    async def _begin(self) -> None:
        await self._stream.write(pb.StreamingRecognizeRequest(config=self._config))

    async def _hear(self, pcm: bytes) -> None:
        end = self._sample + len(pcm) // 2
        while self._credit < end:
            self._room.clear()
            await self._room.wait()
        self._chunk += 1
        chunk = common_pb2.AudioChunk(data=pcm, first_sample=self._sample, sequence=self._chunk)
        self._sample = end
        await self._stream.write(pb.StreamingRecognizeRequest(audio=chunk))

    def _take(self, news: pb.StreamingRecognizeResponse) -> None:
        match news.WhichOneof("payload"):
            case "ready":
                self._grant(news.ready.credit.allowed_until_sample)
            case "ack":
                self._grant(news.ack.credit.allowed_until_sample)
            case "speech_started":
                self._passages.setdefault(news.speech_started.utterance_id, None)
            case "transcript" if news.transcript.is_final:
                self._passages[news.transcript.utterance_id] = passage(news.transcript)
            case "utterance_failed":
                raise _why(news.utterance_failed.error)
            case "error":
                code = common_pb2.ErrorCode.Name(news.error.code)
                log.warning("recognition says", extra={"code": code, "detail": news.error.message})

    def _next(self) -> Iterator[Passage]:
        """Those with words before which all have words: several are recognised at a time."""
        for name, found in list(self._passages.items()):
            if found is None:
                return
            del self._passages[name]
            if found.text:
                yield found

    def _grant(self, until_sample: int) -> None:
        self._credit = max(self._credit, until_sample)
        self._room.set()


def _why(error: common_pb2.ErrorDetail) -> MeshError:
    kind = Unavailable if error.retryable else Broken
    return kind(error.message, tier="stt")


def passage(transcript: pb.Transcript) -> Passage:
    """A final transcript."""
    return Passage(
        text=transcript.text.strip(),
        start_ms=_ms(transcript.start_sample),
        end_ms=_ms(transcript.end_sample),
        language=transcript.language_code,
        words=tuple(
            PlacedWord(word.text.strip(), _ms(word.start_sample), _ms(word.end_sample))
            for word in transcript.words
        ),
        logprobs=tuple((part.token, part.logprob) for part in transcript.logprobs),
        speakers=tuple(
            PlacedWord(
                part.text.strip(), _ms(part.start_sample), _ms(part.end_sample), part.speaker
            )
            for part in transcript.segments
        ),
    )


def _ms(n_samples: int) -> int:
    return n_samples * 1000 // RATE_HZ
