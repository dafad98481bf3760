"""The idle timeout (contract §5.2 F). Its clock is the audio that comes in."""

from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio
from tests.script import Event, Script, only, pcm, types

BUFFER = "input_audio_buffer"
TRIGGERED = f"{BUFFER}.timeout_triggered"


def patient(script: Script, **vad: object) -> None:
    vad = {"type": "server_vad", "idle_timeout_ms": 5000, **vad}
    heard = {"turn_detection": vad}
    script.send("session.update", session={"type": "realtime", "audio": {"input": heard}})


def silence(script: Script, ms: int) -> list[Event]:
    """In pieces of 20 ms, as clients send it."""
    return [event for _ in range(ms // 20) for event in script.hears(AppendAudio(pcm(20)))]


def answer(script: Script, ms: int = 0) -> None:
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "Hm?"))
    if ms:
        script.hears(sig.ReplyAudio(rid, pcm(ms)))
    script.hears(sig.ReplyEnded(rid, sig.Tokens()))


@pytest.fixture
def idle():
    script = Script(lead_ms=400)
    patient(script)
    answer(script)
    return script


def test_silence_after_an_answer_is_a_turn_that_is_answered(idle):
    assert silence(idle, 5000) == []
    events = silence(idle, 20)
    assert types(events) == [
        TRIGGERED,
        f"{BUFFER}.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert (events[0]["audio_start_ms"], events[0]["audio_end_ms"]) == (20, 5020)
    assert len({e.get("item_id") or e["item"]["id"] for e in events[:4]}) == 1


def test_the_model_is_asked_at_once(idle):
    silence(idle, 5000)
    effects = idle.take(AppendAudio(pcm(20)))
    [start] = only(effects, do.StartReply)
    assert start.context[-1].text == ""
    assert only(effects, do.EndUtterance) == [], "there is nothing to recognise"


def test_who_asked_for_transcripts_gets_an_empty_one(idle):
    heard = {"transcription": {"model": "whisper-1"}}
    idle.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    *_, done = silence(idle, 5020)
    assert done["type"] == "conversation.item.input_audio_transcription.completed"
    assert (done["transcript"], done["usage"]["seconds"]) == ("", 5.0)


def test_the_clock_starts_when_the_answer_has_been_heard():
    script = Script(lead_ms=400)
    patient(script)
    answer(script, 1000)  # the last 400 ms are on their way
    assert silence(script, 5400) == []
    assert silence(script, 20)[0]["audio_start_ms"] == 420


def test_it_runs_again_after_the_next_answer(idle):
    rid = silence(idle, 5020)[-1]["response"]["id"]
    assert silence(idle, 6000) == [], "nobody has answered yet"
    idle.hears(sig.ReplyEnded(rid, sig.Tokens()))
    assert types(silence(idle, 5020))[0] == TRIGGERED


def test_it_does_not_run_before_the_first_answer():
    script = Script()
    patient(script)
    assert silence(script, 8000) == []


def test_it_does_not_run_while_the_user_speaks_nor_after(idle):
    silence(idle, 1000)
    idle.take(sig.SpeechStarted("u1", 900))
    assert silence(idle, 6000) == []
    patient(idle, create_response=False)
    idle.take(sig.SpeechStopped("u1", 6500))
    assert silence(idle, 6000) == []


def test_an_answer_that_speech_cut_off_starts_no_clock():
    script = Script()
    patient(script, create_response=False)
    script.respond()
    script.take(sig.SpeechStarted("u1", 0))
    script.take(sig.SpeechStopped("u1", 900))
    assert silence(script, 6000) == []


@pytest.mark.parametrize("what", ["commit", "clear"])
def test_who_commits_or_clears_is_there(idle, what):
    silence(idle, 2000)
    idle.send(f"{BUFFER}.{what}")
    assert silence(idle, 6000) == []


def test_an_answer_outside_of_the_conversation_is_none():
    script = Script()
    patient(script)
    rid = script.respond(conversation="none")
    script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    assert silence(script, 6000) == []


def test_it_does_not_run_without_audio_whatever_the_time(idle):
    """There is no other clock: no event but an append can bring the timeout."""
    for _ in range(20):
        idle.user_says("typing")
    assert silence(idle, 5000) == []


@pytest.mark.parametrize(
    "vad",
    [None, {"type": "semantic_vad"}, {"type": "server_vad"}],
)
def test_it_is_off_unless_it_was_asked_for(idle, vad):
    session = {"type": "realtime", "audio": {"input": {"turn_detection": vad}}}
    idle.send("session.update", session=session)
    assert silence(idle, 6000) == []


def test_a_transcription_session_never_answers():
    script = Script(kind="transcription")
    vad = {"type": "server_vad", "idle_timeout_ms": 5000}
    session = {"type": "transcription", "audio": {"input": {"turn_detection": vad}}}
    [updated] = script.says("session.update", session=session)
    assert "idle_timeout_ms" not in updated["session"]["audio"]["input"]["turn_detection"]
    assert silence(script, 6000) == []
