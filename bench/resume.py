"""A gateway is killed in the middle of a spoken answer: how long until it goes on, and is it whole?

    python -m bench.resume --runs 30
    python -m bench.resume --runs 1 --kills 0      # the answer undisturbed

Starts three gateways behind HAProxy. The stock openai-python client asks for an answer that is
known word by word; at some moment of it the process that has the session gets SIGKILL, and the
client reads on where its own reconnection leads. It fails when an answer is not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from openai import AsyncOpenAI, OpenAIError
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides
from websockets.exceptions import WebSocketException

from bench.fuzz import leaves
from bench.one_answer import ANSWER, OneAnswer
from bench.talkers import percentile
from bench.whole import Kept, faults

GATEWAYS = 3
RUN_S = 90.0  # far above the longest answer
READY_S = 60.0  # until a gateway that was killed is there again
INITIAL_DELAY_S = 0.05  # of the client's first reconnection
EARLIEST, LATEST = 0.1, 0.8  # of the answer's length: when it is cut off

SETTINGS = {
    "GATEWAY_REQUESTS_PER_MINUTE": "0",
    "GATEWAY_TOKENS_PER_MINUTE": "0",
    "GATEWAY_CONNECTS_PER_S": "0",
    "LLM_PROVIDERS": "openai",
    "LLM_OPENAI_MODEL": "alpha",
}


class Mesh(Protocol):
    """What runs, as `tests.stack` starts it."""

    @property
    def gateways(self) -> list[str]: ...

    def gateway_pid(self, n: int) -> int | None: ...

    def openai(self) -> AsyncOpenAI: ...


@dataclass(slots=True)
class Run:
    """One answer, and what became of it."""

    kept: Kept = field(default_factory=Kept)
    session_id: str = ""
    last_event_id: str = ""
    killed_s: float | None = None
    reconnects: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def gap_ms(self) -> float | None:
        """From the last audio before the kill to the first behind it; None if none was killed."""
        return None if self.killed_s is None else self.kept.gap_ms(self.killed_s)

    def take(self, event: Any) -> None:
        """One event of the server."""
        self.last_event_id = event.event_id or self.last_event_id
        match event.type:
            case "session.created":
                self.session_id = self.session_id or event.session.id
            case "response.output_audio.delta":
                self.kept.audio(time.monotonic(), base64.b64decode(event.delta))
            case "response.output_audio_transcript.delta":
                self.kept.deltas.append(event.delta)
            case "response.output_audio_transcript.done":
                self.kept.transcripts.append(event.transcript)
            case "response.done":
                self.kept.statuses.append(event.response.status)
            case "error":
                self.faults.append(f"error: {event.error.code or event.error.message}")


async def answer(mesh: Mesh, kill_after_s: float | None, *, names_event: bool) -> Run:
    """Ask once, and read to the end.

    Args:
        kill_after_s: From the first audio to the kill; None to let everyone live.
        names_event: Whether the client says which event was its last.
    """
    run = Run()

    def reconnecting(_: ReconnectingEvent) -> ReconnectingOverrides:
        run.reconnects += 1
        last = {"last_event_id": run.last_event_id} if names_event else {}
        return {"extra_query": {"session_id": run.session_id, **last}}

    try:
        async with asyncio.timeout(RUN_S), mesh.openai() as client:
            dialled = client.realtime.connect(
                model="gpt-realtime", on_reconnecting=reconnecting, initial_delay=INITIAL_DELAY_S
            )
            async with dialled as connection, asyncio.TaskGroup() as tasks:
                await _ask(connection)
                await _listen(connection, run, _killer(mesh, run, kill_after_s, tasks))
    except* TimeoutError:
        run.faults.append(f"no end after {RUN_S:.0f} s")
    except* (OSError, LookupError, OpenAIError, WebSocketException) as errors:
        run.faults += [repr(error) for error in leaves(errors)]
    return run


async def _listen(connection: Any, run: Run, begin: Callable[[], None]) -> None:
    """Read to the end of the response.

    Args:
        begin: Called once, when audio comes.
    """
    async for event in connection:
        run.take(event)
        if event.type == "response.output_audio.delta" and len(run.kept.times_s) == 1:
            begin()
        if event.type == "response.done":
            return


def _killer(
    mesh: Mesh, run: Run, after_s: float | None, tasks: asyncio.TaskGroup
) -> Callable[[], None]:
    """What sets the kill going."""

    async def kill(after_s: float) -> None:
        due_s = time.monotonic() + after_s
        n = await owner(mesh)
        pid = await asyncio.to_thread(mesh.gateway_pid, n)
        if pid is None:
            raise LookupError(f"gateway {n} is not running")
        await asyncio.sleep(due_s - time.monotonic())
        run.killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)

    def begin() -> None:
        if after_s is not None:
            tasks.create_task(kill(after_s), name="kill")

    return begin


async def _ask(connection: Any) -> None:
    text = [{"type": "input_text", "text": "Tell me about the harbour."}]
    item = {"type": "message", "role": "user", "content": text}
    await connection.conversation.item.create(item=item)
    await connection.response.create()


async def owner(mesh: Mesh) -> int:
    """The gateway that has a session; there is one."""
    found = [n for n, page in enumerate(await _pages(mesh)) if "\ngateway_sessions 1.0" in page]
    if len(found) != 1:
        raise LookupError(f"{len(found)} gateways have a session")
    return found[0]


async def _pages(mesh: Mesh) -> list[str]:
    async with aiohttp.ClientSession() as web:
        return [await _page(web, f"{url}/metrics") for url in mesh.gateways]


async def _page(web: aiohttp.ClientSession, url: str) -> str:
    async with web.get(url) as response:
        return await response.text() if response.status == 200 else ""


async def all_ready(mesh: Mesh) -> None:
    """Wait until every gateway takes sessions.

    Raises:
        TimeoutError: one does not come.
    """
    until_s = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as web:
        for url in mesh.gateways:
            while not await _is_ready(web, url):
                if time.monotonic() > until_s:
                    raise TimeoutError(f"{url} does not get ready")
                await asyncio.sleep(0.1)


async def _is_ready(web: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with web.get(f"{url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def bench(mesh: Mesh, n_runs: int, kills: int, *, seed: int, names_event: bool) -> list[Run]:
    """One answer after another; the first is undisturbed and says how long they last."""
    chance = random.Random(seed)
    await all_ready(mesh)
    whole = await answer(mesh, None, names_event=names_event)
    whole.faults += faults(whole.kept, ANSWER)
    print(f"undisturbed: {line(whole)}", flush=True)
    runs = [whole]
    for number in range(1, n_runs + 1):
        await all_ready(mesh)
        share = chance.uniform(EARLIEST, LATEST)
        after_s = share * whole.kept.seconds if number <= kills else None
        run = await answer(mesh, after_s, names_event=names_event)
        run.faults += faults(run.kept, ANSWER, seconds=whole.kept.seconds)
        if after_s is not None and run.killed_s is None:
            run.faults.append("nobody was killed")
        when = "undisturbed" if after_s is None else f"killed at {share:.0%}"
        print(f"run {number}, {when}: {line(run)}", flush=True)
        runs.append(run)
    return runs


def line(run: Run) -> str:
    gap = "no gap" if run.gap_ms is None else f"gap {run.gap_ms:.0f} ms"
    verdict = "; ".join(run.faults) or "whole"
    return f"{run.kept.seconds:.1f} s of audio, {run.reconnects} reconnect(s), {gap}: {verdict}"


def summary(runs: list[Run], restores_ms: list[float]) -> str:
    gaps = [run.gap_ms for run in runs if run.gap_ms is not None]
    lines = [f"{sum(not run.faults for run in runs)} of {len(runs)} answers whole"]
    for name, values in (("gap", gaps), ("restored by the server", restores_ms)):
        if values:
            p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
            lines.append(f"{name}: {len(values)}, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    return "\n".join(lines)


def restores(logs: Path) -> list[float]:
    """How long each restore took, in milliseconds, as the gateways logged it."""
    files = sorted(logs.glob("gateway*.log"))
    said = (entry for file in files for entry in file.read_text().splitlines())
    entries = (msgspec.json.decode(entry) for entry in said if '"session resumed"' in entry)
    return [float(entry["took_ms"]) for entry in entries if "took_ms" in entry]


async def _main(folder: Path, asked: argparse.Namespace) -> list[Run]:
    from tests.stack import running  # only here: it needs pytest

    async with AsyncExitStack() as started:
        llm = await started.enter_async_context(OneAnswer(asked.token_ms / 1000))
        mesh = started.enter_context(
            running(
                folder,
                arguments=("--gateways", str(GATEWAYS), "--haproxy"),
                LLM_OPENAI_BASE_URL=f"{llm.url}/v1",
                **SETTINGS,
            )
        )
        kills = asked.runs if asked.kills is None else asked.kills
        return await bench(mesh, asked.runs, kills, seed=asked.seed, names_event=not asked.plain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--kills", type=int, help="of them; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--token-ms", type=float, default=40.0, help="how slowly the model writes")
    parser.add_argument("--plain", action="store_true", help="the client names no last event")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        runs = asyncio.run(_main(Path(folder), asked))
        print(summary(runs, restores(Path(folder) / "logs")))
    if any(run.faults for run in runs):
        raise SystemExit("not all answers were whole")


if __name__ == "__main__":
    main()
