from __future__ import annotations

import asyncio
import io
import logging

import pytest
from aiohttp import web

from gateway.auth import EXPIRED, Unauthorized, Unready
from gateway.realtime.refusals import Refusal, Refused
from gateway.rest import answers
from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}
SECRETS = "/v1/realtime/client_secrets"


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (Unauthorized(EXPIRED), 401),
        (Unready(EXPIRED), 503),
        (Refused(Refusal("model_not_found", "")), 404),
        (answers.Later("", 1.5), 429),
        (Refused(Refusal("request_too_large", "")), 413),
        (Refused(Refusal("invalid_value", "")), 400),
        (Refused(Refusal(None, "")), 400),
    ],
)
def test_every_refusal_has_its_status(refused, status):
    assert answers.status_of(refused) == status


async def test_an_address_of_the_api_that_is_not_there_is_said_as_the_api_does(http):
    answer = await http.get("/v1/nothing?key=value", headers=BEARER)
    assert answer.status == 404
    error = (await answer.json())["error"]
    assert error["message"] == "Invalid URL (GET /v1/nothing)"
    assert error["type"] == "invalid_request_error"


async def test_a_method_that_is_not_there_is_said_as_the_api_does(http):
    answer = await http.get(SECRETS, headers=BEARER)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert (await answer.json())["error"]["message"] == f"Not allowed to GET on {SECRETS}."


async def test_other_addresses_are_aiohttps(http):
    assert await (await http.get("/nothing")).text() == "404: Not Found"


@pytest.mark.parametrize("body", ["{", "[" * 100_000, b"\xff", "nul"])
async def test_a_body_that_is_no_json_is_refused(http, body):
    answer = await http.post(SECRETS, headers=BEARER, data=body)
    assert answer.status == 400
    message = (await answer.json())["error"]["message"]
    assert message == "We could not parse the JSON body of your request."


async def test_a_body_that_is_too_long_is_refused_unread(http):
    async def endless():
        for _ in range(40):
            yield b" " * (64 << 10)

    for body in (io.BytesIO(b" " * (answers.MAX_BODY + 1)), endless()):
        answer = await http.post(SECRETS, headers=BEARER, data=body)
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"


async def test_white_space_is_no_body(http):
    assert (await http.post(SECRETS, headers=BEARER, data=b" \n")).status == 200


async def test_a_body_that_is_not_compressed_as_it_says_is_refused(http):
    headers = BEARER | {"Content-Encoding": "gzip"}
    answer = await http.post(SECRETS, headers=headers, data=b"nonsense")
    assert answer.status == 400
    assert "could not parse the JSON" in (await answer.json())["error"]["message"]


async def test_a_body_that_does_not_arrive_is_not_waited_for(http, monkeypatch):
    monkeypatch.setattr(answers, "MAX_BODY_S", 0.05)

    async def stalls():
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        answer = await http.post(SECRETS, headers=BEARER, data=stalls())
    assert answer.status == 408
    assert (await answer.json())["error"]["message"] == "The body took too long to arrive."


@pytest.fixture
async def serve(aiohttp_client):
    """A server of one handler, behind the middleware."""

    async def serve(handler):
        app = web.Application(middlewares=[answers.middleware])
        app.router.add_post("/v1/x", handler)
        return await aiohttp_client(app)

    return serve


async def test_a_mistake_of_ours_is_said_as_the_api_does(serve, caplog):
    async def handler(request):
        raise KeyError("10.0.0.7")

    answer = await (await serve(handler)).post("/v1/x")
    assert answer.status == 500
    assert "10.0.0.7" not in await answer.text()
    assert (await answer.json())["error"]["type"] == "server_error"
    assert [(r.name, r.exc_info[0]) for r in caplog.records if r.levelno == logging.ERROR] == [
        ("gateway.rest.answers", KeyError)
    ]


async def test_a_client_that_hangs_up_is_no_error(serve, caplog):
    left = asyncio.Event()

    async def handler(request):
        try:
            return web.Response(body=await request.read())
        finally:
            left.set()

    client = await serve(handler)
    _, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    await writer.drain()
    writer.close()
    async with asyncio.timeout(10):
        await left.wait()
    await client.server.close()  # waits for what the middleware does
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
