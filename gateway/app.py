"""Puts the gateway together. The only file that knows all its parts."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from redis.asyncio import Redis

from gateway import draining, handshake, metrics, models, prompts, revocation
from gateway.allowance import Allowance, LocalAllowance, SameForAll
from gateway.auth import DOORMAN, Doorman, Keyring
from gateway.backends import Backends, TurnQueue
from gateway.client_secrets import RedisSecrets, Secrets
from gateway.clients import MeshBackends
from gateway.config import Config
from gateway.connect_limit import ConnectLimit
from gateway.endings import RESTART_CLOSE
from gateway.facts import Facts
from gateway.ids import new_id
from gateway.limits_file import TenantLimits
from gateway.lobby import Lobby
from gateway.messages import Messages
from gateway.models import Models
from gateway.opening import Opener
from gateway.pacer import Wheel
from gateway.queued_turns import MeshTurns
from gateway.recorder import Recorder
from gateway.redis_allowance import RedisAllowance
from gateway.relay import Relay
from gateway.rest import (
    answers,
    audio_speech,
    audio_transcriptions,
    calls,
    catalogue,
    client_secrets,
    probes,
    unquoted,
)
from gateway.rest.cors import Cors
from gateway.sessions import inbox
from gateway.sessions.keeper import Keeper
from gateway.sessions.redis_store import RedisStore
from gateway.sessions.store import Abandoned, Store
from gateway.sessions.sweeper import sweep_forever
from gateway.shared import GATEWAY, Gateway
from gateway.sideband import Sidebands
from gateway.spool import Spool
from mesh.pool import Pool
from mesh.redis import connect
from mesh.registry import Registry
from mesh.turns import Turns

SECRETS_A_MINUTE = 600  # of one tenant; with the bytes they may hold, what Redis can bear
SECRET_BYTES_A_MINUTE = 4 << 20
SWEEP_S = 5.0
SWEEP_PATIENCE_S = 15.0  # beyond the time after which sessions are abandoned
_LAST_FACTS_S = 2.0
_LAST_NOTICES_S = 0.5


@dataclass(frozen=True, slots=True)
class Files:
    """What was read from the operator's files."""

    keyring: Keyring
    models: Models
    opener: Opener
    limits: TenantLimits


@dataclass(frozen=True, slots=True)
class Parts:
    """What tests put in the place of servers."""

    backends: Backends | None = None
    recorder: Recorder | None = None
    secrets: Secrets | None = None
    store: Store | None = None
    allowance: Allowance | None = None
    turns: TurnQueue | None = None


