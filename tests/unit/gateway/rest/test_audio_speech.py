from __future__ import annotations

import asyncio
import base64
import io
import json

import aiohttp
import av
import openai
import pytest
from openai import AsyncOpenAI

from gateway.backends import Profile
from gateway.realtime.effects import Voice
from gateway.rest.encoding import CONTENT_TYPES
from gateway.shared import GATEWAY
from mesh.errors import Broken, Overloaded, Rejected, Unavailable
from tests.fakes.backends import SAMPLES_A_WORD
from tests.unit.gateway.keys import KEY

URL = "/v1/audio/speech"
BEARER = {"Authorization": f"Bearer {KEY}"}
ASK = {"model": "tts-1", "input": "Hello there.", "voice": "alloy"}
WORD = b"\x10\x00" * SAMPLES_A_WORD  # what the fake says
SPOKEN = WORD * 2


@pytest.fixture
async def stock(http):
    """The stock client."""
    url = str(http.make_url("/v1"))
    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def post(http):
    async def post(headers=BEARER, **changes):
        return await http.post(URL, json={**ASK, **changes}, headers=headers)

    return post


async def idle(backends):
    async with asyncio.timeout(10):
        while backends.open_streams:
            await asyncio.sleep(0)


async def test_the_stock_client_streams_speech_into_a_file(stock, backends, tmp_path):
    file = tmp_path / "speech.mp3"
    async with stock.audio.speech.with_streaming_response.create(**ASK) as response:
        await response.stream_to_file(file)
    with av.open(str(file)) as found:
        assert found.format.name == "mp3"
        assert sum(f.samples for f in found.decode(audio=0)) >= 2 * SAMPLES_A_WORD
    [start] = backends.spoken
    assert start.voice == Voice("alloy", 1.0)


@pytest.mark.parametrize("form", list(CONTENT_TYPES))
async def test_speech_comes_in_every_format(stock, form):
    response = await stock.audio.speech.create(**ASK, response_format=form, speed=2.0)
    assert response.response.headers["content-type"] == CONTENT_TYPES[form]
    if form == "pcm":
        assert response.content == SPOKEN
    else:
        with av.open(io.BytesIO(response.content)) as file:
            assert next(file.decode(audio=0)).samples


async def test_what_is_asked_for_reaches_the_voice(post, backends):
    asked = {"voice": {"id": "voice_1"}, "speed": 0.25, "instructions": "Whisper.", "unheard_of": 1}
    answer = await post(**asked)
    assert answer.status == 200
    assert backends.spoken[0].voice == Voice("voice_1", 0.25)
    assert answer.headers["Transfer-Encoding"] == "chunked"


async def test_null_is_as_not_said(post):
    answer = await post(speed=None, response_format=None, stream_format=None, instructions=None)
    assert (answer.status, answer.content_type) == (200, "audio/mpeg")


async def test_events_carry_the_audio_and_end_with_what_it_cost(post):
    answer = await post(response_format="pcm", stream_format="sse")
    assert answer.content_type == "text/event-stream"
    events = [json.loads(line[6:]) for line in (await answer.text()).split("\n\n") if line]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == SPOKEN
    usage = {"input_tokens": 3, "output_tokens": 10, "total_tokens": 13}
    assert done == {"type": "speech.audio.done", "usage": usage}


async def test_a_model_with_a_profile_is_spoken_by_its_engines(post, backends):
    await post(model="gpt-realtime")
    await post(model="any-name")
    assert [profile.name for profile in backends.profiles] == ["gpt-realtime*", Profile().name]


async def test_audio_is_sent_before_all_of_it_is_spoken(http, backends):
    backends.breath = asyncio.Semaphore(1)
    async with asyncio.timeout(10):
        answer = await http.post(URL, json={**ASK, "response_format": "pcm"}, headers=BEARER)
        assert await answer.content.readexactly(len(WORD)) == WORD
        backends.breath.release()
        assert await answer.content.read() == WORD


