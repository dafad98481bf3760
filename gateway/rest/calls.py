"""POST /v1/realtime/calls/{call_id}/hangup: whoever has the tenant's API key ends a session.

Source: realtime contract §9.5. A call's id is its session's.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway import admission, auth, notices
from gateway.facts import Facts
from gateway.notices import Close
from gateway.realtime.refusals import SERVER_ERROR, Refusal
from gateway.rest import answers
from gateway.rest.metering import take_request
from gateway.sessions.store import Store
from gateway.shared import GATEWAY, Gateway
from mesh.errors import Unavailable

PATIENCE_S = 4.0
"""For the owner, which says goodbye first; above what that may take."""
_FIRST_S, _LONGEST_S = 0.02, 0.5  # between two looks whether it has

AWAY = Refusal(
    "service_unavailable", "Sessions cannot be ended right now. Please try again.",
    type=SERVER_ERROR,
)  # fmt: skip


def add(router: web.UrlDispatcher) -> None:
    router.add_post("/v1/realtime/calls/{call_id}/hangup", hangup)


async def hangup(request: web.Request) -> web.Response:
    """Returns once the session is no more."""
    gateway = request.app[GATEWAY]
    who = await auth.who(request, secrets=False)
    await take_request(gateway.allowance, who.tenant)
    try:
        was_there = await _end(gateway, request.match_info["call_id"][:128], who.tenant)
    except Unavailable as error:
        raise auth.Unready(AWAY) from error
    if not was_there:
        return web.json_response(answers.body(admission.NO_SESSION), status=404)
    return web.Response()


async def _end(gateway: Gateway, session_id: str, tenant: str) -> bool:
    """Returns whether there was such a session."""
    store, was_there = gateway.keeper.store, False
    while (owner := await store.owner(session_id, tenant)) is not None:
        was_there = True
        await store.tell(owner, notices.encode(Close(session_id)))
        if not await _ends(store, session_id, tenant):
            await _bury(gateway, session_id, tenant)
    return was_there


async def _ends(store: Store, session_id: str, tenant: str) -> bool:
    """Whether its owner ends it in time."""
    loop = asyncio.get_running_loop()
    until_s, wait_s = loop.time() + PATIENCE_S, _FIRST_S
    while loop.time() < until_s:
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_S)
        if await store.owner(session_id, tenant) is None:
            return True
    return False


async def _bury(gateway: Gateway, session_id: str, tenant: str) -> None:
    """End a session that nobody serves; unless somebody comes back for it just now."""
    store = gateway.keeper.store
    found = await store.claim(session_id, tenant)
    if found is not None and await store.close(session_id, found.epoch):
        Facts.of(gateway.recorder, session_id, found.meta).closed("closed")
