"""Client secrets: POST /v1/realtime/client_secrets and the two that came before it.

Source: realtime contract §9.1 to §9.3. Only who has an API key gets one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiohttp import web

from gateway import admission, auth
from gateway.backends import Profile
from gateway.client_secrets import Preset, new_secret
from gateway.ids import new_id
from gateway.realtime import beta
from gateway.realtime import checks as c
from gateway.realtime.identity import Identity
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.session_checks import PATCH
from gateway.realtime.settings import Kind
from gateway.rest.answers import Later, json_body
from gateway.rest.metering import take_request
from gateway.shared import GATEWAY, Gateway
from mesh.errors import Unavailable

DEFAULT_S, LEAST_S, MOST_S = 600, 10, 7200
_BETA_S: dict[Kind, int] = {"realtime": 60, "transcription": 600}

_EXPIRES_AFTER = c.obj(
    {},
    {"anchor": c.one_of("created_at"), "seconds": c.nullable(c.integer(LEAST_S, MOST_S))},
)
_BODY = c.obj({}, {"expires_after": c.nullable(_EXPIRES_AFTER), "session": c.nullable(PATCH)})


@dataclass(frozen=True, slots=True)
class _Order:
    """What a secret is to open, and for how long."""

    ttl_s: int
    kind: Kind = "realtime"
    session: dict[str, Any] | None = None
    """Checked; None: nothing is said about it."""


def add(router: web.UrlDispatcher) -> None:
    router.add_post("/v1/realtime/client_secrets", client_secrets)
    router.add_post("/v1/realtime/sessions", sessions)
    router.add_post("/v1/realtime/transcription_sessions", transcription_sessions)


async def client_secrets(request: web.Request) -> web.Response:
    """`session` is what sessions opened with the secret start with, in GA's shape."""
    who = await auth.who(request, secrets=False)
    asked = _BODY(await json_body(request), "")
    ttl_s = (asked.get("expires_after") or {}).get("seconds") or DEFAULT_S
    session = asked.get("session")
    kind: Kind = session["type"] if session else "realtime"
    value, preset, wire = await _make(request, who, _Order(ttl_s, kind, session))
    return web.json_response({"value": value, "expires_at": preset.expires_at_s, "session": wire})


async def sessions(request: web.Request) -> web.Response:
    """A flat beta session in, the same and its secret out."""
    return await _beta(request, "realtime")


async def transcription_sessions(request: web.Request) -> web.Response:
    return await _beta(request, "transcription")


async def _beta(request: web.Request, kind: Kind) -> web.Response:
    who = await auth.who(request, secrets=False)
    if request.app[GATEWAY].config.strict_ga:
        raise Refused(admission.NO_BETA)
    try:
        session = beta.checked_session(await json_body(request), kind)
        temperature = session.get("temperature") or beta.DEFAULT_TEMPERATURE
        order = _Order(_BETA_S[kind], kind, session)
        value, preset, wire = await _make(request, who, order)
    except Refused as refused:
        refused.refusal = _flat(refused.refusal)
        raise
    flat = beta.session_to_beta({**wire, "temperature": temperature})
    secret = {"value": value, "expires_at": preset.expires_at_s}
    return web.json_response({**flat, "client_secret": secret})


async def _make(
    request: web.Request, maker: auth.Who, order: _Order
) -> tuple[str, Preset, dict[str, Any]]:
    """The secret, what it opens, and the session as a client will find it."""
    gateway = request.app[GATEWAY]
    asked = (order.session or {}).get("model")
    model = "" if order.kind == "transcription" else asked or gateway.models.default
    preset = Preset(
        tenant=maker.tenant,
        key_hash=maker.key_hash,
        expires_at_s=math.ceil(time.time()) + order.ttl_s,
        model=model,
        is_bound=bool(asked),
        kind=order.kind if order.session is not None else None,
        session=order.session,
    )
    wire = _wire(gateway, preset, order.kind)
    await _count(gateway, preset)
    value = new_secret()
    try:
        await gateway.secrets.keep(value, preset, order.ttl_s)
    except Unavailable as error:
        raise auth.Unready(auth.AWAY) from error
    return value, preset, wire


def _wire(gateway: Gateway, preset: Preset, kind: Kind) -> dict[str, Any]:
    """The session object, as `session.created` would say it.

    Raises:
        Refused: the model is not ours.
    """
    profile = Profile()
    if kind == "realtime":
        profile = admission.profile(gateway.models, preset.model, "session.model")
    identity = Identity(new_id("sess"), preset.model, 0, kind)
    return gateway.opener.session(identity, profile, preset.session).wire()


async def _count(gateway: Gateway, preset: Preset) -> None:
    """
    Raises:
        Later: the tenant has made too many, or too large ones, or asked too much at all.
    """
    await take_request(gateway.allowance, preset.tenant)
    # The rest never waits, so nobody comes between a check and what it lets in.
    wait_s = await gateway.minting.take_request(preset.tenant)
    if wait_s is not None:
        message = f"Too many client secrets. Please try again in {math.ceil(wait_s)}s."
        raise Later(message, wait_s)
    await gateway.minting.spend_tokens(preset.tenant, len(msgspec.json.encode(preset)))


def _flat(refusal: Refusal) -> Refusal:
    """Of a session that is the body itself, not its `session`."""
    return replace(
        refusal,
        message=refusal.message.replace("'session.", "'"),
        param=refusal.param.removeprefix("session.") if refusal.param else None,
    )
