"""`python -m gateway`: settings in, service out."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from aiohttp import web

from gateway import app
from gateway.config import Config
from mesh import config, metrics
from mesh.keys import KeyFileError

log = logging.getLogger(__name__)


async def serve(settings: Config) -> None:
    """Serve until SIGTERM or SIGINT, then hang up on every client and end."""
    try:
        built = app.build(settings)
    except KeyFileError as error:
        sys.exit(f"GATEWAY_KEYS_FILE: {error}")
    runner = web.AppRunner(built, access_log=None, shutdown_timeout=settings.drain_s)
    async with metrics.serving(settings.host, settings.metrics_port):
        await runner.setup()
        try:
            await _listen(runner, settings)
            await _asked_to_stop()
        finally:
            await runner.cleanup()
            log.info("stopped")


async def _listen(runner: web.AppRunner, settings: Config) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        sys.exit(f"PORT: cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    log.info("listening", extra={"host": settings.host, "port": settings.port})


async def _asked_to_stop() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()


if __name__ == "__main__":
    config.main(Config, "gateway", serve)
