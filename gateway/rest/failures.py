"""How the REST side says that a tier has failed."""

from __future__ import annotations

from aiohttp import web

from gateway.realtime.refusals import CLIENT_ERROR, SERVER_ERROR, Refusal
from gateway.rest import answers
from gateway.told import told
from mesh.errors import MeshError, Rejected

_RETRY_S = 1


def refusal_of(error: MeshError, what: str) -> Refusal:
    """
    Args:
        what: What failed, for example "Speech synthesis".
    """
    if isinstance(error, Rejected):
        return Refusal("invalid_value", told(error), error.param or None, type=CLIENT_ERROR)
    code = "service_unavailable" if error.retryable else "server_error"
    return Refusal(code, f"{what} failed. {told(error)}", type=SERVER_ERROR)


def answer(error: MeshError, what: str) -> web.Response:
    """The answer where nothing has been sent yet: 400, 503 if it is worth trying again, or 500."""
    body = answers.body(refusal_of(error, what))
    if isinstance(error, Rejected):
        return web.json_response(body, status=400)
    if not error.retryable:
        return web.json_response(body, status=500)
    wait_s = max(_RETRY_S, round(error.retry_after_s or 0))
    return web.json_response(body, status=503, headers={"Retry-After": str(wait_s)})
