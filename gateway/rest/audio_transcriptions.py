"""POST /v1/audio/transcriptions: a recording of any length in, its words out.

Differences from OpenAI's: any model name is taken (one that the models file knows is served
as it says), and every model streams and gives every format; `temperature` and
`known_speaker_*` are taken and have no effect; `language` in answers is the code that the
recogniser gives.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from gateway import auth
from gateway.backends import Backends, Dictation, Passage, Profile
from gateway.ids import new_id
from gateway.realtime.refusals import SERVER_ERROR, Refusal, Refused, refuse
from gateway.rest import answers, decoding, failures, forms, sse, transcripts
from gateway.rest.decoding import Recording
from gateway.rest.metering import take_request
from gateway.rest.presence import send, while_there
from gateway.rest.transcript_orders import Order, order_of
from gateway.rest.transcripts import Transcript
from gateway.shared import GATEWAY, Gateway
from mesh import log as logs
from mesh.errors import MeshError

MIN_MS = 100

_MOST_AT_ONCE = 16  # recordings kept in memory, 25 MiB each
_MOST_OF_ONE = 12  # tenant: one that sends slowly must not keep out the others
_TIER = "Transcription"
_NO_RECORDING = f"Invalid file format. Supported formats: {list(decoding.SUPPORTED)}"

log = logging.getLogger(__name__)


def add(router: web.UrlDispatcher) -> None:
    router.add_post("/v1/audio/transcriptions", Desk().transcriptions)


class Desk:
    """Takes the recordings: so many at a time."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()  # of each tenant

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        who = await auth.who(request, secrets=False)
        gateway = request.app[GATEWAY]
        await take_request(gateway.allowance, who.tenant)
        ids = {"tenant_id": who.tenant, "session_id": new_id("rest")}
        with self._place(who.tenant), logs.bound(**ids, correlation_id=new_id("corr")):
            order = order_of(await forms.read(request))
            written = _Written(request, order, gateway, who.tenant)
            return await while_there(request, written.run())

    @contextmanager
    def _place(self, tenant: str) -> Iterator[None]:
        """
        Raises:
            Unready: there is none.
            Later: the tenant has enough of them.
        """
        if self._taken.total() >= _MOST_AT_ONCE:
            message = "Too many recordings are being transcribed. Please try again."
            raise auth.Unready(Refusal("server_overloaded", message, type=SERVER_ERROR))
        if self._taken[tenant] >= _MOST_OF_ONE:
            message = f"At most {_MOST_OF_ONE} recordings are transcribed for you at a time."
            raise answers.Later(message, 1)
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1


