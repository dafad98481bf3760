"""The metrics port. A tier's metrics are module-level objects in its `metrics.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest, start_http_server

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 5.0)
"""Buckets of every latency histogram: they hold the limits our objectives name."""


log = logging.getLogger(__name__)


def serve(host: str, port: int) -> Callable[[], None]:
    """Answer /metrics on a thread of its own: rendering takes tens of milliseconds.

    Args:
        port: 0 takes a free one; the log says which.

    Returns:
        Stops it.

    Raises:
        OSError: the port is taken; the message names it.
    """
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        raise OSError(error.errno, f"metrics port {host}:{port}: {error.strerror}") from error

    log.info("metrics listening", extra={"host": host, "port": server.server_port})

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


@asynccontextmanager
async def serving(host: str, port: int) -> AsyncIterator[None]:
    """Answer /metrics inside.

    Raises:
        OSError: the port is taken; the message names it.
    """
    stop = serve(host, port)
    try:
        yield
    finally:
        await asyncio.to_thread(stop)  # it waits for a page that is being rendered


def page() -> tuple[bytes, str]:
    """What /metrics answers and its content type. Slow: call it on a thread."""
    return generate_latest(), CONTENT_TYPE_LATEST
