"""`python -m gateway`: settings in, service out."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys

from aiohttp import web

from gateway import app, tls
from gateway.config import Config
from gateway.models import ModelsFileError
from gateway.prompts import PromptsFileError
from mesh import config, metrics
from mesh.keys import KeyFileError

log = logging.getLogger(__name__)


async def serve(settings: Config) -> None:
    """Serve until SIGTERM or SIGINT, then hang up on every client and end."""
    try:
        built = app.build(settings)
        secured = _secured(settings)
    except KeyFileError as error:
        sys.exit(f"GATEWAY_KEYS_FILE: {error}")
    except ModelsFileError as error:
        sys.exit(f"GATEWAY_MODELS_FILE: {error}")
    except PromptsFileError as error:
        sys.exit(f"GATEWAY_PROMPTS_FILE: {error}")
    except tls.TlsError as error:
        sys.exit(str(error))
    runner = web.AppRunner(built, access_log=None, shutdown_timeout=settings.drain_s)
    async with metrics.serving(settings.host, settings.metrics_port):
        await runner.setup()
        try:
            # Who finds `port` open may count on both.
            if settings.tls_port is not None:
                await _listen(runner, settings.host, "GATEWAY_TLS_PORT", settings.tls_port, secured)
            await _listen(runner, settings.host, "PORT", settings.port, None)
            await _asked_to_stop()
        finally:
            await runner.cleanup()
            log.info("stopped")


def _secured(settings: Config) -> ssl.SSLContext | None:
    if settings.tls_port is None:
        return None
    return tls.context(settings.tls_cert_file, settings.tls_key_file)


async def _listen(
    runner: web.AppRunner, host: str, variable: str, port: int, secured: ssl.SSLContext | None
) -> None:
    try:
        await web.TCPSite(runner, host, port, ssl_context=secured).start()
    except OSError as error:
        sys.exit(f"{variable}: cannot listen on {host}:{port}: {error.strerror}")
    port = runner.addresses[-1][1]  # 0 was a free one
    log.info("listening", extra={"host": host, "port": port, "tls": secured is not None})


async def _asked_to_stop() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()


if __name__ == "__main__":
    config.main(Config, "gateway", serve)
