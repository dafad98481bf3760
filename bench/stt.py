"""What recognition costs a worker: Whisper alone and in batches, voice activity, fairness.

    python -m bench.stt                      # tiny and base, and voice activity
    python -m bench.stt --models base --rounds 5
    python -m bench.stt --flood              # one tenant with 100 streams, and a polite one
    python -m bench.stt --flood --engine faster_whisper

Whisper has the architecture and size of the published models and random weights, which cost
what trained ones do: it says 24 words whatever it hears. As many utterances as are asked for
come at once; the engine that takes one at a time and the one that takes ten in a call have
them in turn, round after round, so that a machine with other work slows both; the core
seconds of an utterance tell more there. It fails when their transcripts differ.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench import flood
from mesh.threads import ModelThreads
from stt_service.config import Config
from stt_service.endpointing import WINDOW_SAMPLES
from stt_service.engine import RATE_HZ, Heard, How
from stt_service.engines.faster_whisper import FasterWhisper
from stt_service.vad import Silero, Vad
from tests.contract import whisper_model

SIZES = {"tiny": whisper_model.TINY, "base": whisper_model.BASE}
SAYS = "hello" + " there my friend again" * 6  # 25 words, and as many tokens
AT_ONCE = (1, 2, 5, 10)
BATCH = 10
UTTERANCE_S = 4.0
VAD_SECONDS = 20  # of audio, for each row
PIECES_MS = (32, 96, 320)  # a window, three and ten: how much audio comes at a time


@dataclass(slots=True)
class Row:
    """So many utterances at once, by both engines."""

    at_once: int
    alone_s: list[float] = field(default_factory=list)
    """Each round: until all had their transcripts."""
    together_s: list[float] = field(default_factory=list)
    alone_cpu_s: list[float] = field(default_factory=list)
    """Each round: of all cores."""
    together_cpu_s: list[float] = field(default_factory=list)

    def text(self) -> str:
        alone = self.at_once / statistics.median(self.alone_s)
        together = self.at_once / statistics.median(self.together_s)
        ratios = [a / b for a, b in zip(self.alone_s, self.together_s, strict=True)]
        alone_cpu_s = statistics.median(self.alone_cpu_s) / self.at_once
        together_cpu_s = statistics.median(self.together_cpu_s) / self.at_once
        return (
            f"{self.at_once:8} {alone:10.2f} {together:10.2f} {statistics.median(ratios):8.2f}"
            f"   ({min(ratios):.2f} to {max(ratios):.2f})"
            f" {alone_cpu_s:8.2f} {together_cpu_s:8.2f}"
        )


def throughput(models_dir: Path, name: str, rounds: int) -> Iterator[Row]:
    """A row for each number at once, when it is known.

    Raises:
        SystemExit: a transcript of the batched engine is another one.
    """
    whisper_model.make(models_dir, name, SIZES[name], SAYS)
    config = Config(models_dir=models_dir, whisper_model=name, whisper_batch=1)
    with _engine(config, 1) as alone, _engine(config, BATCH) as together:
        for engine in (alone, together):  # what libraries put off
            asyncio.run(_heard(engine, 1))
        for at_once in AT_ONCE:
            row = Row(at_once)
            for _ in range(rounds):
                took_s, cpu_s, texts = asyncio.run(_heard(alone, at_once))
                row.alone_s.append(took_s)
                row.alone_cpu_s.append(cpu_s)
                took_s, cpu_s, others = asyncio.run(_heard(together, at_once))
                row.together_s.append(took_s)
                row.together_cpu_s.append(cpu_s)
                if texts != others:
                    raise SystemExit(f"{name}: transcripts differ with {at_once} at once")
            yield row


@contextmanager
def _engine(config: Config, batch: int) -> Iterator[FasterWhisper]:
    engine = FasterWhisper(
        Config(
            models_dir=config.models_dir, whisper_model=config.whisper_model, whisper_batch=batch
        )
    )
    try:
        yield engine
    finally:
        engine.close()


async def _heard(engine: FasterWhisper, at_once: int) -> tuple[float, float, list[str]]:
    """How long it takes, by the clock and of the cores, and what is heard."""
    threads = ModelThreads("bench", engine.threads, max_waiting=at_once)
    utterances = [_noise(UTTERANCE_S, seed) for seed in range(at_once)]
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        asked: list[asyncio.Task[Heard]] = [
            tasks.create_task(threads.run(engine.hear, pcm, How()), name=f"utterance {n}")
            for n, pcm in enumerate(utterances)
        ]
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    await threads.close()
    return took_s, cpu_s, [task.result().text for task in asked]


def _noise(seconds: float, seed: int = 0) -> bytes:
    """PCM16 LE mono 16 kHz."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ))
    return (3000 * noise).clip(-32768, 32767).astype("<i2").tobytes()


def voice_activity() -> list[str]:
    """A line for each size of the pieces in which audio comes."""
    model, lines = Silero(), []
    pcm = _noise(VAD_SECONDS)
    for piece_ms in PIECES_MS:
        n_bytes = piece_ms * RATE_HZ // 1000 * 2
        took_s = []
        for _ in range(5):
            vad, began_s = Vad(model), time.process_time()
            for at in range(0, len(pcm), n_bytes):
                vad.feed(pcm[at : at + n_bytes])
            took_s.append(time.process_time() - began_s)
        core_s = statistics.median(took_s)
        window_us = core_s * 1e6 / (VAD_SECONDS * RATE_HZ / WINDOW_SAMPLES)
        streams = VAD_SECONDS / core_s
        lines.append(f"{piece_ms:8} ms {window_us:14.1f} {streams:18.0f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--rounds", type=int, default=3, help="of each number at once")
    parser.add_argument("--flood", action="store_true", help="measure fairness instead")
    flood.add_arguments(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.flood:
            report = asyncio.run(flood.bench(Path(folder), flood.Asked.of(asked)))
            print(report.text())
            sys.exit("\n".join(report.faults()) or None)
        print(f"{os.cpu_count()} cores; utterances of {UTTERANCE_S:g} s and 25 tokens")
        for name in asked.models:
            print(f"\nWhisper {name}, utterances a second")
            print(" at once      alone   in tens    ratio (of rounds)        core s alone, in tens")
            for row in throughput(Path(folder), name, asked.rounds):
                print(row.text(), flush=True)
    print("\nvoice activity, on one core")
    print("pieces of   microseconds a window   streams a core")
    print("\n".join(voice_activity()))


if __name__ == "__main__":
    main()
