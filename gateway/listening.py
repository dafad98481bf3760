"""A session's microphone over gRPC: one recognition stream, opened again when it breaks.

What was sent and not acknowledged is kept, and sent again to the stream that replaces a
broken one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

from gateway.backends import News
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from gateway.realtime.settings import RATE_HZ
from gateway.recognition import attempt_of, endpointing, ms, opening, recognition, transcribed
from gateway.replay import Replay
from gateway.rescue import Rescue
from gateway.streams import Dial, Stream
from gateway.utterances import Utterances
from mesh.errors import MeshError, Overloaded, Rejected, Unavailable
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb

_CHUNK_BYTES = RATE_HZ * 2 // 5  # 200 ms: what a chunk may hold
_AGAIN_S = 0.2
_MOST_WAITING = 2000  # messages that wait for a stream: somebody plays with commands
_MOST_UNSENT = 10 * RATE_HZ  # samples that wait for a stream; what comes then waits outside

log = logging.getLogger(__name__)

Call = Stream[pb.StreamingRecognizeRequest, pb.StreamingRecognizeResponse]
Dialling = Dial[pb.StreamingRecognizeRequest, pb.StreamingRecognizeResponse]


class MeshMicrophone:
    def __init__(
        self,
        dial: Dialling,
        how: Listening,
        from_sample: int,
        patience_s: float,
        model: str = "",
        tag: str = "",
        epoch: int = 0,
    ) -> None:
        """
        Args:
            dial: Opens a stream; nothing is sent on it yet.
            patience_s: How long recognition may be away before iterating raises.
            tag: See `Utterances`.
            epoch: See `Backends.listen`.
        """
        self._dial, self._how, self._patience_s, self._model = dial, how, patience_s, model
        self._call: Call | None = None
        self._is_open = False  # the call has had its config
        self._is_leaving = False  # the worker drains
        self._is_acked = True  # it has said what of the words that came need not be heard again
        self._away_since_s: float | None = None
        self._is_writing = False
        self._replay = Replay(from_sample)
        self._sample = self._credit = from_sample
        self._room = asyncio.Event()
        self._attempt, self._epoch = 0, epoch
        self._chunk = 0
        self._utterances = Utterances(tag, from_sample)
        self._rescue = Rescue(self._utterances, self._replay.audio)

    async def hear(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), _CHUNK_BYTES):
            await self._hear(pcm[at : at + _CHUNK_BYTES])

    async def end_utterance(self, utterance: str) -> None:
        self._utterances.ended_by_client(utterance, self._sample)
        commit = pb.CommitUtterance(utterance_id=utterance)
        await self._send(pb.StreamingRecognizeRequest(commit=commit))

    async def forget(self) -> None:
        self._utterances.forget(self._sample)
        await self._send(pb.StreamingRecognizeRequest(clear=pb.ClearAudio()))

    async def listen(self, how: Listening) -> None:
        self._how = how
        if how.turn_detection is None:
            self._utterances.abandon()
        wanted = recognition(how, self._model)
        update = pb.RecognitionUpdate(recognition=wanted, endpointing=endpointing(how))
        await self._send(pb.StreamingRecognizeRequest(update=update))

    async def __aiter__(self) -> AsyncIterator[News]:
        """
        Raises:
            MeshError: recognition has been away for longer than `patience_s`, or refuses us.
                What is kept of utterances that have no words came before.
        """
        while True:
            try:
                async for signal in self._hear_from(await self._connect()):
                    yield signal
            except Rejected:
                raise  # the next stream would not take it either
            except MeshError as error:
                await self._disconnect()
                for last in self._rescue.tried_twice(self._replay.acknowledged):
                    yield last
                try:
                    await self._rest(error)
                except MeshError:
                    for news in self._rescue.all(self._sample):
                        yield news
                    raise

    async def _hear_from(self, call: Call) -> AsyncIterator[News]:
        async for news in call:
            if news.WhichOneof("payload") != "ready":  # one that only starts is no help
                self._away_since_s = None
                self._dial.worked()
            for signal in self._take(news):
                yield signal
            await self._write()
            if self._is_leaving and self._is_acked and not self._utterances:
                break
        raise Unavailable("the stream ended", tier="stt")

    async def _rest(self, error: MeshError) -> None:
        """Wait before the next stream, unless another worker can have it; raises the error when
        patience is over."""
        now_s = asyncio.get_running_loop().time()
        if self._away_since_s is None:
            self._away_since_s = now_s
        if self._dial.has_other:
            return
        is_over = now_s - self._away_since_s >= self._patience_s
        if is_over and not self._rescue.speech_goes_on(now_s):
            raise error
        await asyncio.sleep(_AGAIN_S)

    async def close(self) -> None:
        finish = pb.FinishRecognition(discard=True)
        if self._call is not None:
            await self._call.stop(pb.StreamingRecognizeRequest(finish=finish))
            self._call = None

    async def _hear(self, pcm: bytes) -> None:
        chunk = common_pb2.AudioChunk(data=pcm, first_sample=self._sample)
        self._sample += len(pcm) // 2
        await self._send(pb.StreamingRecognizeRequest(audio=chunk))
        while self._is_behind:
            self._room.clear()
            await self._room.wait()

    @property
    def _is_behind(self) -> bool:
        """Whether more audio has to wait: what was not sent yet must not be dropped."""
        no_credit = self._is_open and self._sample > self._credit
        return no_credit or self._sample - self._replay.sent > _MOST_UNSENT

    async def _send(self, request: pb.StreamingRecognizeRequest) -> None:
        """Keep it, and send it as soon as there is a stream with credit for it."""
        if self._replay.n_unsent > _MOST_WAITING:
            raise Overloaded("too much waits for recognition", tier="stt")
        self._replay.add(self._sample, request)
        await self._write()

    async def _write(self) -> None:
        """Send what waits, in order, as far as the credit goes."""
        if self._is_writing:
            return  # whoever writes sees what has come meanwhile
        self._is_writing = True
        try:
            while self._is_open and (request := self._replay.take(self._credit)) is not None:
                await self._write_one(request)
        finally:
            self._is_writing = False

    async def _write_one(self, request: pb.StreamingRecognizeRequest) -> None:
        call = self._call
        assert call is not None
        self._room.set()
        try:
            await call.write(self._numbered(request))
            if request.WhichOneof("payload") == "commit":
                self._utterances.sent(request.commit.utterance_id)
        except MeshError:
            if call is self._call:  # the reader sees why and opens another
                self._is_open = False
                self._room.set()

    async def _connect(self) -> Call:
        """Open a stream; what the last one had not finished goes to it as it gives credit."""
        self._attempt += 1
        self._chunk = 0
        self._is_leaving, self._is_acked = False, True
        self._replay.rewind()
        self._credit = self._replay.first_sample
        if self._attempt > 1:
            self._utterances.hear_again()
        self._call = call = self._dial()
        attempt = attempt_of(self._epoch, self._attempt)
        config = opening(self._how, self._model, attempt, self._replay.first_sample)
        await call.write(pb.StreamingRecognizeRequest(config=config))
        self._is_open = True
        await self._write()
        return call

    def _numbered(self, request: pb.StreamingRecognizeRequest) -> pb.StreamingRecognizeRequest:
        """Each stream counts its chunks anew."""
        if request.WhichOneof("payload") == "audio":
            self._chunk += 1
            request.audio.sequence = self._chunk
        return request

    async def _disconnect(self) -> None:
        self._is_open = False
        self._room.set()
        if self._call is not None:
            call, self._call = self._call, None
            await call.stop()

    def _take(self, news: pb.StreamingRecognizeResponse) -> Iterator[News]:  # noqa: C901 - a table
        match news.WhichOneof("payload"):
            case "ready":
                self._grant(news.ready.credit)
            case "ack":
                self._replay.acknowledged(news.ack.replay_from_sample)
                self._is_acked = True
                self._grant(news.ack.credit)
            case "speech_started":
                started = news.speech_started
                begin = started.start_sample
                name = self._utterances.begins(started.utterance_id, self._attempt, begin)
                if name is not None:
                    yield sig.SpeechStarted(name, ms(begin))
            case "speech_stopped":
                stopped = news.speech_stopped
                name = self._utterances.ends(stopped.utterance_id, stopped.end_sample)
                if name is not None:
                    yield sig.SpeechStopped(name, ms(stopped.end_sample))
            case "transcript":
                yield self._words(news.transcript)
            case "error":
                code = common_pb2.ErrorCode.Name(news.error.code)
                log.warning("recognition says", extra={"code": code, "detail": news.error.message})
            case "go_away":
                self._is_leaving = True  # between two utterances
            case "utterance_failed":
                failed = news.utterance_failed
                unheard = self._rescue.one(failed.utterance_id) if failed.error.retryable else None
                name = self._finished(failed.utterance_id)
                yield unheard or sig.NotTranscribed(name, failed.error.message)

    def _words(self, transcript: pb.Transcript) -> sig.Hearing:
        if transcript.is_final:
            return transcribed(self._finished(transcript.utterance_id), transcript)
        name = self._utterances.name(transcript.utterance_id)
        return sig.Hypothesis(name, transcript.text, transcript.stable_chars)

    def _finished(self, wire_name: str) -> str:
        self._is_acked = False
        return self._utterances.finished(wire_name)

    def _grant(self, credit: common_pb2.FlowCredit) -> None:
        self._credit = max(self._credit, credit.allowed_until_sample)
        if self._credit >= self._sample:
            self._room.set()
