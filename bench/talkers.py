"""Sessions that really talk: recordings in real time, answers heard, and beside it a question
every 100 ms whose answer is timed.

The question is a `session.update` that changes nothing. It is the dearest kind of event that
has one answer: it is checked, decided and kept like any other, and the session comes back.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
import wave
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

DATA = Path(__file__).parents[1] / "tests" / "data"
RECORDINGS = (
    "what_is_the_weather_in_paris", "what_time_is_it_in_london_today", "good_morning",
)  # fmt: skip
FRAME_BYTES = 960  # 20 ms of PCM16 at 24 kHz
FRAME_S = 0.02
ASK_S = 0.1
PAUSE_S = 7.0  # of silence behind a recording, in which the answer comes
LAST_S = 2.0  # for answers that are still to come at the end


@dataclass(slots=True)
class Heard:
    """What all talkers noticed."""

    answers_ms: list[float] = field(default_factory=list)
    """From a question sent to its answer read."""
    unanswered: int = 0
    events: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    """Of responses."""


async def talk(url: str, key: str, n: int, seconds: float) -> Heard:
    """Let `n` sessions talk for so long.

    Args:
        url: Of a gateway, `http://…`.
    """
    heard = Heard()
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as web,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(n):
            tasks.create_task(_talk(web, url, number, seconds, heard), name=f"talker {number}")
    return heard


async def _talk(
    web: aiohttp.ClientSession, url: str, number: int, seconds: float, heard: Heard
) -> None:
    path = f"{url}/v1/realtime?model=gpt-realtime"
    async with web.ws_connect(path, max_msg_size=0) as ws:
        asked: deque[float] = deque()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(ws, asked, heard), name="read")
            try:
                async with asyncio.timeout(seconds), asyncio.TaskGroup() as talking:
                    talking.create_task(_speak(ws, number), name="speak")
                    talking.create_task(_ask(ws, number, asked), name="ask")
            except* TimeoutError:
                await asyncio.sleep(LAST_S if asked else 0.0)
            except* ConnectionError:
                heard.events["closed"] += 1
            reading.cancel()
        heard.unanswered += len(asked)


async def _speak(ws: aiohttp.ClientWebSocketResponse, number: int) -> None:
    """Recordings and pauses, frame by frame, until cancelled."""
    frames = _frames(number)
    due_s = time.monotonic() + number % 10 * FRAME_S / 10  # not all at the same moment
    while True:
        audio = base64.b64encode(next(frames)).decode()
        await ws.send_json({"type": "input_audio_buffer.append", "audio": audio})
        due_s += FRAME_S
        await asyncio.sleep(due_s - time.monotonic())


def _frames(number: int) -> itertools.cycle[bytes]:
    """The recordings one after another, each with its pause; every talker begins elsewhere."""
    pause = bytes(round(PAUSE_S / FRAME_S) * FRAME_BYTES)
    names = [RECORDINGS[(number + i) % len(RECORDINGS)] for i in range(len(RECORDINGS))]
    sound = b"".join(recording(name) + pause for name in names)
    whole = len(sound) // FRAME_BYTES * FRAME_BYTES
    return itertools.cycle(sound[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES))


def recording(name: str) -> bytes:
    with wave.open(str(DATA / f"{name}.wav")) as file:
        pcm: bytes = file.readframes(file.getnframes())
        return pcm


async def _ask(ws: aiohttp.ClientWebSocketResponse, number: int, asked: deque[float]) -> None:
    """Until cancelled."""
    due_s = time.monotonic() + ASK_S * (number % 20) / 20
    while True:
        await asyncio.sleep(due_s - time.monotonic())
        due_s += ASK_S
        asked.append(time.perf_counter())
        await ws.send_json({"type": "session.update", "session": {"type": "realtime"}})


async def _read(ws: aiohttp.ClientWebSocketResponse, asked: deque[float], heard: Heard) -> None:
    async for message in ws:
        event: dict[str, Any] = json.loads(message.data)
        kind = event["type"]
        heard.events[kind] += 1
        if kind == "session.updated" and asked:
            heard.answers_ms.append((time.perf_counter() - asked.popleft()) * 1000)
        elif kind == "response.done":
            heard.statuses[event["response"]["status"]] += 1


def percentile(values: list[float], share: float) -> float:
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(values: list[float]) -> str:
    if not values:
        return "none"
    return (
        f"{len(values)}, p50 {percentile(values, 0.5):.1f} ms,"
        f" p99 {percentile(values, 0.99):.1f} ms, most {max(values):.1f} ms"
    )
