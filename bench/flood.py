"""One tenant with many streams and one with a single one, on one STT worker: how long does the
single one wait for its transcripts? Run by `python -m bench.stt --flood`.

The worker is a process of its own, and so is the crowd. Everybody speaks in real time, the
crowd without a pause between two utterances, so that it asks for several times what the
worker can do. The polite one says one thing after another, first alone, then beside the crowd;
each time is from its commit, sent with the last of the audio, to the final transcript. It fails
when the 95th percentile beside the crowd is over twice that alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc.aio import Channel

from mesh.audio import n_bytes
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from tests import processes
from tests.contract import whisper_model

DATA = Path(__file__).parents[1] / "tests" / "data"
RATE_HZ = 24_000
FRAME_MS = 100
POLITE, CROWD = "good_morning", "what_is_the_weather_in_paris"
SETTLE_S = 5.0  # until the crowd has filled the queues
MOST_RATIO = 2.0
ENOUGH_S = 60.0  # for a transcript: whoever waits longer was not served
PCM24 = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)


@dataclass(frozen=True, slots=True)
class Asked:
    engine: str
    streams: int
    utterances: int

    @classmethod
    def of(cls, args: argparse.Namespace) -> Asked:
        return cls(args.engine, args.streams, args.utterances)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=("pocketsphinx", "faster_whisper"), default="pocketsphinx"
    )
    parser.add_argument("--streams", type=int, default=100, help="of the flooding tenant")
    parser.add_argument("--utterances", type=int, default=40, help="of the polite one, each time")


@dataclass(frozen=True, slots=True)
class Report:
    engine: str
    alone_ms: list[float]
    beside_ms: list[float]
    n_crowd: int
    """Utterances of the crowd that were heard meanwhile."""

    @property
    def ratio(self) -> float:
        """Of the 95th percentiles."""
        return _p95(self.beside_ms) / _p95(self.alone_ms)

    def faults(self) -> list[str]:
        if not self.n_crowd:
            return ["the crowd was not heard at all: it was no flood"]
        if self.ratio <= MOST_RATIO:
            return []
        return [f"p95 beside the crowd is {self.ratio:.2f} × that alone, and may be {MOST_RATIO} ×"]

    def text(self) -> str:
        lines = [f"{self.engine}, {os.cpu_count()} cores, end of speech to final transcript"]
        for name, took_ms in (("alone", self.alone_ms), ("beside the crowd", self.beside_ms)):
            lines.append(
                f"{name:18} n {len(took_ms)}  p50 {statistics.median(took_ms):7.1f} ms"
                f"  p95 {_p95(took_ms):7.1f} ms  most {max(took_ms):7.1f} ms"
            )
        lines.append(f"p95 is {self.ratio:.2f} times as long; the crowd had {self.n_crowd} finals")
        return "\n".join(lines)


def _p95(took_ms: list[float]) -> float:
    return sorted(took_ms)[max(0, -(-len(took_ms) * 95 // 100) - 1)]


async def bench(models_dir: Path, asked: Asked) -> Report:
    if asked.engine == "faster_whisper":
        whisper_model.make(models_dir, "tiny.en", whisper_model.TINY, "hello there my friend again")
    async with _worker(models_dir, asked) as target, grpc.aio.insecure_channel(target) as channel:
        alone_ms = await _polite(channel, asked.utterances)
        crowd = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.flood", target, str(asked.streams),
            env=_environment(), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await asyncio.sleep(SETTLE_S)
            beside_ms = await _polite(channel, asked.utterances)
        finally:
            crowd.send_signal(signal.SIGTERM)
            assert crowd.stdout is not None
            n_crowd = int(await crowd.stdout.readline() or 0)
            await crowd.wait()
    return Report(asked.engine, alone_ms, beside_ms, n_crowd)


@asynccontextmanager
async def _worker(models_dir: Path, asked: Asked) -> AsyncIterator[str]:
    """Where it listens."""
    process = await processes.start(
        "stt_service",
        STT_PORT="0",
        STT_METRICS_PORT="0",
        STT_DRAIN_S="0",
        STT_ENGINES=asked.engine,
        STT_WHISPER_MODEL="tiny.en",
        STT_MAX_STREAMS=str(asked.streams * 2),
        STT_LOG_LEVEL="INFO",
        MODELS_DIR=str(models_dir),
    )
    try:
        ready = await processes.until(process, "ready")
        async with asyncio.TaskGroup() as tasks:
            # Or its log fills the pipe, and it waits for us.
            reading = tasks.create_task(_read_on(process), name="log")
            yield f"127.0.0.1:{ready['port']}"
            reading.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _read_on(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.readline():
        pass


async def _polite(channel: Channel, n: int) -> list[float]:
    """One utterance after another; how long each transcript took, in ms."""
    speech, took_ms = _speech(POLITE), []
    stream = _Stream(channel, "polite", pb.ENDPOINTING_MODE_MANUAL)
    await stream.open()
    for _ in range(n):
        await stream.say(speech)
        began_s = time.perf_counter()
        await stream.commit()
        async with asyncio.timeout(ENOUGH_S):
            await stream.final()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    await stream.end()
    return took_ms


class _Stream:
    def __init__(self, channel: Channel, tenant: str, mode: pb.EndpointingMode.ValueType) -> None:
        stub = stt_pb2_grpc.SttServiceStub(channel)
        self._call: Any = stub.StreamingRecognize(metadata=(("x-tenant-id", tenant),))
        self._mode, self._sample = mode, 0
        self._next_s = time.monotonic()

    async def open(self) -> None:
        config = pb.StreamingRecognitionConfig(
            audio_format=PCM24,
            endpointing=pb.EndpointingConfig(mode=self._mode),
            interim_results=True,
        )
        await self._call.write(pb.StreamingRecognizeRequest(config=config))

    async def say(self, pcm: bytes) -> None:
        """In real time."""
        step = n_bytes(FRAME_MS, RATE_HZ)
        self._next_s = max(self._next_s, time.monotonic())
        for at in range(0, len(pcm), step):
            chunk = common_pb2.AudioChunk(data=pcm[at : at + step], first_sample=self._sample)
            self._sample += len(chunk.data) // 2
            self._next_s += FRAME_MS / 1000
            await asyncio.sleep(self._next_s - time.monotonic())
            await self._call.write(pb.StreamingRecognizeRequest(audio=chunk))

    async def commit(self) -> None:
        await self._call.write(pb.StreamingRecognizeRequest(commit=pb.CommitUtterance()))

    async def final(self) -> None:
        """
        Raises:
            RuntimeError: there is none.
        """
        while (response := await self._call.read()) is not grpc.aio.EOF:
            if response.WhichOneof("payload") == "utterance_failed":
                raise RuntimeError(response.utterance_failed.error.message)
            if response.transcript.is_final:
                return
        raise RuntimeError("the stream ended")

    async def end(self) -> None:
        self._call.cancel()


def _speech(name: str) -> bytes:
    with wave.open(str(DATA / f"{name}.wav")) as wav:
        pcm: bytes = wav.readframes(wav.getnframes())
    return pcm


async def _crowd(target: str, n: int) -> int:
    """So many streams of one tenant, until SIGTERM. Returns: the transcripts they had."""
    finals = 0
    speech = _speech(CROWD) + bytes(n_bytes(400, RATE_HZ))

    async def speak(stream: _Stream, number: int) -> None:
        await asyncio.sleep(number * len(speech) / (2 * RATE_HZ * n))
        await stream.open()
        while True:
            await stream.say(speech)

    async def hear(stream: _Stream) -> None:
        nonlocal finals
        while True:
            try:
                await stream.final()
                finals += 1
            except RuntimeError:  # it was not served: that is what a flood has to bear
                await asyncio.sleep(0.1)

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with grpc.aio.insecure_channel(target) as channel, asyncio.TaskGroup() as tasks:
        speaking = []
        for number in range(n):
            stream = _Stream(channel, "crowd", pb.ENDPOINTING_MODE_SERVER_VAD)
            speaking.append(tasks.create_task(speak(stream, number), name=f"speak {number}"))
            speaking.append(tasks.create_task(hear(stream), name=f"hear {number}"))
        await stopped.wait()
        for task in speaking:
            task.cancel()
    return finals


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[1]
    return {"PYTHONPATH": os.pathsep.join([str(root), str(root / "proto")])}


if __name__ == "__main__":
    print(asyncio.run(_crowd(sys.argv[1], int(sys.argv[2]))))
