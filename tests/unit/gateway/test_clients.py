from __future__ import annotations

import asyncio
import json

import grpc
import pytest

from gateway.backends import Profile
from gateway.realtime import signals as sig
from gateway.realtime.effects import Line, Listening, StartReply, Voice
from gateway.realtime.items import FunctionCall, FunctionCallOutput, InputText, Message
from gateway.realtime.settings import Tool
from mesh import log as logs
from mesh.errors import Broken, Rejected, TooSlow
from ovos.llm.v1 import llm_pb2 as llm
from tests.fakes.backends import FakeBackends
from tests.fakes.mesh import Call, serving

SPOKEN = StartReply("resp_1", "", (), voice=Voice("marin", 1.25))
MS = 24  # samples


@pytest.fixture
async def mesh():
    async with serving(FakeBackends(), tts_patience_s=0) as (backends, tiers):
        yield backends, tiers


async def generation(mesh, start: StartReply) -> llm.GenerationConfig:
    """The config that the language tier gets for it."""
    backends, tiers = mesh
    async with backends.think(start) as thoughts:
        assert [thought async for thought in thoughts]
    return tiers.calls[-1].requests[0].config


async def thoughts_of(mesh, *payloads: dict) -> list[object]:
    """What becomes of these answers of the language tier."""
    backends, tiers = mesh

    async def script(call: Call) -> None:
        await call.read_kind("config")
        await call.read_kind("finish")
        for payload in payloads:
            await call.say(**payload)

    tiers.scripts = [script]
    async with backends.think(StartReply("resp_1", "", ())) as thoughts:
        return [thought async for thought in thoughts]


async def sounds_of(mesh, *payloads: dict) -> list[object]:
    backends, tiers = mesh

    async def script(call: Call) -> None:
        await call.read_kind("config")
        for payload in payloads:
            await call.say(**payload)

    tiers.scripts = [script]
    async with backends.speak(SPOKEN) as speech:
        return [sound async for sound in speech]


async def test_every_call_says_whose_it_is(mesh):
    _, tiers = mesh
    with logs.bound(tenant_id="acme", session_id="sess_1", correlation_id="corr_1"):
        await generation(mesh, StartReply("resp_1", "", ()))
    assert tiers.metadata[0]["x-tenant-id"] == "acme"
    assert tiers.metadata[0]["x-session-id"] == "sess_1"
    assert tiers.metadata[0]["x-correlation-id"] == "corr_1"
    session = tiers.calls[0].requests[0].config.session
    assert (session.tenant_id, session.session_id) == ("acme", "sess_1")


async def test_the_context_is_passed_on_item_by_item(mesh):
    context = (
        Line(Message("i1", "system", (InputText("x"),)), "be nice"),
        Line(Message("i2", "user"), "weather?"),
        Line(FunctionCall("i3", "f", "call_1", '{"a":1}'), '{"a":1}'),
        Line(FunctionCallOutput("i4", "call_1", "21"), "21"),
        Line(Message("i5", "assistant"), "It is"),
    )
    config = await generation(mesh, StartReply("resp_1", "Be brief.", context))
    assert (config.response_id, config.instructions) == ("resp_1", "Be brief.")
    got = [(m.item_id, m.role, m.text) for m in config.messages]
    assert got == [
        ("i1", llm.ROLE_SYSTEM, "be nice"),
        ("i2", llm.ROLE_USER, "weather?"),
        ("i3", llm.ROLE_ASSISTANT, ""),
        ("i4", llm.ROLE_TOOL, "21"),
        ("i5", llm.ROLE_ASSISTANT, "It is"),
    ]
    [call] = config.messages[2].tool_calls
    assert (call.call_id, call.name, call.arguments_json) == ("call_1", "f", '{"a":1}')
    assert config.messages[3].call_id == "call_1"


async def test_tools_and_limits_are_passed_on(mesh):
    schema = {"type": "object", "maxItems": 5}
    tools = (Tool("f", "does f", schema), Tool("g"))
    config = await generation(
        mesh, StartReply("resp_1", "", (), tools, "required", max_output_tokens=7)
    )
    assert [(t.name, t.description) for t in config.tools] == [("f", "does f"), ("g", "")]
    assert json.loads(config.tools[0].parameters_json) == schema
    assert config.tools[1].parameters_json == ""
    assert config.max_output_tokens == 7
    assert config.tool_choice.mode == llm.TOOL_CHOICE_MODE_REQUIRED


