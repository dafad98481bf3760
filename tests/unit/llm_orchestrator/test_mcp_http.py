import gzip

import httpx2
import pytest
from aiohttp import web

from llm_orchestrator import mcp_http
from llm_orchestrator.mcp_http import Line, Misbehaved


class Site:
    """Answers every request with `answer`, and notes them."""

    def __init__(self):
        self.url, self.requests = "", []
        self.answer = lambda: web.Response(text="fine")

    async def any(self, request):
        self.requests.append(request)
        return self.answer()

    def line(self, **headers):
        url = httpx2.URL(self.url)
        return Line(self.url, headers, (url.scheme, url.host, url.port))


@pytest.fixture
async def site():
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.any)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    yield site
    await runner.cleanup()


async def test_the_headers_go_with_every_request(site):
    async with site.line(**{"x-team": "blue"}).client(headers={"x-other": "1"}) as client:
        await client.get(site.url)
        await client.post(site.url)
    assert [r.headers["x-team"] for r in site.requests] == ["blue", "blue"]
    assert "x-other" not in site.requests[0].headers


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2:{port}/mcp", "http://127.0.0.1:1/mcp", "https://127.0.0.1:{port}/"]
)
async def test_nothing_is_sent_to_another_origin(site, url):
    async with site.line().client() as client:
        with pytest.raises(Misbehaved, match="another origin"):
            await client.get(url.format(port=httpx2.URL(site.url).port))
    assert site.requests == []


async def test_a_body_is_read_up_to_its_limit(site, monkeypatch):
    monkeypatch.setattr(mcp_http, "MAX_ANSWER_BYTES", 1000)
    async with site.line().client() as client:
        site.answer = lambda: web.Response(body=bytes(1000))
        assert len((await client.get(site.url)).content) == 1000
        site.answer = lambda: web.Response(body=bytes(1001))
        with pytest.raises(Misbehaved, match="longer"):
            await client.get(site.url)


async def test_a_compressed_body_is_refused_because_it_has_no_limit(site):
    site.answer = lambda: web.Response(
        body=gzip.compress(bytes(1000)), headers={"Content-Encoding": "gzip"}
    )
    async with site.line().client() as client:
        with pytest.raises(Misbehaved, match="compresses"):
            await client.get(site.url)
    assert site.requests[0].headers["accept-encoding"] == "identity"


async def test_the_status_is_that_of_the_last_failure(site):
    line = site.line()
    async with line.client() as client:
        site.answer = lambda: web.Response(status=503)
        await client.post(site.url)
        assert line.status == 503
        site.answer = lambda: web.json_response(
            {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600}}, status=400
        )
        assert (await client.post(site.url)).json()["error"]["code"] == -32600
        assert line.status == 0


async def test_a_session_is_ended_once_there_was_one(site):
    line = site.line()
    await line.end_session()
    assert site.requests == []
    site.answer = lambda: web.Response(headers={"mcp-session-id": "s_1"})
    async with line.client() as client:
        await client.post(site.url)
    site.answer = lambda: web.Response(status=500)
    await line.end_session()
    [_, end] = site.requests
    assert (end.method, end.headers["mcp-session-id"]) == ("DELETE", "s_1")
