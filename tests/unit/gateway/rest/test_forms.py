from __future__ import annotations

import asyncio
import io

import pytest
from aiohttp import FormData, web

from gateway.realtime.refusals import Refused
from gateway.rest import forms

BOUNDARY = {"Content-Type": "multipart/form-data; boundary=x"}
FIELD = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'


@pytest.fixture
async def send(aiohttp_client):
    """Send a form; what was read of it, or the refusal's code."""
    read = []

    async def handler(request):
        try:
            read.append(await forms.read(request))
        except Refused as refused:
            read.append(refused.refusal.code)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handler)
    client = await aiohttp_client(app)

    async def send(data, **options):
        answer = await client.post("/", data=data, **options)
        return read.pop() if answer.status == 200 else answer.status

    return send


async def test_fields_and_the_file_are_read(send):
    data = FormData()
    for name, value in (("a", "1"), ("a", "ü"), ("b[]", "x"), ("b[]", ""), ("c", "")):
        data.add_field(name, value)
    data.add_field("file", io.BytesIO(bytes(200_000)), filename="f")
    form = await send(data)
    assert form.one("a") == "ü"
    assert form.all("b") == ["x"]
    assert form.one("c") is None
    assert form.one("d") is None
    assert form.file.getvalue() == bytes(200_000)


async def test_a_form_needs_no_file(send):
    form = await send(FormData({"a": "1"}, default_to_multipart=True))
    assert form.file is None


async def test_other_kinds_of_bodies_are_not_taken(send):
    assert await send(b"{}", headers={"Content-Type": "application/json"}) == 415
    assert await send({"a": "1"}) == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"--x\r\n\r\n",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nno name, no end",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n',
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
        b"--x\r\nno colon\r\n\r\nx\r\n--x--\r\n",
        b"--x\r\nX: " + b"a" * 20_000 + b"\r\n\r\nx\r\n--x--\r\n",
        b"--x\r\nContent-Transfer-Encoding: odd\r\n\r\nx\r\n--x--\r\n",
        FIELD % b"_charset_" + b"x" * 100 + b"\r\n--x--\r\n",
    ],
)
async def test_a_broken_form_is_refused(send, body):
    found = await send(body, headers=BOUNDARY)
    assert found is None or not found.fields.get("a"), found


async def test_a_form_without_a_boundary_is_refused(send):
    assert await send(b"--x--", headers={"Content-Type": "multipart/form-data"}) is None


async def test_what_is_too_large_is_refused(send, monkeypatch):
    monkeypatch.setattr(forms, "MAX_FILE", 100_000)
    file = FormData()
    file.add_field("file", io.BytesIO(bytes(100_001)), filename="f")
    assert await send(file) == "request_too_large"
    field = FormData(default_to_multipart=True)
    field.add_field("prompt", "a" * (forms.MAX_FIELD + 1))
    assert await send(field) == "request_too_large"
    monkeypatch.setattr(forms, "_MAX_BODY", 1000)
    assert await send(file) == "request_too_large"


async def test_so_many_fields_are_no_form(send):
    data = FormData(default_to_multipart=True)
    for n in range(forms.MAX_FIELDS + 1):
        data.add_field(f"f{n}", "x")
    assert await send(data) is None


async def test_a_form_that_is_not_compressed_as_it_says_is_refused(send):
    assert await send(b"nonsense", headers=BOUNDARY | {"Content-Encoding": "gzip"}) is None


async def test_a_form_that_does_not_arrive_is_not_waited_for(send, monkeypatch):
    monkeypatch.setattr(forms, "MAX_S", 0.05)

    async def stalls():
        yield FIELD % b"a"
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        assert await send(stalls(), headers=BOUNDARY) == 408
