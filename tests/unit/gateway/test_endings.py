from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from gateway import endings
from gateway.endings import ClientLeft, Closed, Drained, Ending, Expired, Goodbye, Moved, Slow
from gateway.realtime.refusals import Refusal


@pytest.mark.parametrize("code", [1000, 1001, 1005])
def test_a_client_that_says_goodbye_ends_its_session(code):
    assert ClientLeft(code).is_last
    assert ClientLeft(code).reason == "client_left"


@pytest.mark.parametrize("code", [None, 1006, 1002, 1009, 1011])
def test_a_client_that_is_gone_without_a_word_may_come_back(code):
    assert not ClientLeft(code).is_last
    assert ClientLeft(code).reason == "connection_lost"


def test_which_endings_a_session_survives():
    survived = {
        kind for kind in (Expired, Slow, Moved, Drained, Closed, Ending) if not is_last(kind)
    }
    assert survived == {Slow, Moved, Drained}


def is_last(kind):
    return kind().is_last


def test_every_ending_has_a_name_of_its_own():
    kinds = (Expired, Slow, Moved, Drained, Closed, Ending)
    assert len({kind.reason for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("why", "code", "error"),
    [
        (Expired(), 1001, "session_expired"),
        (Moved(), 1012, None),
        (Drained(), 1012, None),
        (Closed(), 1000, None),
    ],
)
def test_what_a_client_is_told(why, code, error):
    last = endings.goodbye(why, "sess_1", 3600.0)
    assert last is not None
    assert last.code == code
    assert (last.refusal.code if last.refusal else None) == error


def test_the_longest_time_is_told():
    last = endings.goodbye(Expired(), "sess_1", 1800.0)
    assert last == Goodbye(
        1001,
        "Your session hit the maximum duration of 30 minutes.",
        Refusal("session_expired", "Your session hit the maximum duration of 30 minutes."),
    )


def test_a_mistake_of_ours_is_told_with_the_session():
    last = endings.goodbye(Ending(), "sess_1", 3600.0)
    assert last is not None
    assert (last.code, last.why) == (1011, "server_error")
    assert last.refusal is not None
    assert "sess_1" in last.refusal.message


@pytest.mark.parametrize("why", [ClientLeft(1000), ClientLeft(), Slow()])
def test_nothing_is_said_to_who_does_not_listen(why):
    assert endings.goodbye(why, "sess_1", 3600.0) is None


def test_the_first_ending_of_a_group_may_be_in_a_group_of_it(caplog):
    left, slow = ClientLeft(1000), Slow()
    group = ExceptionGroup("", [ExceptionGroup("", [left]), slow])
    assert endings.found_in(group) is left
    assert not caplog.records


@pytest.mark.parametrize(("also", "why"), [([], "failed"), ([Slow()], "slow_client")])
def test_a_mistake_of_ours_is_logged(caplog, also, why):
    assert endings.found_in(ExceptionGroup("", [KeyError("item"), *also])).reason == why
    [record] = caplog.records
    assert record.message == "session failed"
    assert "KeyError" in str(record.exc_info)


def test_an_ending_holds_nothing_that_it_came_through():
    try:
        try:
            raise KeyError
        except KeyError:
            raise Slow from None
    except Slow as slow:
        group = ExceptionGroup("", [slow])
        found = endings.found_in(group)
    errors = [group, found, found.__context__]
    assert [error.__traceback__ for error in errors if error] == [None] * 3


async def say_to_a_client(aiohttp_client, last):
    """A client that was told goodbye."""

    async def serve(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await endings.say(ws, last)
        return ws

    app = web.Application()
    app.router.add_get("/", serve)
    return await (await aiohttp_client(app)).ws_connect("/")


async def test_the_error_comes_before_the_close(aiohttp_client):
    refusal = Refusal("session_expired", "It is over.")
    ws = await say_to_a_client(aiohttp_client, Goodbye(1001, "over", refusal))
    error = await ws.receive_json()
    assert (error["type"], error["error"]["code"]) == ("error", "session_expired")
    close = await ws.receive()
    assert (close.data, close.extra) == (1001, "over")


async def test_without_an_error_there_is_only_a_close(aiohttp_client):
    ws = await say_to_a_client(aiohttp_client, Goodbye(1012, "service restart"))
    close = await ws.receive()
    assert (close.data, close.extra) == (1012, "service restart")


class Stuck:
    """A WebSocket whose client reads nothing, or is gone."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def close(self, *, code: int, message: bytes) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()


async def test_who_does_not_listen_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(endings, "_GOODBYE_S", 0.01)
    for error in (None, ConnectionResetError()):
        async with asyncio.timeout(30):
            await endings.say(Stuck(error), Goodbye(1012, "service restart"))
