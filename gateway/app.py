"""Puts the gateway together. The only file that knows all its parts."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from gateway import admission, metrics
from gateway.auth import PROTOCOL, Keyring
from gateway.backends import Backends
from gateway.clients import MeshBackends
from gateway.config import Config
from gateway.connection import RESTART_CLOSE, Connection, Limits, say_fatal
from gateway.ids import new_id
from gateway.pacer import Wheel
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.session import Identity, Session
from gateway.realtime.settings import Audio, AudioOutput, Settings
from gateway.recorder import Facts, Recorder
from gateway.reply import Stage
from mesh import log as logs
from mesh.dial import Link
from mesh.metrics import page
from mesh.stream import connect

MAX_MESSAGE = 21 << 20  # bytes: base64 of the largest append, with its JSON
PING_S = 20.0  # as the live service
MOST_UNSENT = 64 << 10  # bytes in the kernel's send buffer of one client; it doubles that

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Gateway:
    """What all connections of this process share."""

    config: Config
    keyring: Keyring
    recorder: Recorder
    backends: Backends
    wheel: Wheel
    ready: Callable[[], Mapping[str, bool]]
    """What a whole turn needs → whether it is there."""
    open: set[web.WebSocketResponse] = field(default_factory=set)
    is_draining: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in, for what."""

    tenant: str
    model: str
    hang_up: Callable[[], None]
    """Drops the TCP connection at once."""


GATEWAY = web.AppKey("gateway", Gateway)


def build(
    config: Config, backends: Backends | None = None, recorder: Recorder | None = None
) -> web.Application:
    """
    Args:
        backends: What to talk to instead of the mesh; for tests.
        recorder: What takes the facts instead of Redis; for tests.

    Raises:
        mesh.keys.KeyFileError: the keys cannot be read.
    """
    # It warns of subprotocols it does not know, word by word, and a browser's key is one.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    app = web.Application()
    keyring = Keyring(config.keys_file)

    # It yields inside a TaskGroup, which else we never do: the task that sets the application
    # up is the process's main one, and if what runs here fails, that one should end.
    async def run(app: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            gateway, close = _assemble(config, keyring, tasks, backends, recorder)
            app[GATEWAY] = gateway
            running = [tasks.create_task(gateway.wheel.run(), name="wheel")]
            running.append(tasks.create_task(gateway.recorder.run(), name="recorder"))
            running += [
                tasks.create_task(link.watch(), name=f"watch {link.tier}") for link in close
            ]
            try:
                yield
            finally:
                await gateway.recorder.flush(timeout_s=2.0)
                for task in running:
                    task.cancel()
                for link in close:
                    await link.close()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(_hang_up)
    app.router.add_get("/v1/realtime", realtime)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics_page)
    return app


def _assemble(
    config: Config,
    keyring: Keyring,
    tasks: asyncio.TaskGroup,
    backends: Backends | None,
    recorder: Recorder | None,
) -> tuple[Gateway, tuple[Link, ...]]:
    recorder = recorder or Recorder(connect(config.redis_url))
    if backends is not None:
        return Gateway(config, keyring, recorder, backends, Wheel(), lambda: {}), ()
    links = (
        Link("stt", config.stt_target),
        Link("tts", config.tts_target),
        Link("llm", config.llm_target),
    )
    mesh = MeshBackends(
        links, tasks, patience_s=config.stt_patience_s, llm_timeout_s=config.llm_timeout_s
    )

    def ready() -> dict[str, bool]:
        return {**{link.tier: link.serving for link in links}, "redis": recorder.is_well}

    return Gateway(config, keyring, recorder, mesh, Wheel(), ready), links


async def realtime(request: web.Request) -> web.StreamResponse:
    """The WebSocket. What is wrong with the request is said on it: browsers see no status."""
    gateway = request.app[GATEWAY]
    if gateway.is_draining or len(gateway.open) >= gateway.config.max_sessions:
        metrics.HANDSHAKES.labels("full").inc()
        return web.json_response(
            admission.body(admission.FULL),
            status=503,
            headers={"Retry-After": "1"},
        )
    ws = web.WebSocketResponse(
        protocols=[PROTOCOL],
        compress=False,  # costs 91 KiB a connection and base64 hardly shrinks
        writer_limit=16384,  # else 4 MB of audio lie between us and a client that stalls
        max_msg_size=MAX_MESSAGE,
        heartbeat=PING_S,
        timeout=2.0,
        decode_text=True,
    )
    gateway.open.add(ws)  # before the first await: two must not share the last place
    try:
        await ws.prepare(request)
        _hold_little(request)
        await _admit(ws, request, gateway)
    finally:
        gateway.open.discard(ws)
    return ws


