from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from gateway.rest import unquoted
from tests.unit.gateway.keys import KEY

BROKEN = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\x01\r\n\r\n"


@pytest.fixture
def server_log():
    """What aiohttp's server logs, filtered; it has no filter afterwards."""
    logger = logging.getLogger("aiohttp.server")
    before = logger.filters[:]
    yield logger
    logger.filters[:] = before


async def test_a_key_in_a_request_that_cannot_be_parsed_is_not_logged(
    aiohttp_server, server_log, caplog
):
    unquoted.install()
    server = await aiohttp_server(web.Application())
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(BROKEN.encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    assert KEY not in caplog.text


async def test_it_quotes_it_without_this(aiohttp_server, server_log, caplog):
    server_log.filters.clear()
    server = await aiohttp_server(web.Application())
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(BROKEN.encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    assert KEY in caplog.text


def test_other_errors_are_logged(server_log, caplog):
    unquoted.install()
    server_log.error("failed", exc_info=ValueError("x"))
    server_log.error("just a word")
    assert len(caplog.records) == 2


def test_once_is_enough(server_log):
    unquoted.install()
    n_filters = len(server_log.filters)
    unquoted.install()
    assert len(server_log.filters) == n_filters
