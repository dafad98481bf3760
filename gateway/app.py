"""Puts the gateway together. The only file that knows all its parts."""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from gateway import metrics
from gateway.auth import PROTOCOL, Keyring
from gateway.backends import Backends
from gateway.clients import MeshBackends
from gateway.config import Config
from gateway.connection import Connection, Limits, say_fatal
from gateway.pacer import Wheel
from gateway.realtime.refusals import Refusal, Refused, refuse
from gateway.realtime.session import Identity, Session
from gateway.realtime.settings import Audio, AudioOutput, Settings
from gateway.recorder import Facts, Recorder
from gateway.reply import Stage
from mesh import log as logs
from mesh.dial import Link
from mesh.metrics import page
from mesh.stream import connect
from ovos.common.v1 import common_pb2

MAX_MESSAGE = 21 << 20  # bytes: base64 of the largest append, with its JSON
PING_S = 20.0  # as the live service
AUTH_CLOSE, SHAPE_CLOSE, SESSION_CLOSE = 3000, 4000, 4004
_RESTART_CLOSE = 1012

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
    app = web.Application()
    keyring = Keyring(config.keys_file)

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
            _body(Refusal("server_overloaded", "The server takes no new sessions now.")),
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
    await ws.prepare(request)
    try:
        tenant = gateway.keyring.tenant(request.headers)
    except Refused as refused:
        return await _turn_away(ws, refused.refusal, AUTH_CLOSE)
    try:
        model = _wanted_model(request, gateway.config)
    except Refused as refused:
        resumes = refused.refusal.code == "session_not_found"
        return await _turn_away(ws, refused.refusal, SESSION_CLOSE if resumes else SHAPE_CLOSE)
    metrics.HANDSHAKES.labels("accepted").inc()
    gateway.open.add(ws)
    try:
        await _serve(ws, gateway, tenant, model)
    finally:
        gateway.open.discard(ws)
    return ws


async def _serve(ws: web.WebSocketResponse, gateway: Gateway, tenant: str, model: str) -> None:
    config = gateway.config
    session_id = new_id("sess")
    expires_at_s = int(time.time() + config.session_s)
    with logs.bound(tenant_id=tenant, session_id=session_id, correlation_id=new_id("corr")):
        session = Session(
            Identity(session_id, model, expires_at_s),
            new_id=new_id,
            settings=Settings(
                instructions=config.instructions,
                audio=Audio(output=AudioOutput(voice=config.voice)),
            ),
            lead_ms=config.lead_ms,
        )
        ref = common_pb2.SessionRef(
            tenant_id=tenant, session_id=session_id, conversation_id=session.conversation_id
        )
        stage = Stage(gateway.backends, gateway.wheel, config.lead_ms / 1000)
        await Connection(
            ws,
            session,
            stage=stage,
            facts=Facts(gateway.recorder, ref),
            limits=Limits(config.session_s, config.stt_idle_s),
        ).run()


def _wanted_model(request: web.Request, config: Config) -> str:
    """The model a client asks for.

    Raises:
        Refused: none, one that is not ours, or a kind of session we do not serve.
    """
    query = request.query
    beta = request.headers.get("OpenAI-Beta", "") == "realtime=v1"
    if beta or "openai-beta.realtime-v1" in request.headers.get("Sec-WebSocket-Protocol", ""):
        raise refuse(
            "beta_api_shape_disabled",
            "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
        )
    if "session_id" in query or "call_id" in query:
        raise refuse("session_not_found", "Sessions cannot be resumed on this server yet.")
    if "intent" in query:
        raise refuse("invalid_value", "Only realtime sessions are available on this server yet.")
    model = query.get("model", "")
    if not model:
        raise refuse(
            "missing_model",
            "You must provide a model parameter, for example "
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-1.5",
        )
    if not any(fnmatch.fnmatchcase(model, known) for known in config.models):
        raise refuse(
            "invalid_model",
            f'Model "{model[:128]}" is not supported in realtime mode. '
            "See https://platform.openai.com/docs/models for a list of supported models.",
        )
    return model


async def _turn_away(
    ws: web.WebSocketResponse, refusal: Refusal, code: int
) -> web.WebSocketResponse:
    metrics.HANDSHAKES.labels("refused").inc()
    reason = f"{refusal.type}.{refusal.code}" if refusal.code else refusal.type
    await say_fatal(ws, refusal, code, reason)
    return ws


async def models(request: web.Request) -> web.Response:
    """The names a client may ask for, as the OpenAI API lists models."""
    gateway = request.app[GATEWAY]
    try:
        gateway.keyring.tenant(request.headers)
    except Refused as refused:
        return web.json_response(_body(refused.refusal), status=401)
    names = [name.replace("*", "") for name in gateway.config.models]
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "ovos-voice-mesh"}
        for name in names
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
    async with asyncio.TaskGroup() as tasks:
        for ws in list(gateway.open):
            tasks.create_task(
                ws.close(code=_RESTART_CLOSE, message=b"service restart"), name="hang up"
            )


def _body(refusal: Refusal) -> dict[str, dict[str, str | None]]:
    """The error body of the REST API."""
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type,
            "param": refusal.param,
            "code": refusal.code,
        }
    }


_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """An id as the live service makes them: the prefix and 21 base-62 characters."""
    n = 21 if prefix != "call" else 16
    return f"{prefix}_{''.join(secrets.choice(_BASE62) for _ in range(n))}"
