"""A client at the door: its WebSocket is opened, it is let in or told why not, and served."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSCloseCode, web

from gateway import admission, auth, metrics
from gateway.admission import Wanted
from gateway.allowance import Share
from gateway.auth import PROTOCOL, Unauthorized
from gateway.client_secrets import Preset
from gateway.conformance import Conformance
from gateway.connection import Connection, Limits, say_fatal
from gateway.ids import new_id
from gateway.realtime.dialects import Beta, Ga
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.session import Identity, Session
from gateway.recorder import Facts
from gateway.reply import Stage
from gateway.rest import answers
from gateway.shared import GATEWAY, Gateway
from mesh import log as logs

PATHS = ("/v1/realtime", "/openai/v1/realtime", "/openai/realtime")
"""The last two are Azure's."""

MAX_MESSAGE = 21 << 20  # bytes: base64 of the largest append, with its JSON
PING_S = 20.0  # as the live service
MOST_UNSENT = 64 << 10  # bytes in the kernel's send buffer of one client; it doubles that
AUTH_CLOSE = 3000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in, for what."""

    tenant: str
    wanted: Wanted
    hang_up: Callable[[], None]
    """Drops the TCP connection at once."""


async def realtime(request: web.Request) -> web.StreamResponse:
    """The WebSocket. What is wrong with the request is said on it: browsers see no status."""
    gateway = request.app[GATEWAY]
    if gateway.is_draining or len(gateway.open) >= gateway.config.max_sessions:
        metrics.HANDSHAKES.labels("full").inc()
        return web.json_response(
            answers.body(admission.FULL),
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
        who = await auth.who(request)
        wanted = admission.wanted(
            request.query,
            request.headers,
            gateway.models,
            who.preset,
            strict=gateway.config.strict_ga,
        )
        session = _session(gateway, wanted, who.preset)
    except Refused as refused:
        gateway.open.discard(ws)  # whom we say goodbye to takes nobody's place
        return await _turn_away(ws, refused.refusal, _close_code(refused))
    metrics.HANDSHAKES.labels("accepted").inc()

    def hang_up() -> None:
        if request.transport is not None:
            request.transport.abort()

    await _serve(ws, gateway, session, Caller(who.tenant, wanted, hang_up))


def _session(gateway: Gateway, wanted: Wanted, preset: Preset | None) -> Session:
    expires_at_s = int(time.time() + gateway.config.session_s)
    identity = Identity(new_id("sess"), wanted.model, expires_at_s, wanted.kind)
    asked = preset.session if preset is not None else None
    return gateway.opener.session(identity, wanted.profile, asked)


async def _serve(
    ws: web.WebSocketResponse, gateway: Gateway, session: Session, caller: Caller
) -> None:
    config = gateway.config
    ids = {"tenant_id": caller.tenant, "session_id": session.identity.session_id}
    with logs.bound(**ids, correlation_id=new_id("corr")):
        beta = caller.wanted.beta
        backends = gateway.backends.with_profile(caller.wanted.profile)
        await Connection(
            ws,
            session,
            dialect=Beta(session.conversation_id) if beta else Ga(config.strict_ga),
            stage=Stage(backends, gateway.wheel, config.lead_ms / 1000),
            meter=Share(gateway.allowance, caller.tenant),
            facts=Facts(gateway.recorder, **ids, conversation_id=session.conversation_id),
            limits=Limits(config.session_s, config.stt_idle_s, config.stt_words_s),
            hang_up=caller.hang_up,
            conformance=Conformance(beta=beta) if config.check_events else None,
        ).run()


def _close_code(refused: Refused) -> int:
    if isinstance(refused, Unauthorized):
        return AUTH_CLOSE
    if isinstance(refused, auth.Unready):
        return WSCloseCode.INTERNAL_ERROR  # clients that reconnect do so then
    return admission.close_code(refused)


async def _turn_away(ws: web.WebSocketResponse, refusal: Refusal, code: int) -> None:
    metrics.HANDSHAKES.labels("refused").inc()
    reason = f"{refusal.type}.{refusal.code}" if refusal.code else refusal.type
    await say_fatal(ws, refusal, code, reason)
