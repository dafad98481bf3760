"""What an instance of several processes tells operators: health, readiness and metrics of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_ANSWER_S = 1.5  # of one process; Prometheus waits ten


@dataclass(slots=True)
class Member:
    """One process of the instance, as the one that keeps it knows it."""

    number: int
    """0, 1, …; label `process` of its metrics."""
    host: str
    """What it listens on."""
    port: int
    metrics_port: int
    restarts: int = 0

    @property
    def readyz_url(self) -> str:
        return f"http://{self._called}:{self.port}/readyz"

    @property
    def metrics_url(self) -> str:
        """On a thread of its own there: a busy loop is asked nothing."""
        return f"http://{self._called}:{self.metrics_port}/metrics"

    @property
    def _called(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]" if ":" in host else host


class Pages:
    """/healthz, /readyz and /metrics of an instance."""

    def __init__(self, members: Sequence[Member], is_draining: Callable[[], bool]) -> None:
        self._members, self._is_draining = members, is_draining
        self._http: aiohttp.ClientSession

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Answer inside. Gives the port: 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as self._http:
            await runner.setup()
            try:
                await web.TCPSite(runner, host, port).start()
                yield runner.addresses[0][1]
            finally:
                await runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        """The one that keeps the processes runs."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        """As of one process: 200 if all are ready, 404 while they drain, otherwise 503."""
        answers = await self._ask(member.readyz_url for member in self._members)
        processes = [
            {"process": member.number, "ready": status == 200, **_object(body)}
            for member, (status, body) in zip(self._members, answers, strict=True)
        ]
        is_draining = self._is_draining()
        ready = not is_draining and all(process["ready"] for process in processes)
        return web.json_response(
            {"ready": ready, "draining": is_draining, "processes": processes},
            status=404 if is_draining else 200 if ready else 503,
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        answers = await self._ask(member.metrics_url for member in self._members)
        pages = {
            member.number: body.decode() if status == 200 else None
            for member, (status, body) in zip(self._members, answers, strict=True)
        }
        restarts = {member.number: member.restarts for member in self._members}
        # On a thread: it takes tens of milliseconds a process, and readiness must not wait.
        page = await asyncio.to_thread(merged, pages, restarts)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _ask(self, urls: Iterable[str]) -> list[tuple[int, bytes]]:
        """All at once: status and body of each; (0, b"") of one that does not answer."""
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._get(url), name="ask") for url in urls]
        return [task.result() for task in asked]

    async def _get(self, url: str) -> tuple[int, bytes]:
        try:
            async with self._http.get(url) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, b""


def merged(pages: Mapping[int, str | None], restarts: Mapping[int, int]) -> bytes:
    """One exposition of those of all processes, each sample with its label `process`.

    Args:
        pages: Process → its exposition; None if it does not answer.
        restarts: Process → how often it was started again.
    """
    return generate_latest(_Families([*_own(pages, restarts), *_theirs(pages)]))


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _own(pages: Mapping[int, str | None], restarts: Mapping[int, int]) -> Iterable[Metric]:
    up = GaugeMetricFamily(
        "gateway_process_up", "Whether a process of the instance answers.", labels=["process"]
    )
    again = CounterMetricFamily(
        "gateway_process_restarts",
        "How often a process of the instance was started again.",
        labels=["process"],
    )
    for number, page in pages.items():
        up.add_metric([str(number)], float(page is not None))
        again.add_metric([str(number)], restarts.get(number, 0))
    return up, again


def _theirs(pages: Mapping[int, str | None]) -> Iterable[Metric]:
    families: dict[str, Metric] = {}
    for number, page in pages.items():
        for found in text_string_to_metric_families(page or ""):
            family = families.setdefault(
                found.name, Metric(found.name, found.documentation, found.type)
            )
            for sample in found.samples:
                labels = {**sample.labels, "process": str(number)}
                family.samples.append(sample._replace(labels=labels))
    return families.values()


def _object(body: bytes) -> dict[str, Any]:
    """What a process says of its readiness, by its own names."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
