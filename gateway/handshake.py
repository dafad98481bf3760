"""A client at the door: its WebSocket is opened, it is let in or told why not, and served."""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import time

from aiohttp import WSCloseCode, web

from gateway import admission, auth, endings, garbage, metrics, sideband
from gateway.allowance import Share, too_many
from gateway.audience import Audience
from gateway.auth import PROTOCOL, Unauthorized, Who
from gateway.conformance import Conformance
from gateway.connection import Connection
from gateway.endings import Ending, Goodbye, Limits
from gateway.facts import Facts
from gateway.ids import new_id
from gateway.lobby import Guest
from gateway.realtime.dialects import Ga
from gateway.realtime.refusals import Refused
from gateway.reply import Stage
from gateway.rest import answers
from gateway.sessions.kept import Kept
from gateway.shared import GATEWAY, Gateway
from mesh import log as logs
from mesh.errors import Unavailable

PATHS = ("/v1/realtime", "/openai/v1/realtime", "/openai/realtime")
"""The last two are Azure's."""

MAX_MESSAGE = 21 << 20  # bytes: base64 of the largest append, with its JSON
MOST_UNSENT = 64 << 10  # bytes in the kernel's send buffer of one client; it doubles that

log = logging.getLogger(__name__)


async def realtime(request: web.Request) -> web.StreamResponse:
    """The WebSocket. What is wrong with the request is said on it: browsers see no status."""
    gateway = request.app[GATEWAY]
    began_s, call_id = time.perf_counter(), admission.call_id(request.query)
    if (wait_s := _no_room(gateway, request)) is not None:
        return web.json_response(
            answers.body(admission.FULL),
            status=503,
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
    ws = web.WebSocketResponse(
        protocols=[PROTOCOL],
        compress=False,  # costs 91 KiB a connection and base64 hardly shrinks
        writer_limit=16384,  # else 4 MB of audio lie between us and a client that stalls
        max_msg_size=MAX_MESSAGE if call_id is None else sideband.MAX_MESSAGE,
        heartbeat=gateway.config.idle_ping_s,
        timeout=2.0,
        decode_text=True,
    )
    transport = request.transport
    gateway.open.add(ws)  # before the first await: two must not share the last place
    try:
        await ws.prepare(request)
        _hold_little(request)
        if call_id is not None:
            await _join(ws, request, gateway, call_id)
        elif (guest := await _let_in(ws, request, gateway)) is not None:
            await _serve(ws, request, gateway, guest, began_s)
    finally:
        gateway.open.discard(ws)
        garbage.untie(request, ws, transport)
    return ws


def _no_room(gateway: Gateway, request: web.Request) -> float | None:
    """Seconds to wait, if nobody can be let in now."""
    if gateway.is_closed or len(gateway.open) >= gateway.config.max_sessions:
        metrics.HANDSHAKES.labels("full").inc()
        return 1.0
    if not gateway.keeper.is_well:
        metrics.HANDSHAKES.labels("degraded").inc()
        return 1.0
    if gateway.is_full() and admission.begins(request.query, request.headers):
        metrics.HANDSHAKES.labels("no_worker").inc()
        return 1.0  # who is in keeps its place, also when it comes back
    wait_s = gateway.connects.take()
    if wait_s is not None:
        metrics.HANDSHAKES.labels("limited").inc()
    return wait_s


def _hold_little(request: web.Request) -> None:
    """Keep the kernel from taking minutes of audio for a client that does not read it: the
    client would count as reading, and a barge-in could not take the audio back."""
    if request.transport is not None:
        held = request.transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_UNSENT)


async def _let_in(
    ws: web.WebSocketResponse, request: web.Request, gateway: Gateway
) -> Guest | None:
    """The session that the client wants; None if it was told why not."""
    try:
        who = await auth.who(request)
        guest = await _guest(request, gateway, who)
    except Refused as refused:
        await _refuse(ws, gateway, refused)
        return None
    metrics.HANDSHAKES.labels("accepted").inc()
    return guest


async def _join(
    ws: web.WebSocketResponse, request: web.Request, gateway: Gateway, call_id: str
) -> None:
    """Serve a sideband, or say why not."""
    try:
        who = await auth.who(request)
        await _count(gateway, who)
    except Refused as refused:
        return await _refuse(ws, gateway, refused)
    with (
        gateway.sidebands.new(call_id, who) as one,
        logs.bound(tenant_id=who.tenant, session_id=call_id, correlation_id=new_id("corr")),
    ):
        try:
            await gateway.sidebands.join(one)
        except Refused as refused:
            return await _refuse(ws, gateway, refused)
        metrics.HANDSHAKES.labels("accepted").inc()
        log.info("sideband joined", extra={"owner": one.owner})
        last = await one.serve(ws, gateway.sidebands.relay)
    log.info("sideband left", extra={"reason": last.why if last else "client_left"})
    if last is not None:
        await endings.say(ws, last)


async def _refuse(ws: web.WebSocketResponse, gateway: Gateway, refused: Refused) -> None:
    gateway.open.discard(ws)  # whom we say goodbye to takes nobody's place
    metrics.HANDSHAKES.labels("refused").inc()
    refusal = refused.refusal
    reason = f"{refusal.type}.{refusal.code}" if refusal.code else refusal.type
    await endings.say(ws, Goodbye(_close_code(refused), reason, refusal))


async def _count(gateway: Gateway, who: Who) -> None:
    """
    Raises:
        Refused: the tenant has asked for too much.
    """
    wait_s = await gateway.allowance.take_request(who.tenant)
    if wait_s is not None:
        raise Refused(too_many(wait_s))


