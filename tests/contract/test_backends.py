"""What every implementation of `gateway.backends` does: the fakes and the gRPC clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from gateway.backends import Backends, Passage, PlacedWord, Profile, ToolFault
from gateway.realtime import signals as sig
from gateway.realtime.effects import Begun, Line, Listening, StartReply, Voice
from gateway.realtime.items import FunctionCallOutput, InputText, Message
from gateway.realtime.settings import McpTool, ServerVad
from mesh.errors import Forbidden, Overloaded, Rejected, Unavailable
from tests.fakes.backends import SEARCH, FakeBackends
from tests.fakes.mesh import serving

SPEECH = b"\1\0" * 12_000  # half a second
SILENCE = bytes(24_000)
DETECT, BY_HAND = Listening(ServerVad()), Listening(None)


@pytest.fixture
def world() -> FakeBackends:
    """What is heard, thought and said."""
    return FakeBackends()


@asynccontextmanager
async def _over_grpc(world: FakeBackends) -> AsyncIterator[Backends]:
    async with serving(world) as (backends, _):
        yield backends


@pytest.fixture(params=["fake", "mesh"])
async def backends(request, world):
    async with nullcontext(world) if request.param == "fake" else _over_grpc(world) as backends:
        yield backends


def start(voice: bool = False, *lines: Line) -> StartReply:
    context = lines or (Line(Message("i", "user", (InputText("hi"),)), "hi"),)
    return StartReply("resp_1", "", context, voice=Voice("alloy", 1.0) if voice else None)


async def until(stream: Any, kind: type) -> list[Any]:
    """All news up to the first of that kind."""
    news = []
    async with asyncio.timeout(10):
        async for one in stream:
            news.append(one)
            if isinstance(one, kind):
                return news
    raise AssertionError(f"no {kind.__name__} in {news}")


async def idle(world: FakeBackends) -> None:
    async with asyncio.timeout(10):
        while world.open_streams:
            await asyncio.sleep(0)


async def test_detected_speech_starts_stops_and_gets_its_words(backends):
    async with backends.listen(DETECT, 0) as microphone:
        heard = aiter(microphone)
        await microphone.hear(SILENCE + SPEECH + SILENCE)
        started, stopped, words = await until(heard, sig.Transcribed)
    assert started == sig.SpeechStarted(started.utterance, 500)
    assert stopped == sig.SpeechStopped(started.utterance, pytest.approx(1020, abs=20))
    assert (words.utterance, words.text) == (started.utterance, "hello")
    assert words.audio_ms == pytest.approx(520, abs=20)


async def test_positions_go_on_where_the_session_was(backends):
    async with backends.listen(DETECT, 24_000) as microphone:
        heard = aiter(microphone)
        await microphone.hear(SPEECH)
        [started] = await until(heard, sig.SpeechStarted)
    assert started.audio_ms == 1000


async def test_utterances_have_names_of_their_own(backends):
    async with backends.listen(DETECT, 0) as microphone:
        heard = aiter(microphone)
        await microphone.hear((SPEECH + SILENCE) * 2)
        first = await until(heard, sig.Transcribed)
        second = await until(heard, sig.Transcribed)
    assert len({news.utterance for news in first}) == 1
    assert len({news.utterance for news in first + second}) == 2


async def test_an_utterance_ended_by_hand_gets_its_words_under_its_name(backends):
    async with backends.listen(BY_HAND, 0) as microphone:
        heard = aiter(microphone)
        await microphone.hear(SPEECH)
        await microphone.end_utterance("item_7")
        [words] = await until(heard, sig.Transcribed)
    assert (words.utterance, words.text) == ("item_7", "hello")


async def test_forgotten_speech_never_ends(backends):
    async with backends.listen(DETECT, 0) as microphone:
        heard = aiter(microphone)
        await microphone.hear(SPEECH)
        [forgotten] = await until(heard, sig.SpeechStarted)
        await microphone.forget()
        await microphone.hear(SILENCE + SPEECH + SILENCE)
        news = await until(heard, sig.Transcribed)
    assert forgotten.utterance not in {one.utterance for one in news}


async def test_detection_can_be_turned_off_and_on(backends):
    async with backends.listen(DETECT, 0) as microphone:
        heard = aiter(microphone)
        await microphone.listen(BY_HAND)
        await microphone.hear(SPEECH)
        await microphone.end_utterance("item_1")
        [words] = await until(heard, sig.Transcribed)
        assert words.utterance == "item_1"
        await microphone.listen(DETECT)
        await microphone.hear(SILENCE + SPEECH)
        await until(heard, sig.SpeechStarted)


async def test_a_whole_recording_is_recognised(backends):
    assert await backends.transcribe(SPEECH, BY_HAND) == "hello"


async def dictated(dictation: Any, pcm: bytes) -> list[Passage]:
    """What is heard in a recording."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(_all(dictation))
        await dictation.hear(pcm)
        await dictation.finish()
    return hearing.result()


