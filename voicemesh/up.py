"""`voicemesh up`: the whole mesh on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from voicemesh import (
    accelerator,
    banner,
    child,
    keys,
    plan,
    ports,
    private,
    probes,
    programs,
    settings,
)
from voicemesh.edge import Edge
from voicemesh.embedded import ENVIRONMENT, Embedded
from voicemesh.keeper import Part
from voicemesh.plan import Plan
from voicemesh.servers import EmbeddedPostgres, EmbeddedRedis
from voicemesh.supervisor import Supervisor
from voicemesh.terminal import Terminal
from voicemesh.tiers import Tier
from voicemesh.trouble import AlreadyRunning
from voicemesh.up_options import ONE_OF_EACH, Counts

_BEYOND_DRAIN_S = 5.0  # models are freed, pools are closed
_SERVER_STOP_S = 20.0  # a checkpoint, on a slow disk


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What other commands find out about a running `up`."""

    pid: int
    http_url: str
    https_url: str | None = None
    """The same over TLS, if that is served."""
    ca_file: str | None = None
    """What to trust there; None if the certificate was not made here."""
    database_url: str
    redis_url: str
    gateways: list[str] = []
    """URL of each gateway; behind HAProxy `http_url` is that of none of them."""
    stats_url: str | None = None
    """Where HAProxy tells what it does, if it runs."""


def running(data_dir: Path) -> Running | None:
    """The `up` that is ready on this data folder; None if there is none."""
    try:
        found = msgspec.json.decode((data_dir / "running.json").read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None
    return found if child.command_line(found.pid) else None  # it may have been killed


def run(
    data_dir: Path, env: Mapping[str, str], counts: Counts = ONE_OF_EACH, *, verbose: bool = False
) -> None:
    """Run the mesh until SIGINT, SIGTERM or SIGHUP.

    Raises:
        ConfigError: settings are wrong.
        Trouble: ports, servers or tiers are not to be had. Nothing is left running.
    """
    decided = plan.make(data_dir, env, counts)
    if counts.haproxy:
        programs.haproxy()  # before anything is started
    with _alone(decided.data_dir):
        ports.check(decided.ports())
        terminal = Terminal(verbose=verbose)
        for line in settings.unknown(env):
            terminal.warn(line)
        asyncio.run(_Up(decided, terminal).run())


class _Up:
    """One run."""

    def __init__(self, decided: Plan, terminal: Terminal) -> None:
        self._plan, self._terminal = decided, terminal
        self._supervisor = Supervisor(decided.logs_dir, terminal)
        self._postgres = self._redis = None
        self._edge = Edge(decided) if decided.has_haproxy else None
        given, data_dir = decided.settings, decided.data_dir
        self._servers: list[Embedded] = []
        if given.database_url is None:
            self._postgres = EmbeddedPostgres(data_dir / "postgres", port=given.postgres_port)
            self._servers.append(self._postgres)
        if given.redis_url is None:
            self._redis = EmbeddedRedis(data_dir / "redis", port=given.redis_port)
            self._servers.append(self._redis)

    async def run(self) -> None:
        with ExitStack() as released:
            for server in self._servers:
                released.callback(server.release)
            released.enter_context(self._signals())
            running = self._plan.data_dir / "running.json"
            running.unlink(missing_ok=True)  # of one that was killed
            released.callback(running.unlink, missing_ok=True)
            if self._edge:
                released.callback(self._edge.release)
            await self._supervisor.run(self._begin)
        self._terminal.say("All processes have ended.")

    async def _begin(self) -> None:
        decided = self._plan
        key = keys.development(decided.data_dir / "dev-key", decided.keys_file)
        if decided.own_tls:
            from voicemesh import certificate  # its library comes with the extra `up` only

            names = (socket.gethostname(), decided.gateway.host)
            certificate.ensure(decided.own_tls, names, datetime.now(UTC))
        await self._start_servers()
        urls = (self._database_url, self._redis_url)
        persistence = decided.tiers["persistence"]
        workers = [
            _tier_part(worker, decided.worker_env(name, worker, *urls))
            for name, several in decided.workers.items()
            for worker in several
        ]
        gateways = [_tier_part(tier, decided.gateway_env(tier, *urls)) for tier in decided.gateways]
        await self._supervisor.start(
            [_tier_part(persistence, decided.tier_env("persistence", *urls))],
            workers,
            self._edge.parts(self._redis_url) if self._edge else [],
            gateways,  # the first to end, while there is somebody who can send clients elsewhere
        )
        if complaint := await asyncio.to_thread(accelerator.complaint):
            self._terminal.warn(complaint)
        self._announce(key)

    @property
    def _database_url(self) -> str:
        return self._plan.settings.database_url or (self._postgres.url if self._postgres else "")

    @property
    def _redis_url(self) -> str:
        return str(self._plan.settings.redis_url or (self._redis.url if self._redis else ""))

    async def _start_servers(self) -> None:
        for server in self._servers:
            if not (server.data_dir / "password").exists():
                self._terminal.step(server.name, "making its data folder, this first time only")
            await asyncio.to_thread(server.prepare)
        await self._supervisor.start([_server_part(server) for server in self._servers])

    def _announce(self, key: str) -> None:
        decided = self._plan
        http_url = f"http://{decided.gateway.target}"
        ca_file = decided.own_tls.ca if decided.own_tls else None
        found = Running(
            pid=os.getpid(),
            http_url=http_url,
            https_url=decided.https_url,
            ca_file=str(ca_file) if ca_file else None,
            database_url=self._database_url,
            redis_url=self._redis_url,
            gateways=[f"http://{gateway.target}" for gateway in decided.gateways],
            stats_url=decided.stats_url,
        )
        private.write(decided.data_dir / "running.json", msgspec.json.encode(found).decode())
        facts = banner.Facts(
            http_url=http_url,
            https_url=decided.https_url,
            ca_file=ca_file,
            gateways=found.gateways,
            stats_url=found.stats_url,
            key=key,
            data_dir=decided.data_dir,
            elapsed_s=self._terminal.elapsed_s,
            engines={
                name: self._terminal.events.get(several[0].name, [])
                for name, several in decided.workers.items()
            },
            wanted=settings.engines(decided.env),
            recording=min(Path("tests/data").glob("*.wav"), default=None),
            embedded_postgres=self._postgres is not None,
        )
        self._terminal.say(banner.text(facts))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._asked_to_stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _asked_to_stop(self) -> None:
        again = self._supervisor.stop()
        self._terminal.say("Hurrying." if again else "\nEnding everything; again to hurry.")


def _tier_part(tier: Tier, env: Mapping[str, str]) -> Part:
    is_gateway = tier.module == "gateway"
    return Part(
        name=tier.name,
        command=child.dying_with_us(tier.command, signal.SIGKILL),
        env=env,
        ready=(
            probes.http_serves(f"http://{tier.target}/readyz")
            if is_gateway
            else probes.grpc_serves(tier.target)
        ),
        stop_s=tier.drain_s + _BEYOND_DRAIN_S,
    )


def _server_part(server: Embedded) -> Part:
    async def answers() -> bool:
        return await asyncio.to_thread(server.answers)

    return Part(
        name=server.name,
        command=server.command,
        env=ENVIRONMENT,
        ready=answers,
        stop_signal=server.stop_signal,
        hurry_signal=server.hurry_signal,
        stop_s=_SERVER_STOP_S,
    )


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the data folder.

    Raises:
        AlreadyRunning: somebody else holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(
                f"`voicemesh up` already runs on {data_dir} (process {lock.read()}): "
                "end that one, or give this one another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
