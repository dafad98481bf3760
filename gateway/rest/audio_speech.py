"""POST /v1/audio/speech: text spoken, sent as it is made.

Differences from OpenAI's: any model name is taken (one that the models file knows is served
as it says); a voice that no engine has is the default one; `instructions` are taken and have
no effect, since no engine here can follow them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pybase64
from aiohttp import web

from gateway import auth
from gateway.backends import Backends, Profile
from gateway.ids import new_id
from gateway.realtime import checks as c
from gateway.realtime.effects import StartReply, Voice
from gateway.realtime.refusals import missing, refuse
from gateway.realtime.session_checks import voice
from gateway.realtime.signals import ReplyAudio
from gateway.rest import answers, failures, sse
from gateway.rest.encoding import CONTENT_TYPES, RATE_HZ, Encoder, encoder
from gateway.rest.metering import take_request
from gateway.rest.presence import send, while_there
from gateway.shared import GATEWAY, Gateway
from mesh import log as logs
from mesh.errors import MeshError

MAX_CHARS = 4096

_TOKEN_MS = 50  # of audio, as OpenAI counts
_CHARS_A_TOKEN = 4  # of English text, about: no tokenizer takes part
_TIER = "Speech synthesis"

_REQUIRED: dict[str, c.Check] = {
    "model": c.string(128, r"\S+"),
    "input": c.string(MAX_CHARS),
    "voice": voice,
}
_OPTIONAL: dict[str, c.Check] = {
    "response_format": c.nullable(c.one_of(*CONTENT_TYPES)),
    "speed": c.nullable(c.number(0.25, 4)),
    "stream_format": c.nullable(c.one_of("audio", "sse")),
    "instructions": c.nullable(c.string(MAX_CHARS)),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for, checked."""

    model: str
    text: str
    voice: str
    form: str
    speed: float
    as_events: bool


def add(router: web.UrlDispatcher) -> None:
    router.add_post("/v1/audio/speech", speech)


async def speech(request: web.Request) -> web.StreamResponse:
    who = await auth.who(request, secrets=False)
    wanted = wanted_of(await answers.json_body(request))
    gateway = request.app[GATEWAY]
    await take_request(gateway.allowance, who.tenant)
    ids = {"tenant_id": who.tenant, "session_id": new_id("rest")}
    with logs.bound(**ids, correlation_id=new_id("corr")):
        spoken = _Spoken(request, wanted, gateway, who.tenant)
        return await while_there(request, spoken.run())


def wanted_of(body: Mapping[str, Any]) -> Wanted:
    """
    Raises:
        Refused: something is missing or wrong. What we do not know is passed over.
    """
    asked = _checked(body)
    if not asked["input"].strip():
        message = "Invalid 'input': string too short. Expected a string with minimum length 1."
        raise refuse("string_below_min_length", message, "input")
    return Wanted(
        model=asked["model"],
        text=asked["input"],
        voice=asked["voice"],
        form=asked.get("response_format") or "mp3",
        speed=asked.get("speed") or 1.0,
        as_events=asked.get("stream_format") == "sse",
    )


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    for name in _REQUIRED:
        if body.get(name) is None:
            raise missing(name)
    known = {**_REQUIRED, **_OPTIONAL}
    return {name: check(body[name], name) for name, check in known.items() if name in body}


class _Spoken:
    """One answer. Its status is sent with the first audio, so that a failure can be one."""

    def __init__(self, request: web.Request, wanted: Wanted, gateway: Gateway, tenant: str) -> None:
        self._request, self._wanted, self._gateway = request, wanted, gateway
        self._tenant = tenant
        self._response: web.StreamResponse | None = None
        self._samples = 0

    async def run(self) -> web.StreamResponse:
        try:
            await self._speak(encoder(self._wanted.form))
        except MeshError as error:
            return await self._failed(error)
        finally:
            tokens = self._usage["total_tokens"]
            # Also if it broke off.
            await self._gateway.allowance.spend_tokens(self._tenant, tokens)
        response = await self._begun()
        await response.write_eof()
        return response

    async def _speak(self, encoder: Encoder) -> None:
        wanted = self._wanted
        profile = self._gateway.models.find(wanted.model) or Profile()
        backends: Backends = self._gateway.backends.with_profile(profile)
        start = StartReply(new_id("resp"), "", (), voice=Voice(wanted.voice, wanted.speed))
        async with backends.speak(start) as speech:
            await speech.say(wanted.text)
            await speech.finish()
            async for sound in speech:
                if isinstance(sound, ReplyAudio):
                    self._samples += len(sound.pcm) // 2
                    await self._send(encoder.feed(sound.pcm))
        await self._send(encoder.finish())
        await self._end()

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        if self._wanted.as_events:
            audio = pybase64.b64encode(data).decode()
            data = sse.event({"type": "speech.audio.delta", "audio": audio})
        response = await self._begun()
        await send(self._request, response, data)

    async def _end(self) -> None:
        if self._wanted.as_events:
            done = {"type": "speech.audio.done", "usage": self._usage}
            await send(self._request, await self._begun(), sse.event(done))
        log.info("text spoken", extra={"n_samples": self._samples, "form": self._wanted.form})

    @property
    def _usage(self) -> dict[str, int]:
        return _usage(len(self._wanted.text), self._samples)

    async def _begun(self) -> web.StreamResponse:
        """The answer, once its status is sent."""
        if self._response is None:
            self._response = web.StreamResponse()
            self._response.content_type = CONTENT_TYPES[self._wanted.form]
            if self._wanted.as_events:
                self._response.content_type = sse.CONTENT_TYPE
                self._response.headers.update(sse.HEADERS)
            await self._response.prepare(self._request)
        return self._response

    async def _failed(self, error: MeshError) -> web.StreamResponse:
        log.warning("text not spoken", extra={"reason": error.detail, "n_samples": self._samples})
        if self._response is None:
            return failures.answer(error, _TIER)
        if self._wanted.as_events:
            refusal = failures.refusal_of(error, _TIER)
            await self._response.write(sse.event(answers.body(refusal)))
            await self._response.write_eof()
        elif self._request.transport is not None:
            self._request.transport.abort()  # or the client takes what it has for all of it
        return self._response


def _usage(n_chars: int, n_samples: int) -> dict[str, int]:
    heard = math.ceil(n_chars / _CHARS_A_TOKEN)
    spoken = math.ceil(n_samples * 1000 / RATE_HZ / _TOKEN_MS)
    return {"input_tokens": heard, "output_tokens": spoken, "total_tokens": heard + spoken}