async def _all(dictation: Any) -> list[Passage]:
    return [passage async for passage in dictation]


async def test_the_passages_of_a_recording_come_in_order_with_the_places_of_their_words(backends):
    async with backends.dictate(DETECT, words=True) as dictation:
        said = b"\1\0" * 8_000 + bytes(16_000)  # at 16 kHz half a second, and as much silence
        first, second = await dictated(dictation, bytes(32_000) + said * 2)
    assert (first.text, first.start_ms, first.end_ms) == ("hello", 1000, 1500)
    assert (second.text, second.start_ms, second.end_ms) == ("hello", 2000, 2500)
    assert first.words == (PlacedWord("hello", 1000, 1500),)
    assert first.logprobs == (("hello", pytest.approx(-0.1)),)
    assert first.speakers == (PlacedWord("hello", 1000, 1500, "A"),)
    assert first.language == "en"


async def test_a_recording_without_speech_has_no_passages(backends):
    async with backends.dictate(DETECT, words=False) as dictation:
        assert await dictated(dictation, bytes(32_000)) == []


@pytest.mark.parametrize("kind", [Unavailable, Overloaded, Rejected])
async def test_what_dictation_fails_with_is_raised(backends, world, kind):
    world.deaf = kind("no", tier="stt")
    async with backends.dictate(DETECT, words=False) as dictation:
        with pytest.raises(kind) as raised:
            await _all(dictation)
    assert raised.value.tier == "stt"


@pytest.mark.parametrize("kind", [Unavailable, Overloaded, Rejected])
async def test_what_speaking_fails_with_is_raised(backends, world, kind):
    world.mute = kind("no", tier="tts")
    async with backends.speak(start(True)) as speech:
        await speech.say("Hi ")
        with pytest.raises(kind) as raised:
            await until(speech, sig.ReplyAudio)
    assert raised.value.tier == "tts"


async def test_thoughts_come_in_order_and_end_with_what_they_cost(backends):
    async with backends.think(start()) as thoughts:
        news = await until(thoughts, sig.ReplyEnded)
    assert news == [
        sig.ReplyText("resp_1", "Hi "),
        sig.ReplyText("resp_1", "there."),
        sig.ReplyEnded("resp_1", sig.Tokens(input=10, output=2)),
    ]


async def test_a_function_call_grows_and_is_done(backends, world):
    world.call = ("get_weather", '{"city":"Paris"}')
    async with backends.think(start()) as thoughts:
        *parts, done, _ = await until(thoughts, sig.ReplyEnded)
    assert "".join(part.delta for part in parts) == done.arguments == '{"city":"Paris"}'
    assert {(part.call_id, part.name) for part in [*parts, done]} == {("call_1", "get_weather")}


async def test_the_context_reaches_the_model(backends, world):
    world.call = ("get_weather", "{}")
    output = Line(FunctionCallOutput("i", "call_1", "21"), "21")
    async with backends.think(start(False, output)) as thoughts:
        news = await until(thoughts, sig.ReplyEnded)
    assert isinstance(news[0], sig.ReplyText)
    assert world.asked[0].context[0].item == FunctionCallOutput("i", "call_1", "21")


@pytest.mark.parametrize("kind", [Unavailable, Overloaded, Rejected])
async def test_what_thinking_fails_with_is_raised(backends, world, kind):
    world.fail = kind("no", tier="llm")
    with pytest.raises(kind) as raised:
        async with backends.think(start()) as thoughts:
            await until(thoughts, sig.ReplyEnded)
    assert raised.value.tier == "llm"


