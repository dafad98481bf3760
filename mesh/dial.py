"""The client's side of one worker of a tier: a channel, a breaker, and whether it serves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh import log as logs
from mesh.breaker import Breaker
from mesh.call import CORRELATION_KEY, SESSION_KEY, TENANT_KEY
from mesh.errors import Broken, Draining, MeshError, TooSlow, Unavailable, calling
from mesh.serve import COMMON_OPTIONS

_OPTIONS = [
    *COMMON_OPTIONS,
    ("grpc.keepalive_time_ms", 1000),
    # grpc.keepalive_timeout_ms has no effect (grpc#39239); this one notices a hung peer in 2 s.
    # Pools notice it sooner. With less time, a process that stood still loses all its peers.
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),  # else equal channels share one connection
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),
]
_WATCH_AGAIN_S = 0.25

S = TypeVar("S")
Lose = Callable[[MeshError], None]
"""Ends an open call as if it had failed."""

log = logging.getLogger(__name__)


class Link:
    """A worker as its caller sees it. Close it when all calls have ended."""

    def __init__(self, tier: str, target: str) -> None:
        """
        Args:
            tier: Its name in errors and logs, e.g. "stt".
            target: gRPC target, e.g. `127.0.0.1:50051` or `dns:///stt:50051`.
        """
        self.tier, self.target = tier, target
        self.channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self.breaker = Breaker()
        self.serving = False
        """What the worker's health says; kept by `watch`."""
        self.answers = False
        """Whether its process is there to say so; kept by `watch`."""
        self.is_idle = asyncio.Event()
        """Set while no call is open."""
        self.is_idle.set()
        self._calls: dict[object, Lose | None] = {}
        self._stubs: dict[object, Any] = {}

    def stub(self, kind: Callable[[grpc.aio.Channel], S]) -> S:
        """The worker's service, as the generated class `kind` calls it."""
        if kind not in self._stubs:
            self._stubs[kind] = kind(self.channel)
        found: S = self._stubs[kind]
        return found

    def begin(self, call: object, lose: Lose | None = None) -> None:
        """A call opens; say `end` when it has ended.

        Args:
            lose: Can end it while it waits for the worker.
        """
        self._calls[call] = lose
        self.is_idle.clear()

    def end(self, call: object) -> None:
        self._calls.pop(call, None)
        if not self._calls:
            self.is_idle.set()

    def lose(self, error: MeshError) -> None:
        """Give up the calls that are open, as far as they can be."""
        for lose in [lose for lose in self._calls.values() if lose is not None]:
            lose(error)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Count a call as open."""
        call = object()
        self.begin(call)
        try:
            yield
        finally:
            self.end(call)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Wrap a call in this: the breaker is asked first and told the outcome.

        Raises:
            Unavailable: the breaker is open, or nobody answers.
            MeshError: what the call failed with.
        """
        self.check()
        try:
            with self.held(), calling(self.tier):
                yield
        except MeshError as error:
            self.failed(error)
            raise
        except BaseException:
            self.breaker.released()
            raise
        else:
            self.answered()

    def check(self) -> None:
        """
        Raises:
            Unavailable: the breaker is open.
        """
        now_s = time.monotonic()
        if not self.breaker.allows(now_s):
            rest_s = self.breaker.rest_s(now_s)
            raise Unavailable("the breaker is open", tier=self.tier, retry_after_s=rest_s)

    def failed(self, error: MeshError) -> None:
        """A call failed. What is our own fault, or only says that it is full, proves it well."""
        if isinstance(error, Draining):
            self.breaker.released()  # it says nothing about who comes after it
        elif not isinstance(error, Unavailable | TooSlow | Broken):
            self.answered()
        elif self.breaker.failed(time.monotonic()):
            log.error("breaker opened", extra={**self._who, "reason": error.detail})

    def answered(self) -> None:
        """The peer answered: streams say so at their first message, not at their end."""
        if self.breaker.succeeded():
            log.info("breaker closed", extra=self._who)

    async def watch(self) -> None:
        """Keep `serving` true to the worker's health, until cancelled.

        One that says it serves again gets its trial at once instead of after the breaker's
        rest. A new process has none of the failures of who was there before it.
        """
        stub = health_pb2_grpc.HealthStub(self.channel)
        while True:
            call = stub.Watch(health_pb2.HealthCheckRequest())
            is_new = True
            try:
                async for answer in call:
                    self.answers = True
                    self._heard(answer.status == health_pb2.HealthCheckResponse.SERVING)
                    if self.serving and is_new:
                        is_new = False
                        self.answered()
            except grpc.aio.AioRpcError as error:
                log.debug("health unknown", extra={**self._who, "code": error.code().name})
            finally:
                call.cancel()
            self.answers = False
            self._heard(False)
            await asyncio.sleep(_WATCH_AGAIN_S)

    async def close(self) -> None:
        await self.channel.close()

    def _heard(self, serving: bool) -> None:
        if serving:
            self.breaker.revived()
        if serving != self.serving:
            self.serving = serving
            log.info("worker serves" if serving else "worker away", extra=self._who)

    @property
    def _who(self) -> dict[str, str]:
        return {"tier": self.tier, "worker": self.target}


def metadata() -> list[tuple[str, str]]:
    """What every call carries: the ids of the log context."""
    ids = {
        TENANT_KEY: logs.tenant_id.get(),
        SESSION_KEY: logs.session_id.get(),
        CORRELATION_KEY: logs.correlation_id.get(),
    }
    return [(key, value) for key, value in ids.items() if value]
