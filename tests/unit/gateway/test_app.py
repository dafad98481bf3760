from __future__ import annotations

import asyncio

import pytest

from gateway import app
from gateway.config import Config
from gateway.models import ModelsFileError
from tests.client import RealtimeClient
from tests.clock import Clock
from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}
URL = "/v1/realtime?model=gpt-realtime"


async def test_a_session_ends_when_its_time_is_over(connect, recorder):
    clock = Clock(asyncio.get_running_loop())
    client = await connect()
    await client.until("session.created")
    clock.advance(3600)
    expired = await client.until("error")
    sentence = "Your session hit the maximum duration of 60 minutes."
    assert expired["error"] == {
        "type": "invalid_request_error",
        "code": "session_expired",
        "message": sentence,
        "param": None,
        "event_id": None,
    }
    assert await client.closed() == (1001, sentence)


async def test_stopping_hangs_up_on_every_client(http):
    client = RealtimeClient(await http.ws_connect(URL, headers=BEARER))
    await client.until("session.created")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(http.server.close(), name="stop")
        assert await client.closed() == (1012, "service restart")


def test_a_gateway_does_not_start_with_a_bad_models_file(tmp_path, keys_file):
    with pytest.raises(ModelsFileError):
        app.build(Config(keys_file=keys_file, models_file=tmp_path / "none.toml"))