async def test_who_hangs_up_stops_the_speech(http, backends):
    backends.breath = asyncio.Semaphore(1)  # speaking would wait for ever
    answer = await http.post(URL, json=ASK, headers=BEARER)
    assert backends.open_streams == 1
    answer.close()
    await idle(backends)
    [_, tokens] = await http.server.app[GATEWAY].allowance.spend_tokens("acme", 0)
    assert tokens.remaining == tokens.limit - 8  # 3 for the text, 5 for a word of 250 ms


async def test_who_hangs_up_before_the_first_audio_stops_the_speech(http, backends):
    backends.breath = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(http.post(URL, json=ASK, headers=BEARER))
        async with asyncio.timeout(10):
            while not backends.open_streams:
                await asyncio.sleep(0)
        asking.cancel()
    await idle(backends)


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"input": "a" * 4097}, "string_above_max_length", "input"),
        ({"input": "  "}, "string_below_min_length", "input"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": 5}, "invalid_type", "input"),
        ({"model": None}, "missing_required_parameter", "model"),
        ({"voice": None}, "missing_required_parameter", "voice"),
        ({"voice": 5}, "invalid_type", "voice"),
        ({"voice": {}}, "missing_required_parameter", "voice.id"),
        ({"response_format": "midi"}, "invalid_value", "response_format"),
        ({"stream_format": "ws"}, "invalid_value", "stream_format"),
        ({"speed": "fast"}, "invalid_type", "speed"),
        ({"speed": 4.5}, "decimal_above_max_value", "speed"),
        ({"speed": 0.2}, "decimal_below_min_value", "speed"),
    ],
)
async def test_what_is_wrong_is_said(post, backends, changes, code, param):
    answer = await post(**changes)
    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error["param"]) == (400, code, param)
    assert error["type"] == "invalid_request_error"
    assert not backends.spoken


@pytest.mark.parametrize("body", [[], "text", 5])
async def test_a_body_is_an_object(http, body):
    answer = await http.post(URL, json=body, headers=BEARER)
    assert answer.status == 400
    assert (await answer.json())["error"]["code"] == "invalid_type"


async def test_a_body_is_json_and_not_too_large(http):
    assert (await http.post(URL, data=b"{", headers=BEARER)).status == 400
    assert (await http.post(URL, data=io.BytesIO(b" " * (2 << 20)), headers=BEARER)).status == 413


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-abcdefghijklmnopqrs"}])
async def test_nobody_without_a_key_is_spoken_to(post, backends, headers):
    answer = await post(headers=headers)
    assert answer.status == 401
    assert not backends.spoken


@pytest.mark.parametrize(
    ("error", "status"), [(Unavailable, 503), (Overloaded, 503), (Broken, 500), (Rejected, 400)]
)
async def test_a_failure_before_the_first_audio_is_a_status(post, backends, error, status):
    backends.mute = error("10.0.0.7: no", tier="tts")
    answer = await post()
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert backends.open_streams == 0


async def test_the_stock_client_is_told_of_an_outage(stock, backends):
    backends.mute = Unavailable("10.0.0.7: no route", tier="tts")
    with pytest.raises(openai.InternalServerError) as raised:
        await stock.audio.speech.create(**ASK)
    assert raised.value.status_code == 503
    assert "10.0.0.7" not in raised.value.message


async def test_a_failure_in_the_middle_is_no_end(http, backends):
    backends.mute, backends.mute_after = Broken("gone", tier="tts"), 1
    answer = await http.post(URL, json={**ASK, "response_format": "pcm"}, headers=BEARER)
    assert await answer.content.readexactly(len(WORD)) == WORD
    with pytest.raises(aiohttp.ClientPayloadError):  # cut off, and not complete
        await answer.content.read()


async def test_a_failure_in_the_middle_is_an_event_where_there_are_events(post, backends):
    backends.mute, backends.mute_after = Broken("gone", tier="tts"), 1
    answer = await post(stream_format="sse", response_format="pcm")
    last = (await answer.text()).strip().split("\n\n")[-1]
    assert json.loads(last[6:])["error"]["code"] == "server_error"