@pytest.mark.parametrize(
    ("choice", "mode", "name"),
    [
        ("auto", llm.TOOL_CHOICE_MODE_AUTO, ""),
        ("none", llm.TOOL_CHOICE_MODE_NONE, ""),
        ({"type": "function", "name": "f"}, llm.TOOL_CHOICE_MODE_FUNCTION, "f"),
    ],
)
async def test_the_choice_of_a_tool_is_passed_on(mesh, choice, mode, name):
    config = await generation(mesh, StartReply("resp_1", "", (), tool_choice=choice))
    assert (config.tool_choice.mode, config.tool_choice.name) == (mode, name)


@pytest.mark.parametrize(
    ("reason", "incomplete"),
    [
        (llm.FINISH_REASON_STOP, None),
        (llm.FINISH_REASON_LENGTH, "max_output_tokens"),
        (llm.FINISH_REASON_CONTENT_FILTER, "content_filter"),
    ],
)
async def test_how_thinking_ended_is_told(mesh, reason, incomplete):
    usage = {"input_tokens": 5, "cached_input_tokens": 2, "output_tokens": 3}
    [ended] = await thoughts_of(mesh, {"completed": {"finish_reason": reason, "usage": usage}})
    assert ended == sig.ReplyEnded("resp_1", sig.Tokens(5, 2, 3), incomplete)


async def test_thinking_that_failed_inside_is_an_error(mesh):
    with pytest.raises(Broken, match="every provider failed"):
        await thoughts_of(mesh, {"completed": {"finish_reason": llm.FINISH_REASON_FAILED}})
    with pytest.raises(Broken, match="no more"):
        await thoughts_of(mesh, {"error": {"message": "no more", "retryable": False}})


async def test_a_provider_that_is_replaced_disturbs_nobody(mesh):
    news = await thoughts_of(
        mesh,
        {"started": {}},
        {"error": {"message": "groq failed", "retryable": True}},
        {"text_delta": {"text": "Hi"}},
        {"completed": {}},
    )
    assert news == [sig.ReplyText("resp_1", "Hi"), sig.ReplyEnded("resp_1", sig.Tokens())]


async def test_an_answer_that_breaks_off_is_an_error_and_no_end(mesh):
    with pytest.raises(Broken, match="the stream ended early"):
        await thoughts_of(mesh, {"text_delta": {"text": "Hi"}})
    with pytest.raises(Broken, match="the stream ended early"):
        await sounds_of(mesh, {"ready": {}})


async def test_thinking_has_a_deadline():
    async def script(call: Call) -> None:
        await asyncio.Event().wait()

    async with serving(FakeBackends(), llm_timeout_s=0.1) as (backends, tiers):
        tiers.scripts = [script]
        async with backends.think(StartReply("resp_1", "", ())) as thoughts:
            with pytest.raises(TooSlow):
                await anext(thoughts)


async def test_the_voice_and_its_speed_are_passed_on(mesh):
    backends, tiers = mesh
    async with backends.speak(SPOKEN) as speech:
        await speech.finish()
        assert [sound async for sound in speech] == []
    config = tiers.calls[0].requests[0].config
    assert (config.voice.voice_id, config.voice.speaking_rate) == ("marin", 1.25)
    assert (config.response_id, config.audio_format.sample_rate_hz) == ("resp_1", 24_000)


async def test_a_profile_is_asked_of_each_tier(mesh):
    backends, tiers = mesh
    ours = Profile("p", (("groq", "llama"), ("offline", "")), "whisper", ("kokoro", "piper"))
    backends = backends.with_profile(ours)
    config = await generation((backends, tiers), StartReply("resp_1", "", ()))
    assert [(m.provider, m.model) for m in config.models] == [("groq", "llama"), ("offline", "")]
    async with backends.speak(SPOKEN) as speech:
        await speech.finish()
        assert [sound async for sound in speech] == []
    assert tiers.calls[-1].requests[0].config.voice.engines == ["kokoro", "piper"]
    async with backends.listen(Listening(None), 0) as microphone:
        await microphone.hear(bytes(960))
        await microphone.end_utterance("item_1")
        assert await anext(aiter(microphone))
    assert tiers.calls[-1].requests[0].config.recognition.model == "whisper"


