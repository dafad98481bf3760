"""Redis, however it is run: one node, a primary that Sentinel watches, or a Cluster.

    redis://[user:password@]host[:6379][/db]
    redis+sentinel://[user:password@]host[:26379],host…/service[/db][?sentinel_password=…]
    redis+cluster://[user:password@]host[:6379],host…

`rediss`, in all of them, is TLS. What comes after `?` are options of redis-py's connections,
for example `protocol=3` or `ssl_ca_certs=/etc/ssl/redis.pem`.

redis-py waits five seconds and tries ten times: a long silence on a telephone. What `connect`
gives is impatient, and finds a new primary as soon as there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialBackoff

from mesh.redis_cluster import Cluster, Command

__all__ = ["Command", "Url", "connect", "each", "is_cluster"]

_TIMEOUT_S = 0.25
_CONNECTIONS = 32

_SINGLE, _SENTINEL, _CLUSTER = "", "sentinel", "cluster"
_FORMS = (
    "not a Redis URL: write redis://host:6379/0, "
    "redis+sentinel://host:26379,host:26379/service/0 or redis+cluster://host:6379,host:6379, "
    "with rediss for TLS and user:password@ before the first host"
)


class Url(str):
    """The URL of a Redis, checked: the type of a setting that holds one."""

    __slots__ = ()

    def __new__(cls, text: str) -> Url:
        """
        Raises:
            ValueError: it is none. The message says what one looks like, and no password.
        """
        _parse(text)
        return super().__new__(cls, text)


def connect(url: str, *, timeout_s: float = _TIMEOUT_S) -> Redis:
    """A pooled client, impatient enough for a voice path. It connects at first use.

    On a cluster it is a RedisCluster, which has the same commands. There, the keys of one
    command, script or transaction lie in one slot: give them one `{tag}`.

    Args:
        timeout_s: Of one command. A blocking read needs more than it blocks for.

    Raises:
        ValueError: it is no URL of a Redis.
    """
    place = _parse(url)
    options: dict[str, Any] = {
        **place.options,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 10,
    }
    if place.kind == _CLUSTER:
        nodes = [ClusterNode(host, port) for host, port in place.hosts]
        cluster = Cluster(nodes, retry=_retry(), max_connections=_CONNECTIONS, **options)
        return cast(Redis, cluster)
    options |= {"max_connections": _CONNECTIONS, "timeout": timeout_s, "retry": _retry()}
    if place.kind == _SENTINEL:
        return Redis.from_pool(_watched(place, options))
    [(host, port)] = place.hosts
    if place.is_tls:
        options["connection_class"] = SSLConnection
    options.pop("ssl", None)
    return Redis.from_pool(BlockingConnectionPool(host=host, port=port, **options))


def is_cluster(redis: Redis) -> bool:
    """Whether keys of different slots must not meet in one command."""
    return isinstance(redis, Cluster)


async def each(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Run commands that may be repeated, in one round trip for each node they go to.

    Returns:
        The answer of each, or the exception that it met: on a cluster one shard may be away
        and the others there.

    Raises:
        RedisError, OSError: Redis is away.
    """
    if isinstance(redis, Cluster):
        return await redis.each(commands)
    async with redis.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command.args)
        return await pipe.execute(raise_on_error=False)


class _Watched(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that the sentinels name."""

    async def release(self, connection: AbstractConnection) -> None:
        # One that was in use when the primary changed still leads to the old one, which may
        # wake up and take writes that nobody will ever see.
        if (connection.host, connection.port) != self.master_address:  # type: ignore[attr-defined]
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        await super().release(connection)

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _watched(place: _Place, options: dict[str, Any]) -> _Watched:
    asking: dict[str, Any] = {
        name: value for name, value in options.items() if name.startswith(("socket_", "ssl"))
    }
    # Asked one after the other; the next one is the second try.
    asking |= {"retry": _retry(0), **place.asking}
    sentinel = Sentinel(place.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    return _Watched(place.service, sentinel, **options)  # type: ignore[no-untyped-call]


def _retry(times: int = 2) -> Retry:
    return Retry(ExponentialBackoff(cap=0.2, base=0.02), times)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a URL says."""

    kind: str
    hosts: list[tuple[str, int]]
    service: str = ""
    is_tls: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    asking: dict[str, Any] = field(default_factory=dict)
    """Options of connections to the sentinels only."""


def _parse(url: str) -> _Place:
    try:
        return _read(url)
    except (ValueError, TypeError):
        pass
    raise ValueError(_FORMS)  # without the cause, which may have the password in it


def _read(url: str) -> _Place:
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss") or kind not in (_SINGLE, _SENTINEL, _CLUSTER):
        raise ValueError
    who, _, where = parts.netloc.rpartition("@")
    default_port = 26379 if kind == _SENTINEL else 6379
    hosts = [_host(text, default_port) for text in where.split(",")]
    service, db = _path(kind, parts.path)
    if len(hosts) > 1 and kind == _SINGLE:
        raise ValueError
    asking, options = {}, {}
    for name, value in parse_qsl(parts.query, strict_parsing=bool(parts.query)):
        if name.startswith("sentinel_"):
            asking[name.removeprefix("sentinel_")] = value
        else:
            options[name] = value
    is_tls = scheme == "rediss"
    known: dict[str, Any] = {**parse_url(f"redis://x/?{urlencode(options)}")}
    del known["host"]
    user, _, password = who.partition(":")
    known |= {"username": unquote(user)} if user else {}
    known |= {"password": unquote(password)} if password else {}
    known |= {"db": db} if db else {}
    _check(known, is_tls=is_tls)
    known |= {"ssl": True} if is_tls and kind != _SINGLE else {}
    return _Place(kind, hosts, service, is_tls, known, asking)


def _host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError
    return parts.hostname, parts.port or default_port


def _path(kind: str, path: str) -> tuple[str, int]:
    """The name of the service and the number of the database."""
    words = [unquote(word) for word in path.split("/") if word]
    if kind == _SENTINEL and not words:
        raise ValueError
    service = words.pop(0) if kind == _SENTINEL else ""
    db = int(words.pop(0)) if words else 0
    if words or db < 0 or (kind == _CLUSTER and db):
        raise ValueError
    return service, db


def _check(options: dict[str, Any], *, is_tls: bool) -> None:
    """
    Raises:
        TypeError: redis-py knows no such option; it would say so at the first command.
    """
    pool = (
        BlockingConnectionPool(connection_class=SSLConnection, **options)
        if is_tls
        else BlockingConnectionPool(**options)
    )
    pool.make_connection()  # type: ignore[no-untyped-call]
