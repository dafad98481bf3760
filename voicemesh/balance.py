"""`voicemesh balance`: puts the gateways that run into the places HAProxy has for them.

Who runs is in Redis (`mesh.registry`); the places are set through HAProxy's admin socket. All
that lasts is in HAProxy itself, so this process can be started again at any time, and a
HAProxy that was started again is filled again. HAProxy's own health checks decide who gets
clients: leaving a place late costs nobody anything, losing all of them at once would.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import uvloop
from redis.exceptions import RedisError

from mesh import config
from mesh import log as logs
from mesh.redis import Url, connect
from mesh.registry import Registry
from mesh.stream import stop_if_cancelled
from voicemesh.haproxy import BACKEND

KIND = "gateways"
GONE_S = 5.0  # a registry that was emptied is full again sooner
_EVERY_S = 0.5
_ANSWER_S = 2.0
_REDIS_S = 1.0
_MAINTENANCE = 0x01 | 0x02 | 0x20  # srv_admin_state: forced, inherited, no address resolved
_REFUSALS = ("No such", "Invalid", "Permission denied", "Unknown", "can't", "Require")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of `voicemesh balance`."""

    redis_url: Url = field(
        default=Url("redis://127.0.0.1:6379/0"), metadata={"env": "REDIS_URL", "secret": True}
    )
    """Redis that lists the gateways."""
    admin: str = field(default="/run/haproxy/admin.sock", metadata={"env": "HAPROXY_ADMIN"})
    """HAProxy's admin socket: a path, or host:port."""


@dataclass(frozen=True, slots=True)
class Place:
    """One server line of HAProxy, as it is now."""

    name: str
    address: str
    """host:port."""
    is_open: bool
    """Whether it is in use: neither forced into maintenance nor without an address."""


class HaproxyError(Exception):
    """HAProxy does not answer, or not what we understand."""


class Admin:
    """HAProxy's admin socket."""

    def __init__(self, at: str) -> None:
        """
        Args:
            at: A path, or host:port.
        """
        self._at = at

    async def places(self) -> list[Place]:
        """
        Raises:
            HaproxyError: it does not answer.
        """
        return parse(await self._ask(f"show servers state {BACKEND}"))

    async def open(self, place: str, address: str) -> None:
        """Let clients go to an address, an IP address and a port.

        Raises:
            HaproxyError: it does not answer.
        """
        host, _, port = address.rpartition(":")
        server = f"{BACKEND}/{place}"
        await self._do(f"set server {server} state maint")
        await self._do(f"set server {server} addr {host.strip('[]')} port {port}")
        # Down until its checks say otherwise: one that is listed need not be ready.
        await self._do(f"set server {server} state ready; set server {server} health down")

    async def close(self, place: str) -> None:
        """Let no more clients go there; those who are there stay.

        Raises:
            HaproxyError: it does not answer.
        """
        await self._do(f"set server {BACKEND}/{place} state maint")

    async def _do(self, command: str) -> None:
        said = await self._ask(command)
        if any(refusal in said for refusal in _REFUSALS):
            raise HaproxyError(said.strip())

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await self._connect()
                try:
                    writer.write(f"{command}\n".encode())
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise HaproxyError(f"{self._at}: {error or 'no answer'}") from error

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self._at.rpartition(":")
        if "/" not in self._at and port.isdigit():
            return await asyncio.open_connection(host, int(port))
        return await asyncio.open_unix_connection(self._at)


def parse(said: str) -> list[Place]:
    """What `show servers state` answers, by its own header."""
    header: Sequence[str] = ()
    places = []
    for line in said.splitlines():
        if line.startswith("#"):
            header = line.removeprefix("#").split()
        elif header and line.strip():
            row = dict(zip(header, line.split(), strict=False))
            host, port = row["srv_addr"], row["srv_port"]
            places.append(
                Place(
                    name=row["srv_name"],
                    address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                    is_open=not int(row["srv_admin_state"]) & _MAINTENANCE,
                )
            )
    if not places:
        raise HaproxyError(f"no backend {BACKEND} with places: {said.strip()[:200]}")
    return places