async def test_text_is_numbered(mesh):
    backends, tiers = mesh
    async with backends.speak(SPOKEN) as speech:
        for text in ("Hi ", "there."):
            await speech.say(text)
        await speech.finish()
        assert [sound async for sound in speech]
    said = [r.text for r in tiers.calls[0].requests if r.WhichOneof("payload") == "text"]
    assert [(chunk.sequence, chunk.text) for chunk in said] == [(1, "Hi "), (2, "there.")]


async def test_words_are_timed_in_the_whole_reply(mesh):
    first = {"start_char": 0, "end_char": 2, "start_sample": 100 * MS}
    second = {"start_char": 3, "end_char": 6, "start_sample": 300 * MS}

    def audio(*words):
        return {"audio": {"chunk": {"data": bytes(2 * MS)}, "words": words}}

    news = await sounds_of(
        mesh,
        {"segment_started": {"segment": 2, "text": "to you", "start_char": 6}},
        audio(first),
        audio(second),
        {"segment_finished": {"end_sample": 500 * MS, "words": [first, second]}},
        {"finished": {}},
    )
    assert news == [
        sig.ReplyAudio("resp_1", bytes(2 * MS)),
        sig.ReplyTiming("resp_1", ((8, 300),)),
        sig.ReplyAudio("resp_1", bytes(2 * MS)),
        sig.ReplyTiming("resp_1", ((12, 500),), (12, 500)),
    ]


async def test_a_voice_without_timings_has_its_words_spread_evenly(mesh):
    second = bytes(2 * 1000 * MS)
    news = await sounds_of(
        mesh,
        {"segment_started": {"text": "one two", "start_char": 0}},
        {"audio": {"chunk": {"data": second}}},
        {"segment_finished": {"end_sample": 1000 * MS}},
        {"segment_started": {"text": " four", "start_char": 7}},
        {"audio": {"chunk": {"data": second}}},
        {"segment_finished": {"end_sample": 2000 * MS}},
        {"finished": {}},
    )
    timings = [sound.words for sound in news if isinstance(sound, sig.ReplyTiming)]
    assert timings == [((3, 571), (7, 1000)), ((12, 2000),)]


async def test_a_worse_voice_and_a_broken_one_are_told(mesh):
    degraded = {"degraded": {"failed_engine": "kokoro", "serving_engine": "espeak"}}
    assert await sounds_of(mesh, degraded, {"finished": {}}) == [
        sig.ReplyDegraded("resp_1", "kokoro", "espeak")
    ]
    with pytest.raises(Broken, match="no voice"):
        await sounds_of(mesh, {"error": {"message": "no voice", "retryable": False}})


async def test_audio_that_was_taken_makes_room_for_more(mesh):
    backends, tiers = mesh
    granted = []

    async def script(call: Call) -> None:
        config = await call.read_kind("config")
        granted.append(config.credit.allowed_until_sample)
        for _ in range(2):
            await call.say(audio={"chunk": {"data": bytes(2 * 12_000)}})
            credit = await call.read_kind("credit")
            granted.append(credit.allowed_until_sample)
        await call.say(finished={})

    tiers.scripts = [script]
    async with backends.speak(SPOKEN) as speech:
        assert len([sound async for sound in speech]) == 2
    assert granted == [96_000, 108_000, 120_000]


async def test_leaving_cancels_in_the_band(mesh):
    backends, tiers = mesh
    cancelled = asyncio.Event()

    async def script(call: Call) -> None:
        await call.read_kind("config")
        await call.read_kind("cancel")
        cancelled.set()

    tiers.scripts = [script]
    async with backends.speak(SPOKEN):
        pass
    await cancelled.wait()


async def test_a_recording_that_is_too_long_is_not_even_sent(mesh):
    backends, _ = mesh
    with pytest.raises(Rejected, match="too long"):
        await backends.transcribe(bytes((3 << 20) + 2), Listening(None))


async def test_a_failing_worker_is_told_by_its_tier(mesh):
    backends, tiers = mesh

    async def script(call: Call) -> None:
        await call.read_kind("config")
        await call.fail(grpc.StatusCode.INTERNAL, "the engine died")

    tiers.scripts = [script]
    with pytest.raises(Broken, match="tts: the engine died"):
        async with backends.speak(SPOKEN) as speech:
            await anext(aiter(speech))
