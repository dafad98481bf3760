"""One child process: started, watched, restarted, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from voicemesh.logs import Log, short
from voicemesh.trouble import PartFailed

READY_S = 120.0  # a large model, from a slow disk
ASK_EVERY_S = 0.05
REST_FIRST_S = 0.1
REST_MOST_S = 10.0
STEADY_S = 30.0  # a part that ran this long rests as if it had never ended before
_HURRY_S = 5.0
_LEFT_IN_PIPE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process to keep."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    """All of its environment."""
    ready: Callable[[], Awaitable[bool]]
    """Asked again and again until it says yes. Does not raise."""
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    """For somebody who asks to stop twice, and for a part that takes too long."""
    stop_s: float = 10.0
    """How long it may take to end."""


class Reporter(Protocol):
    """Who is told what becomes of the parts."""

    def ready(self, part: str, after_s: float, *, again: bool) -> None: ...
    def died(self, part: str, how: str, rest_s: float, last: Sequence[str]) -> None: ...
    def said(self, part: str, line: str) -> None: ...


def rest_s(failures: int) -> float:
    """How long a part rests after so many ends in a row, one or more."""
    return min(REST_FIRST_S * 2.0 ** (failures - 1), REST_MOST_S)


def how_ended(status: int) -> str:
    """An exit status in words; negative is a signal."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"


class Keeper:
    """Keeps one part running until it is told to stop."""

    def __init__(self, part: Part, log_dir: Path, reporter: Reporter) -> None:
        self.part = part
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the part is ready for the first time; raises PartFailed if it never is."""
        self._log = Log(log_dir / f"{part.name}.log")
        self._reporter = reporter
        self._process: asyncio.SubprocessTransport | None = None
        self._stopping, self._ended = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Keep it running until `stop`. Cancelling kills it."""
        failures = 0
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                how = await self._live(began)
                if self._stopping.is_set():
                    break
                if not self._was_ready:
                    self._never_ready(how)
                    break
                failures = 1 if time.monotonic() - began > STEADY_S else failures + 1
                self._reporter.died(self.part.name, how, rest_s(failures), self._log.last)
                await _within(rest_s(failures), self._stopping.wait())
        finally:
            self._log.close()
            self._ended.set()

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the part and wait for its end.

        Args:
            hurry: Once it is set, the part is ended the hard way.
        """
        self._stopping.set()
        if not hurry.is_set():
            self._signal(self.part.stop_signal)
            await _within(self.part.stop_s, _first(self._ended, hurry))
        for number in (self.part.hurry_signal, signal.SIGKILL):
            if not self._ended.is_set():
                self._signal(number)
                await _within(_HURRY_S, self._ended.wait())
        await self._ended.wait()

    @property
    def _was_ready(self) -> bool:
        return self.started.done() and self.started.exception() is None

    async def _live(self, began: float) -> str:
        """One life of the process. Returns how it ended."""
        self._log.last.clear()
        try:
            transport, life = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Life(self._hear),
                *self.part.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(self.part.env),
                start_new_session=True,  # Ctrl-C is for us: we end the parts in order
            )
        except OSError as error:  # no such program; or too many processes for now
            return f"cannot be run: {error}"
        self._process = transport
        if self._stopping.is_set():  # told while it was being started
            self._signal(self.part.stop_signal)
        try:
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(self._ask(began), name="ask")
                await life.exited.wait()
                asking.cancel()
        finally:
            self._process = None
            _kill_group(transport.get_pid())  # what it started and left holds the pipe open
            await _within(_LEFT_IN_PIPE_S, life.closed.wait())
            transport.close()
        return how_ended(transport.get_returncode() or 0)

    def _hear(self, piece: bytes) -> None:
        for line in self._log.write(piece):
            self._reporter.said(self.part.name, line)

    async def _ask(self, began: float) -> None:
        """Ask until it is ready. One that is not in time is as good as dead."""
        try:
            async with asyncio.timeout(READY_S):
                while not await self.part.ready():  # noqa: ASYNC110 - only asking tells
                    await asyncio.sleep(ASK_EVERY_S)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            return
        after_s = time.monotonic() - began
        self._reporter.ready(self.part.name, after_s, again=self.started.done())
        if not self.started.done():
            self.started.set_result(None)

    def _never_ready(self, how: str) -> None:
        words = map(short, self._log.last)
        lines = [f"{self.part.name} {how}", *words, f"(more in {self._log.path})"]
        self.started.set_exception(PartFailed("\n  ".join(lines)))
        self.started.exception()  # whoever waited for it may be gone

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class _Life(asyncio.SubprocessProtocol):
    """Why not `asyncio.subprocess`: its `wait` also waits for everybody who has the pipe."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.exited, self.closed = asyncio.Event(), asyncio.Event()
        self._hear = hear

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._hear(data)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter
        os.killpg(pid, signal.SIGKILL)


async def _within(limit_s: float, happens: Awaitable[object]) -> None:
    """Wait for something, but not for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await happens


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
