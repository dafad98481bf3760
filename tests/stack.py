"""The whole mesh as a user runs it: `voicemesh up` in a folder of its own, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from voicemesh.ports import several

ROOT = Path(__file__).parents[1]
READY_S = 120.0
_PORTS = ("PORT", "GATEWAY_TLS_PORT", "STT_PORT", "TTS_PORT", "LLM_PORT", "PERSISTENCE_PORT")
_STATS = "HAPROXY_STATS_PORT"
_METRICS = ("GATEWAY", "STT", "TTS", "LLM", "PERSISTENCE")


@dataclass(frozen=True, slots=True)
class Stack:
    """A running mesh."""

    process: subprocess.Popen[str]
    data_dir: Path
    ports: dict[str, int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}"

    @property
    def key(self) -> str:
        return (self.data_dir / "dev-key").read_text().strip()

    @property
    def database_url(self) -> str:
        return self._told("database_url")

    @property
    def redis_url(self) -> str:
        return self._told("redis_url")

    @property
    def https_url(self) -> str:
        return self._told("https_url")

    @property
    def ca_file(self) -> str:
        """What a client of `https_url` must trust."""
        return self._told("ca_file")

    @property
    def gateways(self) -> list[str]:
        """URL of each gateway, for `--gateways`."""
        return list(self._running()["gateways"])

    @property
    def stats_url(self) -> str:
        """Of HAProxy, for `--haproxy`."""
        return self._told("stats_url")

    def _told(self, what: str) -> str:
        return str(self._running()[what])

    def _running(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "running.json").read_text())
        return found

    def openai(self) -> AsyncOpenAI:
        """The stock client; nothing but its base URL is ours."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0)

    def pid_of(self, module: str) -> int | None:
        """The process of one tier, if it lives; the first one of several."""
        return next(self._pids_of(f"-m {module}"), None)

    def haproxy_pid(self) -> int | None:
        return next(self._pids_of("haproxy.cfg"), None)

    def gateway_pid(self, n: int) -> int | None:
        """The process of the gateway number `n`, if it lives; 0 is the first."""
        port = self.gateways[n].rpartition(":")[2]
        for pid in self._pids_of("-m gateway"):
            ps = ["ps", "eww", "-p", str(pid), "-o", "command="]  # with its variables
            said = subprocess.run(ps, capture_output=True, text=True, check=False).stdout
            if f"PORT={port}" in said.split():
                return pid
        return None

    def signal_gateway(self, n: int, number: signal.Signals) -> int:
        """Kill, stop or continue one gateway; returns the pid it has."""
        pid = self.gateway_pid(n)
        assert pid is not None, f"gateway {n} is not running"
        os.kill(pid, number)
        return pid

    def _pids_of(self, ending: str) -> Iterator[int]:
        listed = subprocess.run(
            ["ps", "-axww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
        )
        for line in listed.stdout.splitlines():
            pid, ppid, command = line.split(maxsplit=2)
            if int(ppid) == self.process.pid and command.endswith(ending):
                yield int(pid)

    def kill(self, module: str) -> int:
        """SIGKILL a tier; returns the pid it had."""
        pid = self.pid_of(module)
        assert pid is not None, f"{module} is not running"
        os.kill(pid, signal.SIGKILL)
        return pid


def environment(ports: dict[str, int]) -> dict[str, str]:
    """As a user has it who set nothing but ports: no keys, no other servers."""
    foreign = ("OPENAI_", "GROQ_", "OLLAMA_", "DATABASE_URL", "REDIS_URL", "STT_", "TTS_", "LLM_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}  # noqa: TID251 - what the child inherits
    return {**env, **{name: str(port) for name, port in ports.items()}}


@contextlib.contextmanager
def running(data_dir: Path, *, arguments: Sequence[str] = (), **settings: str) -> Iterator[Stack]:
    """`voicemesh up`, until the block ends.

    Args:
        arguments: Of the command, e.g. `("--gateways", "3", "--haproxy")`.
        settings: Variables.
    """
    names = [*_PORTS, _STATS, *(f"{name}_METRICS_PORT" for name in _METRICS)]
    ports = dict(zip(names, several(len(names)), strict=True))
    log = data_dir / "up.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "voicemesh.cli", "up", "--data-dir", str(data_dir), *arguments],
            cwd=ROOT,
            env=environment(ports) | {"GATEWAY_CHECK_EVENTS": "true"} | settings,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        _await_ready(process, data_dir, log)
        yield Stack(process, data_dir, ports)
    finally:
        process.send_signal(signal.SIGCONT)  # a test that failed may have left it stopped
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _await_ready(process: subprocess.Popen[str], data_dir: Path, log: Path) -> None:
    deadline_s = time.monotonic() + READY_S
    while not (data_dir / "running.json").exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            pytest.fail(f"`voicemesh up` did not get ready:\n{log.read_text()}", pytrace=False)
        time.sleep(0.05)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One mesh for all tests that leave it as they found it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder)) as stack:
            yield stack
