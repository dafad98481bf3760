"""A microphone over real gRPC whose streams are answered by scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.backends import Microphone
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from gateway.realtime.settings import ServerVad
from mesh import log as logs
from mesh.errors import MeshError
from ovos.stt.v1 import stt_pb2 as pb
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import Call, Script, serving

FRAME = b"\1\0" * 480  # 20 ms
DETECT = Listening(ServerVad(threshold=0.7, silence_duration_ms=250), "de", "names")


class Hearing:
    """A microphone whose news are collected while the test goes on."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.news: list[sig.Hearing] = []
        self.error: MeshError | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        try:
            async for news in self.microphone:
                self.news.append(news)
                self._changed.set()
        except MeshError as error:
            self.error = error
            self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def hearing(
    *scripts: Script,
    how: Listening = DETECT,
    from_sample: int = 0,
    patience_s: float = 3.0,
    workers: int = 1,
) -> AsyncIterator[tuple[Hearing, list[Call]]]:
    """A microphone whose streams are answered by these scripts, one after the other."""
    async with serving(FakeBackends(), patience_s=patience_s, workers=workers) as (backends, tiers):
        tiers.scripts = list(scripts)
        with logs.bound(tenant_id="acme", session_id="sess_1"):
            async with backends.listen(how, from_sample) as microphone:
                heard = Hearing(microphone)
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(heard.run(), name="hear")
                    yield heard, tiers.calls
                    running.cancel()


async def ready(call: Call, until_sample: int = 1 << 40) -> pb.StreamingRecognitionConfig:
    config: pb.StreamingRecognitionConfig = await call.read_kind("config")
    await call.say(ready={"credit": {"allowed_until_sample": until_sample}})
    return config


async def to_the_end(call: Call) -> None:
    """Read on until the client has no more to say."""
    while await call.read() is not None:
        pass


async def started(call: Call, name: str, sample: int = 0) -> None:
    await call.say(speech_started={"utterance_id": name, "start_sample": sample})


async def stopped(call: Call, name: str, sample: int = 960) -> None:
    await call.say(speech_stopped={"utterance_id": name, "end_sample": sample})


async def words(call: Call, name: str, text: str = "hello") -> None:
    await call.say(transcript={"utterance_id": name, "text": text, "is_final": True})


def audio(call: Call) -> list[Any]:
    return [r.audio for r in call.requests if r.WhichOneof("payload") == "audio"]
