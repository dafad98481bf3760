"""GET /v1/models: the names a client may ask for, as the OpenAI API lists models."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway import auth
from gateway.realtime.refusals import refuse
from gateway.shared import GATEWAY


def add(router: web.UrlDispatcher) -> None:
    router.add_get("/v1/models", listed)
    router.add_get("/v1/models/{model:.+}", one)


async def listed(request: web.Request) -> web.Response:
    await auth.who(request)
    data = [_model(name) for name in request.app[GATEWAY].models.names()]
    return web.json_response({"object": "list", "data": data})


async def one(request: web.Request) -> web.Response:
    """Any name that a session may be opened with, also if only a pattern takes it."""
    await auth.who(request)
    name = request.match_info["model"]
    if request.app[GATEWAY].models.find(name) is None:
        message = f"The model '{name[:128]}' does not exist or you do not have access to it."
        raise refuse("model_not_found", message, "model")
    return web.json_response(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "ovos-voice-mesh"}
