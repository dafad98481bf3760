from __future__ import annotations

import asyncio
import io
import json

import openai
import pytest
from aiohttp import FormData
from openai import AsyncOpenAI

from gateway.rest import audio_transcriptions, decoding
from gateway.rest.encoding import encoder
from gateway.shared import GATEWAY
from mesh.errors import Broken, Overloaded, Rejected, Unavailable
from tests.unit.gateway.keys import KEY

URL = "/v1/audio/transcriptions"
BEARER = {"Authorization": f"Bearer {KEY}"}
SECOND = 48_000  # bytes at 24 kHz
TWICE = (bytes(SECOND) + b"\x00\x10" * (SECOND // 2)) * 2 + bytes(SECOND)
"""Five seconds; something is said in the second and in the fourth."""


def wav(pcm: bytes = TWICE) -> bytes:
    it = encoder("wav")
    return it.feed(pcm) + it.finish()


def form(file: bytes | None = None, **fields: str) -> FormData:
    form = FormData()
    for name, value in ({"model": "whisper-1"} | fields).items():
        if value:
            form.add_field(name.replace("__", "[]"), value)
    form.add_field("file", io.BytesIO(wav() if file is None else file), filename="a.wav")
    return form


@pytest.fixture
async def stock(http):
    """The stock client."""
    url = str(http.make_url("/v1"))
    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client.audio.transcriptions


@pytest.fixture
def post(http):
    async def post(data=None, headers=BEARER, **fields):
        return await http.post(URL, data=data or form(**fields), headers=headers)

    return post


@pytest.fixture(autouse=True)
def two_words(backends):
    backends.words = "hello there"


FILE = ("a.wav", wav())


async def test_the_stock_client_gets_the_words(stock):
    found = await stock.create(model="gpt-4o-transcribe", file=FILE)
    assert found.text == "hello there hello there"
    assert (found.usage.type, found.usage.seconds) == ("duration", 5)
    assert found.logprobs is None


async def test_the_stock_client_gets_the_words_as_they_come(stock):
    stream = await stock.create(model="gpt-4o-transcribe", file=FILE, stream=True)
    *deltas, done = [event async for event in stream]
    assert [event.type for event in deltas] == ["transcript.text.delta"] * 2
    assert "".join(event.delta for event in deltas) == done.text == "hello there hello there"
    assert done.type == "transcript.text.done"
    usage = done.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens == 50 + 6


async def test_the_stock_client_gets_how_sure_they_are(stock):
    found = await stock.create(model="gpt-4o-transcribe", file=FILE, include=["logprobs"])
    assert "".join(entry.token for entry in found.logprobs[:2]) == "hello there"
    assert bytes(map(int, found.logprobs[0].bytes)) == b"hello"
    stream = await stock.create(
        model="gpt-4o-transcribe", file=FILE, include=["logprobs"], stream=True
    )
    *deltas, done = [event async for event in stream]
    assert [len(event.logprobs) for event in [*deltas, done]] == [2, 2, 4]


async def test_the_stock_client_gets_words_and_segments_with_their_times(stock):
    found = await stock.create(
        model="whisper-1",
        file=FILE,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert (found.duration, found.language) == (5.0, "en")
    assert [word.word for word in found.words] == ["hello", "there"] * 2
    assert [(s.id, s.start, s.end) for s in found.segments] == [
        (0, pytest.approx(1, abs=0.05), pytest.approx(2, abs=0.05)),
        (1, pytest.approx(3, abs=0.05), pytest.approx(4, abs=0.05)),
    ]


async def test_the_stock_client_gets_who_said_what(stock, backends):
    asked = {"model": "gpt-4o-transcribe-diarize", "file": FILE, "response_format": "diarized_json"}
    found = await stock.create(**asked, chunking_strategy="auto")
    assert [(s.speaker, s.text) for s in found.segments] == [("A", "hello there")] * 2
    stream = await stock.create(**asked, stream=True)
    events = [event async for event in stream]
    segments = [event for event in events if event.type == "transcript.text.segment"]
    assert [segment.id for segment in segments] == ["seg_000", "seg_001"]
    assert all(how.speakers for how, _ in backends.dictated)


async def test_the_stock_clients_settings_reach_the_recogniser(stock, backends):
    await stock.create(
        model="gpt-realtime",
        file=FILE,
        language="de",
        prompt="Grüße",
        temperature=0.2,
        keywords=["OVOS"],
        chunking_strategy={"type": "server_vad", "threshold": 0.25, "silence_duration_ms": 300},
    )
    [(how, words)] = backends.dictated
    assert (how.language, how.prompt, how.keywords, words) == ("de", "Grüße", ("OVOS",), False)
    vad = how.turn_detection
    assert (vad.threshold, vad.silence_duration_ms) == (0.25, 300)
    assert backends.profiles[0].name == "gpt-realtime*"


async def test_texts_are_plain(stock):
    asked = {"model": "whisper-1", "file": FILE}
    assert await stock.create(**asked, response_format="text") == "hello there hello there\n"
    srt = await stock.create(**asked, response_format="srt")
    vtt = await stock.create(**asked, response_format="vtt")
    assert srt.startswith("1\n00:00:0")
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert srt.count("\nhello there\n") == vtt.count("\nhello there\n") == 2


@pytest.mark.parametrize("kind", ["mp3", "opus", "flac", "aac"])
async def test_other_containers_are_read(post, kind):
    it = encoder(kind)
    answer = await post(form(it.feed(TWICE) + it.finish()))
    assert (await answer.json())["text"].startswith("hello there")


async def test_silence_has_no_words(post):
    answer = await post(form(wav(bytes(SECOND))))
    assert await answer.json() == {"text": "", "usage": {"type": "duration", "seconds": 1}}
    answer = await post(form(wav(bytes(SECOND)), stream="true"))
    done = json.loads((await answer.text())[6:])
    assert (done["type"], done["text"]) == ("transcript.text.done", "")


async def test_a_long_recording_is_heard_to_its_end(post):
    answer = await post(form(wav(TWICE * 12)))
    body = await answer.json()
    assert body["text"].count("hello") == 24
    assert body["usage"]["seconds"] == 60


@pytest.mark.parametrize("file", [b"not audio at all" * 99, b"", bytes(9999)])
async def test_what_is_no_recording_is_refused(stock, file):
    with pytest.raises(openai.BadRequestError) as raised:
        await stock.create(model="whisper-1", file=("a.mp3", file))
    assert (raised.value.code, raised.value.param) == ("invalid_value", "file")
    assert "Supported formats: ['flac', 'm4a'" in raised.value.message


async def test_too_short_and_too_long_are_refused(post, monkeypatch):
    answer = await post(form(wav(bytes(4000))))
    assert (answer.status, (await answer.json())["error"]["code"]) == (400, "audio_too_short")
    monkeypatch.setattr(decoding, "MAX_S", 7)
    answer = await post(form(wav(TWICE * 2)))
    assert (answer.status, (await answer.json())["error"]["code"]) == (400, "audio_too_long")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": ""}, "missing_required_parameter", "model"),
        ({"response_format": "xml"}, "invalid_value", "response_format"),
        ({"temperature": "warm"}, "invalid_type", "temperature"),
        ({"temperature": "2"}, "decimal_above_max_value", "temperature"),
        ({"stream": "maybe"}, "invalid_value", "stream"),
        ({"timestamp_granularities__": "page"}, "invalid_value", "timestamp_granularities[0]"),
        ({"include__": "everything"}, "invalid_value", "include[0]"),
        ({"language": "the one of Goethe"}, "string_above_max_length", "language"),
        ({"chunking_strategy": "never"}, "invalid_value", "chunking_strategy"),
        ({"prompt": "a" * 5000}, "string_above_max_length", "prompt"),
    ],
)
async def test_what_is_wrong_is_said(post, backends, fields, code, param):
    answer = await post(**fields)
    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error["param"]) == (400, code, param)
    assert not backends.dictated


