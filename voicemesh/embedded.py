"""What a server that we bring along has in common with another."""

from __future__ import annotations

import abc
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

from voicemesh import ports, private
from voicemesh.trouble import ServerFailed

START_S = 60.0  # crash recovery of a large database, on a slow disk
STOP_S = 20.0  # a checkpoint, on a slow disk


ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
"""Of every server: none of the PG… variables of whoever starts us."""


class Embedded(abc.ABC):
    """A server of our own. Its folder belongs to one process at a time."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    hurry_signal: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        """
        Args:
            data_dir: Made if need be; nobody but us may look inside.
            port: 0 takes a free one.
        """
        self.data_dir = data_dir.absolute()
        self.port = port
        self._password = ""
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where clients connect, password included. Known after `prepare`."""

    @property
    @abc.abstractmethod
    def command(self) -> Sequence[str]:
        """What runs the server in the foreground. Known after `prepare`."""

    def prepare(self) -> None:
        """Do everything that goes before running `command`: takes seconds the first time.

        Raises:
            ServerMissing: the server is not on this machine.
            ServerFailed: another process uses the folder, or it cannot be filled.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        self._take_folder()
        self._password = private.kept(self.data_dir / "password")
        self.port = self.port or ports.free()
        self._fill()

    @abc.abstractmethod
    def _fill(self) -> None:
        """Put what the server needs into the folder; end a leftover of an earlier run."""

    @abc.abstractmethod
    def answers(self) -> bool:
        """Whether the server serves clients now. Does not wait."""

    def release(self) -> None:
        """Let another process have the folder. The server must have ended."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, its data written; kill it if it does not end by itself."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self.release()

    def _start(self) -> None:
        log = self.data_dir / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=ENVIRONMENT,
                process_group=0,
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace").splitlines()[-5:]
                raise ServerFailed("\n  ".join([f"{self.name} did not start:", *words]))
            time.sleep(0.02)

    def _take_folder(self) -> None:
        self._lock = (self.data_dir / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ServerFailed(f"{self.data_dir} is in use by another process") from None
