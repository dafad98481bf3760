"""Does anything that a client can send break the mesh?

    python -m bench.fuzz --frames 200000

Starts a mesh of its own, sends random and mutated frames in bursts over real sockets, and
after each burst has the same session answer a question. It fails when a session ends, a
turn does not come, a tier logs an error, or the gateway keeps growing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench.fuzz_frames import Frames

BURST = 2000  # frames of one session, before it must answer
SESSIONS = 4  # at a time
NO_LANGUAGE = "no engine knows this language"
TURN_S = 330.0
GROWTH = 20 << 20  # bytes that the gateway may keep, between its first bursts and its last
WARM_UP = 0.2  # of all frames: what a process grows in before it is measured

SETTINGS = {
    "GATEWAY_CHECK_EVENTS": "1",
    "GATEWAY_REQUESTS_PER_MINUTE": "0",
    "GATEWAY_TOKENS_PER_MINUTE": "0",
    "GATEWAY_STT_WORDS_S": "300",
}
"""Of the mesh: every event is checked, and nothing is refused because it is much. Noise takes
PocketSphinx longer than it lasts, and four sessions make it at a time."""

QUIET = {
    "output_modalities": ["text"], "instructions": "", "tools": [], "tool_choice": "auto",
    "max_output_tokens": "inf", "truncation": "auto",
    "audio": {"input": {"turn_detection": None, "transcription": None}},
}  # fmt: skip
"""Settings in which a written turn works whatever was there before."""

Event = dict[str, Any]


class Defect(Exception):
    """The mesh did what it must not do."""


@dataclass(slots=True)
class Tally:
    """What one run has seen."""

    frames: int = 0
    bursts: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    rss: list[int] = field(default_factory=list)
    """Bytes of the gateway's memory after each burst."""
    turns_s: list[float] = field(default_factory=list)
    """From the last frame of each burst to the end of its turn: all that was sent comes first."""
    seconds: float = 0.0

    @property
    def growth(self) -> int:
        """Bytes from the end of the warm-up to the end."""
        warm = self.rss[round(len(self.rss) * WARM_UP) :]
        third = max(1, len(warm) // 3)
        return min(warm[-third:]) - min(warm[:third])


class Victim:
    """One session: sends, and reads what comes."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, frames: Frames, tally: Tally) -> None:
        self._ws, self._frames, self._tally = ws, frames, tally
        self.last: list[str | bytes] = []  # the newest frames, for the report of a defect
        self._events: asyncio.Queue[Event] = asyncio.Queue(maxsize=10_000)

    async def burst(self, n_frames: int) -> None:
        """Send so many frames while reading; then the session must still answer.

        Raises:
            Defect: it does not.
        """
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(), name="read")
            for _ in range(n_frames):
                await self._send(self._frames.next())
            began_s = time.monotonic()
            await self._turn()
            self._tally.turns_s.append(time.monotonic() - began_s)
            reading.cancel()

    async def _send(self, frame: str | bytes) -> None:
        self.last = [*self.last[-9:], frame]
        self._tally.frames += 1
        try:
            if isinstance(frame, str):
                await self._ws.send_str(frame)
            else:
                await self._ws.send_bytes(frame)
        except ConnectionError as error:
            raise self._defect(f"the connection is gone: {error!r}") from None

    async def _read(self) -> None:
        async for message in self._ws:
            event = json.loads(message.data)
            self._tally.answers[event["type"]] += 1
            if event["type"] == "error":
                self._tally.errors[str(event["error"]["code"])] += 1
            for found in _ids(event):
                self._frames.learn(found)
            await self._events.put(event) if _matters(event) else None
        raise self._defect(f"the session was closed: {self._ws.close_code}")

    async def _turn(self) -> None:
        """A written turn in the same session."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._quieten()
                text = [{"type": "input_text", "text": "What is two plus two?"}]
                item = {"type": "message", "role": "user", "content": text}
                await self._say("conversation.item.create", item=item)
                await self._say("response.create", event_id="fuzz_turn")
                while not await self._answered():
                    await self._say("response.create", event_id="fuzz_turn")
        except TimeoutError:
            raise self._defect("a turn took too long") from None

    async def _quieten(self) -> None:
        """Nothing must be going on: neither a response nor a recording."""
        await self._say("session.update", session={"type": "realtime", **QUIET})
        await self._say("input_audio_buffer.clear", event_id="fuzz_clear")
        while True:
            await self._say("response.cancel", event_id="fuzz_cancel")
            event = await self._events.get()
            while event["type"] != "response.done" and _of(event) != "fuzz_cancel":
                event = await self._events.get()
            if event["type"] == "error":
                return

    async def _answered(self) -> bool:
        """False if it waited for speech of the burst that nobody can hear, in a language that a
        mutated frame made up: ask again."""
        mine = ""
        while True:
            event = await self._events.get()
            if event["type"] == "error" and _of(event) == "fuzz_turn":
                raise self._defect(f"a turn was refused: {event['error']}")
            if event["type"] == "response.created":
                mine = event["response"]["id"]
            if event["type"] == "response.done" and event["response"]["id"] == mine:
                if event["response"]["status"] == "completed":
                    return True
                details = event["response"]["status_details"]
                if NO_LANGUAGE not in str(details):
                    raise self._defect(f"a turn failed: {details}")
                return False

    async def _say(self, type_: str, **fields: Any) -> None:
        await self._ws.send_json({"type": type_, **fields})

    def _defect(self, what: str) -> Defect:
        return Defect(
            f"{what}\nFrames({self._frames.seed})\nlast frames:\n"
            + "\n".join(repr(f)[:200] for f in self.last)
        )


def _matters(event: Event) -> bool:
    return event["type"] in ("response.created", "response.done") or _of(event).startswith("fuzz_")


def _of(event: Event) -> str:
    return str((event.get("error") or {}).get("event_id"))


def _ids(event: Event) -> list[str]:
    places = (event, event.get("item") or {}, event.get("response") or {})
    return [str(p[key]) for p in places for key in ("id", "item_id", "call_id") if p.get(key)]


async def fuzz(url: str, key: str, gateway_pid: int, n_frames: int, seed: int = 1) -> Tally:
    """Send that many frames, in bursts of several sessions at a time.

    Args:
        url: Of the gateway, `http://…`. It must have no rate limits, and check its events.

    Raises:
        Defect: a session ended, or could not be used after its burst.
    """
    tally, began_s = Tally(), time.monotonic()
    sizes = [BURST] * (n_frames // BURST) + [n_frames % BURST] * (n_frames % BURST > 0)
    waiting = iter(enumerate(sizes))

    async def work(web: aiohttp.ClientSession) -> None:
        for number, size in waiting:
            headers = {"Authorization": f"Bearer {key}"}
            async with web.ws_connect(
                f"{url}/v1/realtime?model=gpt-realtime", headers=headers, max_msg_size=0
            ) as ws:
                await Victim(ws, Frames(seed * 100_000 + number), tally).burst(size)
            tally.bursts += 1
            tally.rss.append(rss_bytes(gateway_pid))

    async with aiohttp.ClientSession() as web, asyncio.TaskGroup() as tasks:
        for n in range(SESSIONS):
            tasks.create_task(work(web), name=f"session {n}")
    tally.seconds = time.monotonic() - began_s
    return tally


def leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The exceptions in a group of groups."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


def loud(logs: Path) -> list[str]:
    """What the tiers logged as an error, and every traceback."""
    lines = (line for file in sorted(logs.glob("*.log")) for line in file.read_text().splitlines())
    return [
        line for line in lines if re.search(r'"ERROR"|"CRITICAL"|Traceback|never awaited', line)
    ]


def report(tally: Tally) -> str:
    rate = tally.frames / tally.seconds
    heard = ", ".join(f"{type_} {n}" for type_, n in tally.answers.most_common())
    refused = ", ".join(f"{code} {n}" for code, n in tally.errors.most_common())
    return (
        f"{tally.frames} frames in {tally.seconds:.0f} s ({rate:.0f}/s), {tally.bursts} bursts\n"
        f"events: {heard}\nerrors: {refused}\n"
        f"turns: {statistics.median(tally.turns_s):.1f} s after their burst, the slowest"
        f" {max(tally.turns_s):.1f} s\n"
        f"memory: {tally.rss[0] >> 20} MB after the first burst, {tally.rss[-1] >> 20} MB after the"
        f" last, {tally.growth / (1 << 20):+.1f} MB since it was warm"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    from tests.stack import running  # only here: it needs pytest

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), **SETTINGS) as stack:
            pid = stack.pid_of("gateway")
            assert pid is not None
            try:
                tally = asyncio.run(fuzz(stack.url, stack.key, pid, asked.frames, asked.seed))
                print(report(tally))
                wrong = [f"grew by {tally.growth >> 20} MB"] if tally.growth > GROWTH else []
            except* Defect as defects:
                wrong = [str(defect) for defect in leaves(defects)]
        wrong += [line[-3000:] for line in loud(Path(folder) / "logs")[:20]]
    if wrong:
        raise SystemExit("\n\n".join(wrong))


if __name__ == "__main__":
    main()
