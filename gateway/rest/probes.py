"""For those who run this: is the process alive, can it serve, what are its numbers."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.shared import GATEWAY
from mesh.metrics import page


def add(router: web.UrlDispatcher) -> None:
    router.add_get("/healthz", healthz)
    router.add_get("/readyz", readyz)
    router.add_get("/metrics", metrics_page)


async def healthz(request: web.Request) -> web.Response:
    """The process runs."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 only when a whole turn can be served; says what is missing. 404 while draining, which
    a balancer takes for "nobody new, and leave those that are there" (`disable-on-404`)."""
    gateway = request.app[GATEWAY]
    parts = gateway.ready()
    ready = all(parts.values()) and not gateway.is_draining
    body = {"ready": ready, "draining": gateway.is_draining, **parts}
    status = 404 if gateway.is_draining else 200 if ready else 503
    return web.json_response(body, status=status)


async def metrics_page(request: web.Request) -> web.Response:
    body, content_type = await asyncio.get_running_loop().run_in_executor(None, page)
    return web.Response(body=body, headers={"Content-Type": content_type})