async def _guest(request: web.Request, gateway: Gateway, who: Who) -> Guest:
    """
    Raises:
        Refused: what the client wants cannot be, or is too much.
    """
    asked = admission.resumption(request.query, request.headers)
    if asked is not None:  # its requests were counted when it began
        if (before := gateway.live.get(asked.session_id)) and before.kept.meta.tenant == who.tenant:
            await before.moved()
        try:
            return await gateway.lobby.resume(who, asked)
        except Refused:
            await gateway.allowance.count_request(who.tenant)  # a guess is a request
            raise
    wanted = admission.wanted(
        request.query,
        request.headers,
        gateway.models,
        who.preset,
        strict=gateway.config.strict_ga,
    )
    await _count(gateway, who)
    return await gateway.lobby.open(who, wanted, _balancers_id(request, gateway))


def _balancers_id(request: web.Request, gateway: Gateway) -> str | None:
    """What a balancer wants a new session to be called. Others cannot choose."""
    name = admission.session_id_of(request.headers)
    if name is None or not request.remote:
        return None
    peer = ipaddress.ip_address(request.remote.partition("%")[0])
    return name if any(peer in network for network in gateway.trusted) else None


async def _serve(
    ws: web.WebSocketResponse,
    request: web.Request,
    gateway: Gateway,
    guest: Guest,
    began_s: float,
) -> None:
    config, kept = gateway.config, guest.kept
    ids = {"tenant_id": kept.meta.tenant, "session_id": kept.session_id}

    with logs.bound(**ids, correlation_id=new_id("corr")):
        facts = Facts.of(gateway.recorder, kept.session_id, kept.meta)
        connection = Connection(
            ws,
            kept,
            dialect=guest.dialect,
            stage=Stage(
                gateway.backends.with_profile(guest.wanted.profile),
                gateway.wheel,
                config.lead_ms / 1000,
                config.apology,
                speculates=config.speculative,
                queue=gateway.turns and gateway.turns.with_model(guest.wanted.profile.stt),
            ),
            meter=Share(gateway.allowance, kept.meta.tenant),
            facts=facts,
            audience=_audience(gateway, guest),
            limits=Limits(guest.left_s, config.stt_idle_s, config.stt_words_s),
            hang_up=request.transport.abort if request.transport else _is_gone,
            unsent=request.transport.get_write_buffer_size if request.transport else int,
            conformance=Conformance(beta=guest.wanted.beta) if config.check_events else None,
        )
        other = gateway.live.get(kept.session_id)
        if other is None or other.kept.epoch < kept.epoch:
            gateway.live[kept.session_id] = connection
        if other is not None:  # both came back at once: the later claim has the session
            (other if other.kept.epoch < kept.epoch else connection).end(endings.Superseded())
        if kept.is_lost:
            connection.end(endings.Moved())  # while nobody could tell it so
        _opened(guest, facts, began_s)
        try:
            why = await connection.run(guest.restored)
        finally:
            if gateway.live.get(kept.session_id) is connection:
                del gateway.live[kept.session_id]
        await _end(ws, gateway, connection, why, facts)


def _audience(gateway: Gateway, guest: Guest) -> Audience:
    kept, dialect = guest.kept, guest.dialect
    ga = dialect if isinstance(dialect, Ga) else Ga()
    return Audience(kept.session_id, kept.meta.tenant, ga, gateway.sidebands.relay.put)


def _is_gone() -> None:
    """There is nothing to hang up on."""


async def _end(
    ws: web.WebSocketResponse, gateway: Gateway, connection: Connection, why: Ending, facts: Facts
) -> None:
    kept, keeper = connection.kept, gateway.keeper
    log.info("session closed", extra={"reason": why.reason})
    if isinstance(why, endings.Moved):
        metrics.MOVED.inc()
        keeper.drop(kept)
    else:
        await keeper.leave(kept)  # before the client can ask another gateway for it
    is_over = why.is_last and await _close(gateway, kept)
    if is_over:
        facts.closed(why.reason)
    connection.audience.end(is_last=is_over)
    connection.has_left.set()
    if isinstance(why, endings.Slow):
        connection.hang_up()  # a close frame would wait behind what the client does not read
    last = endings.goodbye(why, kept.session_id, gateway.config.session_s)
    if last is not None:
        await endings.say(ws, last)


async def _close(gateway: Gateway, kept: Kept) -> bool:
    """Forget a session. Returns whether it was ours to forget."""
    try:
        return await gateway.keeper.store.close(kept.session_id, kept.epoch)
    except Unavailable:
        log.warning("session left behind")  # it will be swept, and its end told only once
        return True


def _opened(guest: Guest, facts: Facts, began_s: float) -> None:
    model = guest.wanted.model
    if guest.restored is None:
        facts.opened(model)
        log.info("session opened", extra={"model": model})
    else:
        took_s = time.perf_counter() - began_s
        metrics.RESUMED.observe(took_s)
        told = {"epoch": guest.kept.epoch, "unsent": len(guest.restored.unsent)}
        log.info("session resumed", extra={**told, "took_ms": round(took_s * 1000, 1)})


def _close_code(refused: Refused) -> int:
    if isinstance(refused, Unauthorized):
        return endings.AUTH_CLOSE
    if isinstance(refused, auth.Unready):
        return WSCloseCode.INTERNAL_ERROR  # clients that reconnect do so then
    return admission.close_code(refused)
