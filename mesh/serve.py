"""The gRPC server of a tier: start, ready, drain, stop.

    server = Server("stt", host, port, add=add, services=["ovos.stt.v1.SttService"])
    await server.start()      # listens; health says NOT_SERVING
    ...                       # load models
    await server.ready()      # health says SERVING
    await until_stopped(server)

`run` does it for a whole tier. Every server also answers grpc.health.v1, reflection and
ovos.worker.v1.WorkerService.
The channel options are measured ones; the defaults queue 85 s of audio a stream.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mesh import metrics, registration
from mesh.errors import Draining, NotInstalled, Unavailable, answering
from mesh.health import HealthServicer, Load, WorkerServicer
from mesh.registration import Listing
from ovos.worker.v1 import worker_pb2, worker_pb2_grpc

MAX_MESSAGE_BYTES = 4 << 20  # unary Recognize

COMMON_OPTIONS: list[tuple[str, int]] = [
    ("grpc.http2.bdp_probe", 0),  # else the window grows to 4 MB a stream
    ("grpc.http2.lookahead_bytes", 16384),  # 0.3 s of 24 kHz PCM
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),  # streams are capped in code
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
]
_OPTIONS = [
    *COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),  # default 1: a second server would bind silently
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_concurrent_streams", 4096),
]
_WORKER = "ovos.worker.v1.WorkerService"
_ALWAYS = (f"/{health.SERVICE_NAME}/", f"/{reflection.SERVICE_NAME}/", f"/{_WORKER}/")
_UNLISTED = Listing()
_ABORT_S = 2.0  # what is left after the drain gets this long to end

log = logging.getLogger(__name__)


class Server:
    """One tier's listening socket and what is said about it."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        add: Callable[[grpc.aio.Server], None],
        services: Sequence[str],
        max_rpcs: int | None = None,
        drain_s: float = 30.0,
        load: Callable[[], Load] = Load,
        engines: Callable[[], Sequence[str]] = tuple,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """
        Args:
            port: 0 takes a free one; `port` says which after `start`.
            add: Adds the tier's servicers.
            services: Their full names, for health and reflection.
            max_rpcs: Calls at a time, health checks and watches among them; the next get
                RESOURCE_EXHAUSTED at once.
            drain_s: How long open streams may run on after SIGTERM.
            engines: Names of those that serve now, best first.
            max_message_bytes: A longer message from a caller is refused with
                RESOURCE_EXHAUSTED.
        """
        self.name, self.host, self.port = name, host, port
        self.draining = asyncio.Event()
        """Set when no new call is taken and the open ones should look for an end."""
        self.asked_to_stop = asyncio.Event()
        """Set by SIGTERM, SIGINT and WorkerService.Drain; `until_stopped` waits for it."""
        self._add, self._services = add, [*services, _WORKER]
        self._max_rpcs, self._drain_s, self._load = max_rpcs, drain_s, load
        self._engines, self._serves = engines, False
        own = {"grpc.max_receive_message_length": max_message_bytes}
        self._options = list((dict(_OPTIONS) | own).items())
        self._health = HealthServicer()
        self._worker = WorkerServicer(load, self._drain_now)
        self._server: grpc.aio.Server | None = None

    @property
    def worker_id(self) -> str:
        """Unique per process start."""
        return self._worker.worker_id

    async def start(self) -> None:
        """Listen. Health says NOT_SERVING until `ready`.

        Raises:
            OSError: the port is taken; the message names it.
        """
        self._server = grpc.aio.server(
            interceptors=[_Refusal(self.draining)],
            options=self._options,
            maximum_concurrent_rpcs=self._max_rpcs,
        )
        self._add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(self._worker, self._server)
        names = [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        where = address(self.host, self.port)
        try:
            self.port = self._server.add_insecure_port(where)
        except RuntimeError as error:
            setting = f"{self.name.upper()}_PORT"
            raise OSError(f"cannot listen on {where} ({setting}): {error}") from error
        await self._server.start()
        log.info("listening", extra={"host": self.host, "port": self.port})

    async def ready(self) -> None:
        """Say that calls can be served. While draining it changes nothing."""
        if self.draining.is_set():
            return
        self._worker.state = worker_pb2.WORKER_STATE_SERVING
        self._serves = True
        await self._say(health_pb2.HealthCheckResponse.SERVING)
        log.info("ready", extra={"port": self.port})

    async def unready(self) -> None:
        """Say that calls cannot be served for now; open ones go on."""
        self._serves = False
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def drain(self) -> None:
        """Refuse what is new, wait until the open streams have ended or `drain_s` is over."""
        self.draining.set()
        self._worker.state = worker_pb2.WORKER_STATE_DRAINING
        await self._health.enter_graceful_shutdown()
        log.info("draining", extra={"streams": self._load().active_streams})
        try:
            async with asyncio.timeout(self._drain_s):
                while self._load().active_streams:  # noqa: ASYNC110 - the load is asked, not told
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.warning("drain ran out of time", extra={"streams": self._load().active_streams})

    async def stop(self) -> None:
        """Close the socket; what is left has two seconds, then it is cancelled."""
        if self._server is not None:
            self._health.end_watches()
            self._worker.end_watches()
            await self._server.stop(_ABORT_S)
            self._server = None
            log.info("stopped")

    async def keep_listed(self, listing: Listing) -> None:
        """Keep this worker listed while it serves, until it drains."""
        if not listing.redis_url:
            return
        here = listing.address or registration.address(self.host, self.port, listing.redis_url)
        about = {"address": here, "pid": str(os.getpid())}

        def fields() -> Mapping[str, str]:
            if not self._serves:
                return {}
            load = self._load()
            return {
                **about,
                "engines": ",".join(self._engines()),
                "active_streams": str(load.active_streams),
                "max_streams": str(load.max_streams),
                "queue_depth": str(load.queue_depth),
            }

        async with registration.listed(listing.redis_url, self.name, self.worker_id, fields):
            await self.draining.wait()

    def _drain_now(self, grace_s: float) -> None:
        """An operator asks to drain: the same as SIGTERM, with a grace of its own."""
        self._drain_s = grace_s or self._drain_s
        self.asked_to_stop.set()

    async def _say(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *self._services):
            await self._health.set(name, status)


def address(host: str, port: int) -> str:
    """As gRPC wants it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def until_stopped(server: Server) -> None:
    """Serve until SIGTERM, SIGINT or WorkerService.Drain, then drain and stop.

    A second signal skips the drain; the first one after a Drain call does not.
    """
    loop = asyncio.get_running_loop()
    impatient = asyncio.Event()
    asks = [server.asked_to_stop, impatient]  # what the first signal means, and the second

    def on_signal() -> None:
        if asks:
            asks.pop(0).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await server.asked_to_stop.wait()
        async with asyncio.TaskGroup() as tasks:
            drain = tasks.create_task(server.drain(), name="drain")
            hurry = tasks.create_task(_cancel_after(impatient, drain), name="hurry")
            await asyncio.wait({drain})
            hurry.cancel()
    finally:
        await server.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def run(
    tier: AbstractAsyncContextManager[Server],
    host: str,
    metrics_port: int,
    *,
    listing: Listing = _UNLISTED,
    until: Callable[[Server], Awaitable[None]] = until_stopped,
) -> None:
    """Serve a tier, with its /metrics, until SIGTERM or SIGINT.

    Args:
        tier: Entered, its server listens; leaving it stops it.
        listing: Where those who call it look for it.
        until: What to do meanwhile; it ends when the tier is to end.

    Raises:
        SystemExit: there is nothing to serve with; the log says why.
    """
    async with metrics.serving(host, metrics_port):
        try:
            async with tier as server, asyncio.TaskGroup() as tasks:
                listed = tasks.create_task(server.keep_listed(listing), name="list")
                await until(server)
                listed.cancel()
        except (Unavailable, NotInstalled) as error:
            log.critical("no engine", extra={"reason": str(error)})
            raise SystemExit(1) from error


class _Refusal(grpc.aio.ServerInterceptor):
    """Turns new calls away while the server drains: gRPC itself would take them to the end."""

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if not self._draining.is_set() or details.method.startswith(_ALWAYS):
            return await continuation(details)
        # One answer for all: a call of one message looks like a stream of one.
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    async with answering(context):
        raise Draining("the server is going away")


async def _cancel_after(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    await event.wait()
    task.cancel()