class _Written:
    """One answer."""

    def __init__(self, request: web.Request, order: Order, gateway: Gateway, tenant: str) -> None:
        self._request, self._order, self._gateway = request, order, gateway
        self._tenant = tenant
        self._transcript = Transcript()
        self._response: web.StreamResponse | None = None
        self._n_segments = 0  # sent

    async def run(self) -> web.StreamResponse:
        """
        Raises:
            Refused: the recording cannot be read, or is too short or too long.
        """
        failure: BaseExceptionGroup[MeshError | Refused] | None = None
        try:
            await self._write()
        except* (MeshError, Refused) as failed:
            failure = failed
        finally:
            tokens = self._transcript.tokens["total_tokens"]
            # Also if it broke off.
            await self._gateway.allowance.spend_tokens(self._tenant, tokens)
        if failure is not None:
            return await self._failed(_first(failure))
        n_ms = self._transcript.n_ms
        log.info("recording transcribed", extra={"n_ms": n_ms, "form": self._order.form})
        return await self._end() if self._order.streams else self._whole()

    async def _write(self) -> None:
        order = self._order
        recording = await asyncio.to_thread(_opened, order)
        first = await _read(recording)
        self._transcript.n_ms = _ms(recording)
        if self._transcript.n_ms < MIN_MS:
            message = f"Audio file is too short. Minimum audio length is {MIN_MS / 1000} seconds."
            raise refuse("audio_too_short", message, "file")
        profile = self._gateway.models.find(order.model) or Profile()
        backends: Backends = self._gateway.backends.with_profile(profile)
        words = order.form == "verbose_json" and "word" in order.granularities
        async with backends.dictate(order.how, words=words) as dictation, asyncio.TaskGroup() as t:
            t.create_task(self._hear(dictation, recording, first), name="hear")
            async for passage in dictation:
                await self._take(passage)

    async def _hear(self, dictation: Dictation, recording: Recording, pcm: bytes) -> None:
        while pcm:
            await dictation.hear(pcm)
            pcm = await _read(recording)
            self._transcript.n_ms = _ms(recording)
        await dictation.finish()

    async def _take(self, passage: Passage) -> None:
        is_first = not self._transcript.passages
        self._transcript.passages.append(passage)
        if not self._order.streams:
            return
        if self._order.form == "diarized_json":
            for segment in transcripts.speaker_segments([passage], self._n_segments):
                self._n_segments += 1
                await self._send(segment)
        delta = passage.text if is_first else f" {passage.text}"
        event: dict[str, object] = {"type": "transcript.text.delta", "delta": delta}
        if self._order.how.logprobs:
            event["logprobs"] = transcripts.logprobs_of(passage)
        await self._send(event)

    def _whole(self) -> web.Response:
        transcript, order = self._transcript, self._order
        match order.form:
            case "text":
                return web.Response(text=f"{transcript.text}\n")
            case "srt":
                return web.Response(text=transcripts.as_srt(transcript))
            case "vtt":
                return web.Response(text=transcripts.as_vtt(transcript))
            case "verbose_json":
                body = transcripts.as_verbose_json(transcript, order.granularities)
            case "diarized_json":
                body = transcripts.as_diarized_json(transcript)
            case _:
                body = transcripts.as_json(transcript, logprobs=order.how.logprobs)
        return web.json_response(body)

    async def _end(self) -> web.StreamResponse:
        done: dict[str, object] = {
            "type": "transcript.text.done",
            "text": self._transcript.text,
            "usage": self._transcript.tokens,
        }
        if self._order.how.logprobs:
            done["logprobs"] = transcripts.all_logprobs(self._transcript)
        response = await self._send(done)
        await response.write_eof()
        return response

    async def _send(self, event: object) -> web.StreamResponse:
        if self._response is None:
            self._response = web.StreamResponse(headers=sse.HEADERS)
            self._response.content_type = sse.CONTENT_TYPE
            await self._response.prepare(self._request)
        await send(self._request, self._response, sse.event(event))
        return self._response

    async def _failed(self, error: MeshError | Refused) -> web.StreamResponse:
        if isinstance(error, MeshError):
            about = {"reason": error.detail, "n_ms": self._transcript.n_ms}
            log.warning("recording not transcribed", extra=about)
            refusal = failures.refusal_of(error, _TIER)
            if self._response is None:
                return failures.answer(error, _TIER)
        elif self._response is None:
            raise error
        else:
            refusal = error.refusal
        response = await self._send(answers.body(refusal))
        await response.write_eof()
        return response


def _first(group: BaseExceptionGroup[MeshError | Refused]) -> MeshError | Refused:
    """What is wrong with the recording, if something is: else nobody would have failed."""
    error: BaseException = group.subgroup(Refused) or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MeshError | Refused)
    return error


def _opened(order: Order) -> Recording:
    try:
        return Recording(order.file)
    except decoding.Unreadable:
        raise refuse("invalid_value", _NO_RECORDING, "file") from None


async def _read(recording: Recording) -> bytes:
    """
    Raises:
        Refused: it is damaged beyond reading, or too long.
    """
    try:
        return await asyncio.to_thread(recording.read)
    except decoding.Unreadable:
        raise refuse("invalid_value", _NO_RECORDING, "file") from None
    except decoding.TooLong:
        hours = decoding.MAX_S // 3600
        message = f"Audio file is too long. Maximum audio length is {hours} hours."
        raise refuse("audio_too_long", message, "file") from None


def _ms(recording: Recording) -> int:
    return recording.n_samples * 1000 // decoding.RATE_HZ
