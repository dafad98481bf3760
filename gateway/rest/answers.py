"""What the REST side has in common: bodies in, errors out, both as the OpenAI API has them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from gateway.auth import Unauthorized, Unready
from gateway.realtime.refusals import SERVER_ERROR, Refusal, Refused, kind, refuse

MAX_BODY = 1 << 20  # bytes; a session's tools and instructions are below half of it
MAX_BODY_S = 60.0
"""How long it may take to arrive."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BROKEN = Refusal(
    None,
    "The server had an error while processing your request. Sorry about that!",
    type=SERVER_ERROR,
)
_STATUSES = {"model_not_found": 404, "rate_limit_exceeded": 429, "request_too_large": 413}


log = logging.getLogger(__name__)


class Later(Refused):
    """Too much was asked in a short time; says when to ask again."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(Refusal("rate_limit_exceeded", message, type="rate_limit_error"))
        self.wait_s = wait_s


def body(refusal: Refusal) -> dict[str, dict[str, str | None]]:
    """The error body of the REST API."""
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type,
            "param": refusal.param,
            "code": refusal.code,
        }
    }


def status_of(refused: Refused) -> int:
    if isinstance(refused, Unauthorized):
        return 401
    if isinstance(refused, Unready):
        return 503
    return _STATUSES.get(refused.refusal.code or "", 400)


def is_api(path: str) -> bool:
    """Whether a path is the API's, and not for those who run this."""
    return path.startswith(("/v1/", "/openai/"))


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say what is refused, and what aiohttp itself refuses, as the OpenAI API does."""
    try:
        return await handler(request)
    except Refused as refused:
        return _refused(refused)
    except web.HTTPException as error:
        if error.status < 400 or not is_api(request.path):
            raise
        return _aiohttps(request, error)
    except Exception as error:  # a mistake of ours, or the client is gone
        if isinstance(error, ConnectionError) and has_left(request):
            return web.Response()  # nobody reads it, and nothing is wrong here
        if not is_api(request.path) or _has_begun(request):
            raise
        log.exception("request failed")
        return web.json_response(body(_BROKEN), status=500)


def _refused(refused: Refused) -> web.Response:
    status, headers = status_of(refused), {}
    if isinstance(refused, Later | Unready):
        wait_s = refused.wait_s if isinstance(refused, Later) else 1
        headers["Retry-After"] = str(math.ceil(wait_s))
    return web.json_response(body(refused.refusal), status=status, headers=headers)


def _aiohttps(request: web.Request, error: web.HTTPException) -> web.Response:
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    refusal = Refusal(None, _sentence(request, error))
    return web.json_response(body(refusal), status=error.status, headers=headers)


def has_left(request: web.Request) -> bool:
    """Whether the client has hung up."""
    return request.transport is None or request.transport.is_closing()


def _has_begun(request: web.Request) -> bool:
    """Whether some of an answer has been sent: then there cannot be another."""
    return request.writer.output_size > 0


async def json_body(request: web.Request) -> dict[str, Any]:
    """The request's JSON; an empty object if it has no body.

    Raises:
        Refused: it is no JSON object, or longer than MAX_BODY.
        web.HTTPRequestTimeout: it takes more than MAX_BODY_S.
    """
    try:
        async with asyncio.timeout(MAX_BODY_S):
            raw = await _whole(request)
        if not raw.strip():
            return {}
        found = msgspec.json.decode(raw)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The body took too long to arrive.") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError, web.RequestPayloadError):
        message = "We could not parse the JSON body of your request."
        raise refuse(None, message) from None
    if not isinstance(found, dict):
        message = f"Invalid type for the body: expected an object, but got {kind(found)} instead."
        raise refuse("invalid_type", message)
    return found


async def _whole(request: web.Request) -> bytearray:
    """
    Raises:
        Refused: it is longer than MAX_BODY.
        web.RequestPayloadError: it is not encoded as its headers say.
    """
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise _too_large()
    return raw


def _too_large() -> Refused:
    return refuse("request_too_large", f"The body is too large. Send at most {MAX_BODY} bytes.")


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    asked = f"{request.method} {request.path[:128]}"
    if error.status == 404:
        return f"Invalid URL ({asked})"
    if error.status == 405:
        return f"Not allowed to {request.method} on {request.path[:128]}."
    return error.text or error.reason
