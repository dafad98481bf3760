"""A gateway instance: several processes, one for each core, and this one, which keeps them.

Each process has ports of its own, so that a balancer knows, checks and drains each of them:
PORT + i and GATEWAY_TLS_PORT + i for clients, GATEWAY_METRICS_PORT + 1 + i for metrics. At
GATEWAY_METRICS_PORT itself we answer for the instance as a whole.

A process is started by exec, never by fork: it begins as one that was started alone. It gets a
pipe for its standard input and ends when we do, however that happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Sequence

from gateway.config import Config
from gateway.instance_pages import Member, Pages
from mesh.config import environment

OPTION = "--process"
"""`python -m gateway --process 2/4` is the second of four."""

_REST_FIRST_S, _REST_MOST_S = 0.1, 10.0
_STEADY_S = 30.0  # who ran this long rests as if it had never ended before
_SOON_S = 10.0  # who ends by itself as soon as this at the first start would always do so
_BEYOND_DRAIN_S = 10.0  # replies have moved, pools are closed

log = logging.getLogger(__name__)


def cores() -> int:
    """How many this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def end_with_parent(arguments: Sequence[str]) -> None:
    """In a process of an instance: end at once when the one that keeps us has ended, even if
    our loop hangs. Sessions go on elsewhere, and our ports must be free for the next instance."""
    if OPTION not in arguments:
        return

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 64):
                pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="parent", daemon=True).start()


async def serve(settings: Config, n_processes: int) -> None:
    """Keep that many processes until SIGTERM or SIGINT, then drain them all and end.

    Raises:
        SystemExit: one ended by itself as soon as it was started, with that status.
    """
    instance = Instance(settings, n_processes, [sys.executable, *sys.orig_argv[1:]])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, instance.stop)
    pages = Pages(instance.members, lambda: instance.is_draining)
    try:
        async with pages.serving(settings.host, settings.metrics_port) as port:
            log.info("instance", extra={"processes": n_processes, "metrics_port": port})
            status = await instance.run()
    except OSError as error:
        sys.exit(f"GATEWAY_METRICS_PORT: cannot listen: {error.strerror}")
    log.info("stopped")
    if status:
        sys.exit(status)


class Instance:
    """The processes of one instance."""

    def __init__(self, settings: Config, n_processes: int, command: Sequence[str]) -> None:
        """
        Args:
            command: What starts a gateway; its number is added.
        """
        self._settings, self._command = settings, command
        self._environments = environments(settings, n_processes)
        host = settings.host
        self.members = [
            Member(n, host, int(env["PORT"]), int(env["GATEWAY_METRICS_PORT"]))
            for n, env in enumerate(self._environments)
        ]
        self._stopping = asyncio.Event()
        self._running: dict[int, Process] = {}
        self._failed = 0

    @property
    def is_draining(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask for the end: no process gets new sessions, and each goes when its own have gone."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    async def run(self) -> int:
        """Keep all processes until `stop`, and until they have ended.

        Returns:
            0, or the status of a process that cannot be started at all.
        """
        async with asyncio.TaskGroup() as tasks:
            keeping = [
                tasks.create_task(self._keep(member), name=f"process {member.number}")
                for member in self.members
            ]
            await self._stopping.wait()
            limit_s = self._settings.drain_s + _BEYOND_DRAIN_S
            await asyncio.wait(keeping, timeout=limit_s)
            self._signal(signal.SIGKILL)
        return self._failed

    async def _keep(self, member: Member) -> None:
        """Start one again and again. Cancelling kills it."""
        failures = 0
        while not self.is_draining:
            began = time.monotonic()
            status = await self._live(member.number)
            lived_s = time.monotonic() - began
            if self.is_draining:
                return
            if status > 0 and lived_s < _SOON_S and not member.restarts:
                self._failed = self._failed or status  # it has said why, and always will
                return self.stop()
            failures = 1 if lived_s > _STEADY_S else failures + 1
            rest_s = min(_REST_FIRST_S * 2.0 ** (failures - 1), _REST_MOST_S)
            member.restarts += 1
            extra = {"number": member.number, "status": status, "rest_s": rest_s}
            log.error("process ended", extra=extra)
            await _within(rest_s, self._stopping.wait())

    async def _live(self, n: int) -> int:
        """One life of a process. Returns its exit status; negative is a signal."""
        command = [*self._command, OPTION, f"{n + 1}/{len(self.members)}"]
        process = await asyncio.create_subprocess_exec(
            *command, env=self._environments[n], stdin=PIPE
        )
        self._running[n] = process
        try:
            if self.is_draining:  # told while it was being started
                process.send_signal(signal.SIGTERM)
            return await process.wait()
        finally:
            del self._running[n]
            if process.returncode is None:
                process.kill()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def environments(settings: Config, n_processes: int) -> list[dict[str, str]]:
    """The environment of each process: ours, with ports and a share of the limits of its own."""
    ports = _ports(settings.port, n_processes)
    metrics_ports = _ports(settings.metrics_port and settings.metrics_port + 1, n_processes)
    made: list[dict[str, str]] = []
    for n in range(n_processes):
        own = {
            "PORT": str(ports[n]),
            "GATEWAY_METRICS_PORT": str(metrics_ports[n]),
            "GATEWAY_PROCESSES": "1",
            "GATEWAY_CONNECTS_PER_S": repr(settings.connects_per_s / n_processes),
        }
        if settings.tls_port is not None:
            own["GATEWAY_TLS_PORT"] = str(settings.tls_port and settings.tls_port + n)
        if settings.spool_dir is not None:  # two processes must not share a file
            own["GATEWAY_SPOOL_DIR"] = str(settings.spool_dir / str(n))
        made.append({**environment(), **own})
    return made


def _ports(first: int, n: int) -> list[int]:
    """`n` in a row; if the first one is 0, free ones."""
    if first:
        return list(range(first, first + n))
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def _within(limit_s: float, happens: Awaitable[object]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await happens