def wanted(places: Sequence[Place], addresses: Iterable[str]) -> dict[str, str]:
    """Which place each address has: place → address.

    An address stays where it is, and comes back to where it was. A new one gets the place that
    its own hash names, or the next free one: every HAProxy comes to the same answer, mostly.

    Args:
        addresses: Those that do not fit in are left out.
    """
    given = sorted(set(addresses))
    there: dict[str, str] = {}
    for place in sorted(places, key=lambda place: not place.is_open):
        there.setdefault(place.address, place.name)
    found = {there[address]: address for address in given if address in there}
    names = [place.name for place in places]
    for address in given:
        if address in there or len(found) == len(names):
            continue
        first = zlib.crc32(address.encode()) % len(names)
        free = next(name for name in names[first:] + names[:first] if name not in found)
        found[free] = address
    return found


class Balancer:
    """Keeps HAProxy's places as the registry says."""

    def __init__(self, registry: Registry, admin: Admin, *, gone_s: float = GONE_S) -> None:
        """
        Args:
            gone_s: How long a gateway may be missing from the list before it loses its place.
        """
        self._registry, self._admin, self._gone_s = registry, admin, gone_s
        self._seen: dict[str, float] = {}  # address → when it was last listed, by our clock
        self._trouble = ""

    async def run(self) -> None:
        """Look and set, until cancelled."""
        while True:
            try:
                await self.look()
                await self.set()
                self._say("")
            except (RedisError, OSError, TimeoutError) as error:
                self._say(f"redis: {type(error).__name__}")
                await self._set_quietly()  # the last view, for a HAProxy that was started again
            except HaproxyError as error:
                self._say(f"haproxy: {error}")
            stop_if_cancelled()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Read the list. While Redis is away the last one stays.

        Raises:
            RedisError: it is away.
        """
        listed = await self._registry.list()
        now = time.monotonic()
        for fields in listed.values():
            if address := await _numeric(fields.get("address", "")):
                self._seen[address] = now
        self._seen = {a: at for a, at in self._seen.items() if now - at < self._gone_s}

    async def set(self) -> None:
        """Make HAProxy's places those of the list.

        Raises:
            HaproxyError: it does not answer.
        """
        places = await self._admin.places()
        want = wanted(places, self._seen)
        if len(want) < len(self._seen):
            log.error("no place left", extra={"gateways": len(self._seen), "places": len(places)})
        for place in places:
            address = want.get(place.name)
            if address is None and place.is_open:
                await self._admin.close(place.name)
                log.info("left", extra={"place": place.name, "address": place.address})
            elif address is not None and (not place.is_open or place.address != address):
                await self._admin.open(place.name, address)
                log.info("joined", extra={"place": place.name, "address": address})

    async def _set_quietly(self) -> None:
        try:
            await self.set()
        except HaproxyError as error:
            self._say(f"haproxy: {error}")

    def _say(self, trouble: str) -> None:
        """Log what is wrong, once, and when it is not any more."""
        if trouble == self._trouble:
            return
        if trouble:
            log.warning("balancing is stale", extra={"reason": trouble})
        else:
            log.info("balancing again")
        self._trouble = trouble


async def _numeric(address: str) -> str:
    """The address with an IP address for its host: HAProxy's socket takes no names."""
    host, _, port = address.rpartition(":")
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        log.warning("no such host", extra={"address": address})
        return ""
    ip = found[0][4][0]
    return f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"


def run(env: Mapping[str, str]) -> None:
    """Until SIGINT, SIGTERM or SIGHUP.

    Raises:
        ConfigError: settings are wrong.
    """
    settings = config.load(Settings, env, prefix="balance")
    logs.setup("balance")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


async def _run(settings: Settings) -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    redis = connect(settings.redis_url, timeout_s=_REDIS_S)
    balancer = Balancer(Registry(redis, KIND), Admin(settings.admin))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(balancer.run(), name="balance")
        await asked.wait()
        running.cancel()
    await redis.aclose()
