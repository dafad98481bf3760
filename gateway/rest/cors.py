"""Cross-origin requests: pages of other origins may use the API.

Who asks is known by a key that the page itself sends, never by a cookie, so a foreign page
gains nothing that its own server could not do: all origins are let in unless the settings
name some.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from gateway.rest.answers import Handler, is_api

_METHODS = "GET, POST, OPTIONS"
_EXPOSED = "Location, Retry-After"
_DAY_S = "86400"


class Cors:
    """The answers' headers, and the question a browser asks first."""

    def __init__(self, origins: Sequence[str]) -> None:
        """
        Args:
            origins: Those let in, as `https://app.example`; "*" is all, none turns this off.
        """
        self._origins = frozenset(origins)

    def install(self, app: web.Application) -> None:
        """Before other middlewares, so that what they refuse can be read by a page too."""
        app.middlewares.insert(0, self._preflight())
        app.on_response_prepare.append(self._mark)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Streams have their headers sent long before their handler is done, so not later."""
        if not is_api(request.path) or not self._origins:
            return
        if "*" in self._origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        else:
            response.headers[hdrs.VARY] = hdrs.ORIGIN
            if not self._takes(request):
                return
            origin = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

    def _preflight(self) -> Middleware:
        @web.middleware
        def preflight(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
            if (
                request.method != hdrs.METH_OPTIONS
                or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers
                or not is_api(request.path)
            ):
                return handler(request)  # not awaited here: WebSockets would keep our frame
            return self._answer(request)

        return preflight

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {hdrs.ACCESS_CONTROL_MAX_AGE: _DAY_S}
        if self._takes(request):
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = _METHODS
            # "*" would not be enough: it never means Authorization.
            asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = asked or "Authorization, Content-Type"
        return web.Response(status=204, headers=headers)

    def _takes(self, request: web.Request) -> bool:
        return "*" in self._origins or request.headers.get(hdrs.ORIGIN) in self._origins