def _hold_little(request: web.Request) -> None:
    """Keep the kernel from taking minutes of audio for a client that does not read it: the
    client would count as reading, and a barge-in could not take the audio back."""
    if request.transport is not None:
        held = request.transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_UNSENT)


async def _admit(ws: web.WebSocketResponse, request: web.Request, gateway: Gateway) -> None:
    """Serve the client, or say why not."""
    try:
        tenant = gateway.keyring.tenant(request.headers)
    except Refused as refused:
        return await _turn_away(ws, refused.refusal, admission.AUTH_CLOSE)
    try:
        models = gateway.config.models
        model = admission.wanted_model(request.query, request.headers, models)
    except Refused as refused:
        return await _turn_away(ws, refused.refusal, admission.close_code(refused))
    metrics.HANDSHAKES.labels("accepted").inc()

    def hang_up() -> None:
        if request.transport is not None:
            request.transport.abort()

    await _serve(ws, gateway, Caller(tenant, model, hang_up))


async def _serve(ws: web.WebSocketResponse, gateway: Gateway, caller: Caller) -> None:
    config = gateway.config
    session_id = new_id("sess")
    expires_at_s = int(time.time() + config.session_s)
    ids = {"tenant_id": caller.tenant, "session_id": session_id}
    with logs.bound(**ids, correlation_id=new_id("corr")):
        session = Session(
            Identity(session_id, caller.model, expires_at_s),
            new_id=new_id,
            settings=Settings(
                instructions=config.instructions,
                audio=Audio(output=AudioOutput(voice=config.voice)),
            ),
            lead_ms=config.lead_ms,
        )
        await Connection(
            ws,
            session,
            stage=Stage(gateway.backends, gateway.wheel, config.lead_ms / 1000),
            facts=Facts(gateway.recorder, **ids, conversation_id=session.conversation_id),
            limits=Limits(config.session_s, config.stt_idle_s, config.stt_words_s),
            hang_up=caller.hang_up,
        ).run()


async def _turn_away(ws: web.WebSocketResponse, refusal: Refusal, code: int) -> None:
    metrics.HANDSHAKES.labels("refused").inc()
    reason = f"{refusal.type}.{refusal.code}" if refusal.code else refusal.type
    await say_fatal(ws, refusal, code, reason)


async def models(request: web.Request) -> web.Response:
    """The names a client may ask for, as the OpenAI API lists models."""
    gateway = request.app[GATEWAY]
    try:
        gateway.keyring.tenant(request.headers)
    except Refused as refused:
        return web.json_response(admission.body(refused.refusal), status=401)
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "ovos-voice-mesh"}
        for name in admission.names_of(gateway.config.models)
    ]
    return web.json_response({"object": "list", "data": data})


async def healthz(request: web.Request) -> web.Response:
    """The process runs."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 only when a whole turn can be served; says what is missing."""
    gateway = request.app[GATEWAY]
    parts = gateway.ready()
    ready = all(parts.values()) and not gateway.is_draining
    body = {"ready": ready, "draining": gateway.is_draining, **parts}
    return web.json_response(body, status=200 if ready else 503)


async def metrics_page(request: web.Request) -> web.Response:
    body, content_type = await asyncio.get_running_loop().run_in_executor(None, page)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _hang_up(app: web.Application) -> None:
    """Tell every client that this process ends and another will serve it."""
    gateway = app[GATEWAY]
    gateway.is_draining = True
    with suppress(TimeoutError):  # who does not read is not waited for
        async with asyncio.timeout(gateway.config.drain_s), asyncio.TaskGroup() as tasks:
            for ws in list(gateway.open):
                closing = ws.close(code=RESTART_CLOSE, message=b"service restart")
                tasks.create_task(closing, name="hang up")