async def test_text_is_spoken_with_the_time_of_its_words(backends):
    async with backends.speak(start(True)) as speech:
        await speech.say("Hi ")
        await speech.say("there.")
        await speech.finish()
        async with asyncio.timeout(10):
            sounds = [sound async for sound in speech]
    audio = b"".join(s.pcm for s in sounds if isinstance(s, sig.ReplyAudio))
    words = [word for s in sounds if isinstance(s, sig.ReplyTiming) for word in s.words]
    assert len(audio) == 2 * 12_000
    assert words == [(3, 250), (9, 500)]
    assert {sound.response_id for sound in sounds} == {"resp_1"}


async def test_speech_that_was_begun_goes_on_behind_what_the_client_has_had(backends):
    begun = replace(start(True), begun=Begun("One Hi ", 4, 250, 100, None))
    async with backends.speak(begun) as speech:
        await speech.say("Hi ")
        await speech.say("there.")
        await speech.finish()
        async with asyncio.timeout(10):
            sounds = [sound async for sound in speech]
    audio = b"".join(s.pcm for s in sounds if isinstance(s, sig.ReplyAudio))
    words = [word for s in sounds if isinstance(s, sig.ReplyTiming) for word in s.words]
    assert len(audio) == 2 * 12_000 - 100
    assert words == [(4 + 3, 250 + 250), (4 + 9, 250 + 500)]


async def test_nothing_to_say_is_silence(backends):
    async with backends.speak(start(True)) as speech:
        await speech.finish()
        assert [sound async for sound in speech] == []


async def test_a_profile_changes_who_serves_and_not_what_is_served(backends):
    backends = backends.with_profile(Profile("p", (("groq", "llama"),), "whisper", ("kokoro",)))
    assert await backends.transcribe(SPEECH, BY_HAND) == "hello"
    async with backends.think(start()) as thoughts:
        assert await until(thoughts, sig.ReplyEnded)
    async with backends.speak(start(True)) as speech:
        await speech.say("Hi ")
        await until(speech, sig.ReplyAudio)


DOCS = McpTool("docs", "https://mcp.example", authorization="s3cret", headers={"x-team": "a"})


async def test_the_tools_of_a_server_are_listed_as_they_stand_on_the_wire(backends, world):
    bare = {"name": "b", "description": "", "input_schema": {"type": "object"}, "annotations": None}
    world.served = (SEARCH, bare)
    assert await backends.list_tools(DOCS) == (SEARCH, bare)
    assert world.servers == [DOCS]


async def test_a_tool_is_called_and_what_it_returns_is_text(backends, world):
    assert await backends.call_tool(DOCS, "search", '{"q":"vad"}') == "3 hits"
    assert world.called == [("search", '{"q":"vad"}')]
    assert world.servers == [DOCS]


@pytest.mark.parametrize(
    "error",
    [
        {"type": "protocol_error", "code": -32602, "message": "bad"},
        {"type": "http_error", "code": 502, "message": "bad"},
        {"type": "tool_execution_error", "message": "bad"},
    ],
)
async def test_a_tool_that_fails_says_how(backends, world, error):
    world.result = ToolFault(error)
    assert await backends.call_tool(DOCS, "search", "{}") == ToolFault(error)


@pytest.mark.parametrize("kind", [Unavailable, Overloaded, Rejected, Forbidden])
async def test_a_server_that_cannot_be_asked_is_an_error(backends, world, kind):
    world.unlisted = world.result = kind("no", tier="llm")
    for asked in (backends.list_tools(DOCS), backends.call_tool(DOCS, "search", "{}")):
        with pytest.raises(kind) as raised:
            await asked
        assert raised.value.tier == "llm"


async def test_leaving_stops_the_work(backends, world):
    world.gate = asyncio.Event()  # never set: thinking would wait for ever
    async with (
        backends.listen(DETECT, 0) as microphone,
        backends.think(start()) as thoughts,
        backends.speak(start(True)) as speech,
    ):
        heard, sounds = aiter(microphone), aiter(speech)
        await microphone.hear(SPEECH)
        await until(heard, sig.SpeechStarted)
        await until(thoughts, sig.ReplyText)
        await speech.say("Hi ")
        await until(sounds, sig.ReplyAudio)
        assert world.open_streams == 3
    await idle(world)