def build(config: Config, parts: Parts | None = None) -> web.Application:
    """
    Args:
        parts: What to use instead of servers; for tests.

    Raises:
        mesh.keys.KeyFileError: the keys cannot be read.
        gateway.models.ModelsFileError: the models file cannot.
        gateway.prompts.PromptsFileError: the prompts file cannot.
        gateway.limits_file.LimitsFileError: the limits file cannot.
        gateway.spool.SpoolError: the spool cannot be opened.
        ValueError: the URL of Redis is none.
    """
    # It warns of subprotocols it does not know, word by word, and a browser's key is one.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    unquoted.install()
    app = web.Application(middlewares=[answers.middleware])
    Cors(config.cors_origins).install(app)
    usual = SameForAll(config.requests_per_minute, config.tokens_per_minute)
    files = Files(
        Keyring(config.keys_file),
        Models(models.load(config.models_file), config.models),
        Opener(config, prompts.load(config.prompts_file)),
        TenantLimits(config.limits_file, usual),
    )
    redis = connect(config.redis_url)
    servers = _servers(config, files, redis, parts or Parts())

    # It yields inside a TaskGroup, which else we never do: the task that sets the application
    # up is the process's main one, and if what runs here fails, that one should end.
    async def run(app: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            gateway, pools = _assemble(config, files, tasks, servers)
            app[GATEWAY], app[DOORMAN] = gateway, gateway.doorman
            running = [tasks.create_task(work, name=name) for name, work in _works(gateway, pools)]
            try:
                yield
            finally:
                await gateway.recorder.flush(timeout_s=_LAST_FACTS_S)
                await gateway.sidebands.relay.flush(timeout_s=_LAST_NOTICES_S)
                for task in running:
                    task.cancel()
                for pool in pools:
                    await pool.close()
                await gateway.secrets.close()
                await gateway.keeper.store.aclose()
                await redis.aclose()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(_hang_up)
    for path in handshake.PATHS:
        app.router.add_get(path, handshake.realtime)
    for part in (audio_speech, audio_transcriptions, calls, catalogue, client_secrets, probes):
        part.add(app.router)
    return app


@dataclass(frozen=True, slots=True)
class Servers:
    """What is outside of this process."""

    redis: Redis
    backends: Backends | None
    recorder: Recorder
    secrets: Secrets
    store: Store
    turns: TurnQueue | None
    allowance: Allowance


def _servers(config: Config, files: Files, redis: Redis, parts: Parts) -> Servers:
    spool = Spool(config.spool_dir, config.spool_mb << 20) if config.spool_dir else None
    if spool is not None:
        spool.open()
    url = config.redis_url
    local = LocalAllowance(files.limits, time.monotonic)
    store = parts.store or RedisStore.at(url, new_id("gw"), ttl_s=_abandoned_after_s(config))
    turns = parts.turns
    if parts.backends is None and turns is None:
        turns = MeshTurns(Turns(redis), inbox.key(store.gateway_id), config.stt_queued_s)
    return Servers(
        redis,
        parts.backends,
        parts.recorder or Recorder(connect(url), spool),
        parts.secrets or RedisSecrets(connect(url)),
        store,
        turns,
        parts.allowance or RedisAllowance(redis, files.limits, local),
    )


def _abandoned_after_s(config: Config) -> float:
    """The last beat of a session whose client leaves may be a third of `resume_s` old."""
    return config.resume_s * 4 / 3


def _assemble(
    config: Config, files: Files, tasks: asyncio.TaskGroup, servers: Servers
) -> tuple[Gateway, tuple[Pool, ...]]:
    mesh, pools = (
        (servers.backends, ()) if servers.backends else _mesh(config, tasks, servers.redis)
    )
    keeper = Keeper(servers.store, ttl_s=config.resume_s)

    def ready() -> dict[str, bool]:
        redis = servers.recorder.is_well and keeper.is_well
        return {**{pool.tier: pool.serving for pool in pools}, "redis": redis}

    gateway = Gateway(
        config=config,
        doorman=Doorman(files.keyring, servers.secrets),
        secrets=servers.secrets,
        models=files.models,
        opener=files.opener,
        allowance=servers.allowance,
        minting=LocalAllowance(SameForAll(SECRETS_A_MINUTE, SECRET_BYTES_A_MINUTE), time.monotonic),
        recorder=servers.recorder,
        backends=mesh,
        turns=servers.turns,
        wheel=Wheel(),
        ready=ready if pools else lambda: {},
        is_full=lambda: any(pool.is_full for pool in pools),
        keeper=keeper,
        sidebands=Sidebands(servers.store, Relay(servers.store), strict=config.strict_ga),
        lobby=Lobby(config, keeper, files.opener, files.models),
        connects=ConnectLimit(config.connects_per_s, time.monotonic),
        trusted=[ipaddress.ip_network(net) for net in config.trusted_proxies],
    )
    return gateway, pools


def _works(
    gateway: Gateway, pools: tuple[Pool, ...]
) -> list[tuple[str, Coroutine[Any, Any, None]]]:
    """What goes on as long as the process serves."""
    store, recorder, sidebands = gateway.keeper.store, gateway.recorder, gateway.sidebands
    patience_s = _abandoned_after_s(gateway.config) + SWEEP_PATIENCE_S

    def bury(abandoned: Abandoned) -> None:
        Facts.of(recorder, abandoned.session_id, abandoned.meta).closed("abandoned")

    sweeping = sweep_forever(
        store,
        bury,
        lambda: recorder.flush(timeout_s=_LAST_FACTS_S),
        every_s=SWEEP_S,
        patience_s=patience_s,
        clock=time.monotonic,
    )
    revoking = revocation.watch(
        gateway.live, sidebands, gateway.doorman.knows, every_s=revocation.LOOK_S
    )
    return [
        ("wheel", gateway.wheel.run()),
        ("recorder", recorder.run()),
        ("keeper", gateway.keeper.run()),
        ("messages", Messages(gateway.live, sidebands).attend(store)),
        ("relay", sidebands.relay.run()),
        ("sidebands", sidebands.run()),
        ("revocation", revoking),
        ("sweeper", sweeping),
        *((f"pool of {pool.tier}", pool.run()) for pool in pools),
    ]


def _mesh(
    config: Config, tasks: asyncio.TaskGroup, redis: Redis
) -> tuple[Backends, tuple[Pool, ...]]:
    pools = (
        Pool("stt", config.stt_target, Registry(redis, "stt")),
        Pool("tts", config.tts_target, Registry(redis, "tts")),
        Pool("llm", config.llm_target, Registry(redis, "llm")),
    )
    for pool in pools:
        _measure(pool)
    backends = MeshBackends(
        pools,
        tasks,
        patience_s=config.stt_patience_s,
        tts_patience_s=config.tts_patience_s,
        llm_patience_s=config.llm_patience_s,
        llm_timeout_s=config.llm_timeout_s,
    )
    return backends, pools


def _measure(pool: Pool) -> None:
    metrics.WORKERS_KNOWN.labels(pool.tier).set_function(lambda: len(pool.workers))
    metrics.WORKERS_USABLE.labels(pool.tier).set_function(lambda: pool.n_usable)


async def _hang_up(app: web.Application) -> None:
    """Move every session to another gateway, and tell whoever is still there to go as well."""
    gateway = app[GATEWAY]
    if gateway.is_draining:
        return  # it has been done
    gateway.is_draining = True
    config = gateway.config
    # Until balancers know, they send clients here, and who is refused may not ask another one.
    await asyncio.sleep(min(draining.SETTLE_S, config.drain_s))
    gateway.is_closed = True
    per_s = config.connects_per_s / 2  # others come to them as well
    await draining.drain(gateway.live, within_s=config.drain_s, per_s=per_s)
    with suppress(TimeoutError):  # who does not read is not waited for
        async with asyncio.timeout(1.0), asyncio.TaskGroup() as tasks:
            for ws in list(gateway.open):
                closing = ws.close(code=RESTART_CLOSE, message=b"service restart")
                tasks.create_task(closing, name="hang up")