async def test_a_file_is_needed(http):
    data = FormData(default_to_multipart=True)
    data.add_field("model", "whisper-1")
    answer = await http.post(URL, data=data, headers=BEARER)
    assert (await answer.json())["error"]["param"] == "file"


async def test_what_is_no_form_is_refused(http):
    assert (await http.post(URL, json={}, headers=BEARER)).status == 415


async def test_nobody_without_a_key_is_listened_to(post, backends):
    answer = await post(headers={})
    assert answer.status == 401
    assert not backends.dictated


@pytest.mark.parametrize(
    ("error", "status"), [(Unavailable, 503), (Overloaded, 503), (Broken, 500), (Rejected, 400)]
)
@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_failure_before_the_first_words_is_a_status(post, backends, error, status, stream):
    backends.deaf = error("10.0.0.7: no", tier="stt")
    answer = await post(stream=stream)
    assert answer.status == status
    assert backends.open_streams == 0


async def test_only_so_many_are_taken_at_a_time(post, monkeypatch):
    monkeypatch.setattr(audio_transcriptions, "_MOST_AT_ONCE", 0)
    answer = await post()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_one_tenant_does_not_get_all_places(post, monkeypatch):
    monkeypatch.setattr(audio_transcriptions, "_MOST_OF_ONE", 0)
    answer = await post()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"


async def test_a_place_is_free_again(post, monkeypatch):
    monkeypatch.setattr(audio_transcriptions, "_MOST_OF_ONE", 1)
    assert [(await post()).status for _ in range(3)] == [200, 200, 200]
    assert (await post(response_format="exe")).status == 400
    assert (await post()).status == 200


async def test_a_file_may_not_be_too_large(http):
    data = FormData()
    data.add_field("file", io.BytesIO(bytes(26 << 20)), filename="a.wav")
    answer = await http.post(URL, data=data, headers=BEARER)
    assert (answer.status, (await answer.json())["error"]["code"]) == (413, "request_too_large")


async def test_who_hangs_up_stops_the_recognition(http, backends):
    backends.attention = asyncio.Event()  # never set: listening would wait for ever
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(http.post(URL, data=form(), headers=BEARER))
        async with asyncio.timeout(10):
            while not backends.open_streams:
                await asyncio.sleep(0)
        asking.cancel()
    async with asyncio.timeout(10):
        while backends.open_streams:
            await asyncio.sleep(0)
    allowance = http.server.app[GATEWAY].allowance
    [_, tokens] = await allowance.spend_tokens("acme", 0)
    assert tokens.remaining == tokens.limit - 50  # what was heard of it was heard
