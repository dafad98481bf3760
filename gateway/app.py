"""Puts the gateway together. The only file that knows all its parts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from gateway import handshake, models, prompts
from gateway.allowance import Allowance
from gateway.auth import DOORMAN, Doorman, Keyring
from gateway.backends import Backends
from gateway.client_secrets import RedisSecrets, Secrets
from gateway.clients import MeshBackends
from gateway.config import Config
from gateway.connection import RESTART_CLOSE
from gateway.models import Models
from gateway.opening import Opener
from gateway.pacer import Wheel
from gateway.recorder import Recorder
from gateway.rest import (
    answers,
    audio_speech,
    audio_transcriptions,
    catalogue,
    client_secrets,
    probes,
    unquoted,
)
from gateway.rest.cors import Cors
from gateway.shared import GATEWAY, Gateway
from mesh.dial import Link
from mesh.stream import connect

SECRETS_A_MINUTE = 600  # of one tenant; with the bytes they may hold, what Redis can bear
SECRET_BYTES_A_MINUTE = 4 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """What was read from the operator's files."""

    keyring: Keyring
    models: Models
    opener: Opener


@dataclass(frozen=True, slots=True)
class Parts:
    """What tests put in the place of servers."""

    backends: Backends | None = None
    recorder: Recorder | None = None
    secrets: Secrets | None = None


def build(
    config: Config,
    backends: Backends | None = None,
    recorder: Recorder | None = None,
    secrets: Secrets | None = None,
) -> web.Application:
    """
    Args:
        backends: What to talk to instead of the mesh; for tests.
        recorder: What takes the facts instead of Redis; for tests.
        secrets: What keeps client secrets instead of Redis; for tests.

    Raises:
        mesh.keys.KeyFileError: the keys cannot be read.
        gateway.models.ModelsFileError: the models file cannot.
        gateway.prompts.PromptsFileError: the prompts file cannot.
    """
    # It warns of subprotocols it does not know, word by word, and a browser's key is one.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    unquoted.install()
    app = web.Application(middlewares=[answers.middleware])
    Cors(config.cors_origins).install(app)
    files = Files(
        Keyring(config.keys_file),
        Models(models.load(config.models_file), config.models),
        Opener(config, prompts.load(config.prompts_file)),
    )
    parts = Parts(backends, recorder, secrets)

    # It yields inside a TaskGroup, which else we never do: the task that sets the application
    # up is the process's main one, and if what runs here fails, that one should end.
    async def run(app: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            gateway, links = _assemble(config, files, tasks, parts)
            app[GATEWAY], app[DOORMAN] = gateway, gateway.doorman
            running = [tasks.create_task(gateway.wheel.run(), name="wheel")]
            running.append(tasks.create_task(gateway.recorder.run(), name="recorder"))
            running += [
                tasks.create_task(link.watch(), name=f"watch {link.tier}") for link in links
            ]
            try:
                yield
            finally:
                await gateway.recorder.flush(timeout_s=2.0)
                for task in running:
                    task.cancel()
                for link in links:
                    await link.close()
                await gateway.secrets.close()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(_hang_up)
    for path in handshake.PATHS:
        app.router.add_get(path, handshake.realtime)
    for part in (audio_speech, audio_transcriptions, catalogue, client_secrets, probes):
        part.add(app.router)
    return app


def _assemble(
    config: Config, files: Files, tasks: asyncio.TaskGroup, parts: Parts
) -> tuple[Gateway, tuple[Link, ...]]:
    recorder = parts.recorder or Recorder(connect(config.redis_url))
    secrets = parts.secrets or RedisSecrets(connect(config.redis_url))
    mesh, links = (parts.backends, ()) if parts.backends else _mesh(config, tasks)

    def ready() -> dict[str, bool]:
        return {**{link.tier: link.serving for link in links}, "redis": recorder.is_well}

    gateway = Gateway(
        config=config,
        doorman=Doorman(files.keyring, secrets),
        secrets=secrets,
        models=files.models,
        opener=files.opener,
        allowance=Allowance(
            config.requests_per_minute, config.tokens_per_minute, clock=time.monotonic
        ),
        minting=Allowance(SECRETS_A_MINUTE, SECRET_BYTES_A_MINUTE, clock=time.monotonic),
        recorder=recorder,
        backends=mesh,
        wheel=Wheel(),
        ready=ready if links else lambda: {},
    )
    return gateway, links


def _mesh(config: Config, tasks: asyncio.TaskGroup) -> tuple[Backends, tuple[Link, ...]]:
    links = (
        Link("stt", config.stt_target),
        Link("tts", config.tts_target),
        Link("llm", config.llm_target),
    )
    patience_s, llm_timeout_s = config.stt_patience_s, config.llm_timeout_s
    return MeshBackends(links, tasks, patience_s=patience_s, llm_timeout_s=llm_timeout_s), links


async def _hang_up(app: web.Application) -> None:
    """Tell every client that this process ends and another will serve it."""
    gateway = app[GATEWAY]
    gateway.is_draining = True
    with suppress(TimeoutError):  # who does not read is not waited for
        async with asyncio.timeout(gateway.config.drain_s), asyncio.TaskGroup() as tasks:
            for ws in list(gateway.open):
                closing = ws.close(code=RESTART_CLOSE, message=b"service restart")
                tasks.create_task(closing, name="hang up")
