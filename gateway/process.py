"""One gateway process: it listens, serves, and drains when it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import ssl
import sys
from contextlib import suppress

from aiohttp import web

from gateway import app, garbage, tls
from gateway.config import Config
from gateway.ids import new_id
from gateway.limits_file import LimitsFileError
from gateway.models import ModelsFileError
from gateway.prompts import PromptsFileError
from gateway.registration import listed
from gateway.shared import GATEWAY
from gateway.spool import SpoolError
from mesh import metrics
from mesh.keys import KeyFileError

BACKLOG = 4096  # connections that wait for us to take them: as many as come back at once

_WRONG: dict[type[Exception], str] = {
    KeyFileError: "GATEWAY_KEYS_FILE",
    LimitsFileError: "GATEWAY_LIMITS_FILE",
    ModelsFileError: "GATEWAY_MODELS_FILE",
    PromptsFileError: "GATEWAY_PROMPTS_FILE",
    SpoolError: "GATEWAY_SPOOL_DIR",
}
"""What cannot be used, and which setting names it."""

log = logging.getLogger(__name__)


async def serve(settings: Config) -> None:
    """Serve until SIGTERM or SIGINT, then hang up on every client and end."""
    try:
        built = app.build(settings)
        secured = _secured(settings)
    except tuple(_WRONG) as error:
        sys.exit(f"{_WRONG[type(error)]}: {error}")
    except tls.TlsError as error:
        sys.exit(str(error))
    _take_descriptors()
    runner = web.AppRunner(built, access_log=None, shutdown_timeout=settings.drain_s)
    async with metrics.serving(settings.host, settings.metrics_port):
        await runner.setup()
        try:
            # Who finds `port` open may count on both.
            if settings.tls_port is not None:
                await _listen(runner, settings.host, "GATEWAY_TLS_PORT", settings.tls_port, secured)
            port = await _listen(runner, settings.host, "PORT", settings.port, None)
            gateway = built[GATEWAY]
            garbage.begin()
            async with (
                listed(settings.redis_url, new_id("gw"), settings.host, port),
                asyncio.TaskGroup() as tasks,
            ):
                collecting = garbage.collect_when_quiet(lambda: len(gateway.open))
                tidying = tasks.create_task(collecting, name="collect garbage")
                await _asked_to_stop()
                tidying.cancel()
            log.info("draining")
            # Before the runner, whose first act is to listen no more: a balancer must be told
            # that we drain, and who comes in between that it should go elsewhere.
            await built.shutdown()
        finally:
            await runner.cleanup()
            log.info("stopped")


def _take_descriptors() -> None:
    """Use as many file descriptors as we may: each session needs one, and 1024 is usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS calls it unlimited and then refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _secured(settings: Config) -> ssl.SSLContext | None:
    if settings.tls_port is None:
        return None
    return tls.context(settings.tls_cert_file, settings.tls_key_file)


async def _listen(
    runner: web.AppRunner, host: str, variable: str, port: int, secured: ssl.SSLContext | None
) -> int:
    """Returns the port: 0 was a free one."""
    # No reuse_port: two that listen on one port would share its clients unnoticed.
    site = web.TCPSite(runner, host, port, ssl_context=secured, backlog=BACKLOG, reuse_port=False)
    try:
        await site.start()
    except OSError as error:
        sys.exit(f"{variable}: cannot listen on {host}:{port}: {error.strerror}")
    listens_on: int = runner.addresses[-1][1]
    log.info("listening", extra={"host": host, "port": listens_on, "tls": secured is not None})
    return listens_on


async def _asked_to_stop() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()
