"""A reply that another process began goes on where it was: contract of `resumption.py`."""

from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import Audio, AudioOutput, Pcma, Pcmu, Settings
from tests.moving_script import MovingScript, audio_of
from tests.script import only, pcm, types

TEXT = "One two three. Four five six."
FIRST = len("One two three.")
WORDS = ((3, 300), (7, 600), (FIRST, 900))
ENDED_TOKENS = sig.Tokens(9, 0, 8)


@pytest.fixture
def script() -> MovingScript:
    return MovingScript()


def speaking(script: MovingScript, ms: int = 1500) -> str:
    """A reply in mid-sentence: a piece of 900 ms is told, and so much was sent."""
    script.user_says("count")
    rid = script.respond()
    script.take(sig.ReplyText(rid, TEXT))
    script.take(sig.ReplyTiming(rid, WORDS, (FIRST, 900)))
    script.take(sig.ReplyTiming(rid, ((FIRST + 5, 1300), (FIRST + 10, 1700))))
    for _ in range(ms // 20):
        script.take(sig.ReplyAudio(rid, pcm(20)))
    return rid


def started(effects: list[do.Effect]) -> do.StartReply:
    [start] = only(effects, do.StartReply)
    assert isinstance(start, do.StartReply)
    return start


def begun(effects: list[do.Effect]) -> do.Begun:
    made = started(effects).begun
    assert made is not None
    return made


@pytest.mark.parametrize("loses", [False, True])
def test_speech_goes_on_in_mid_sentence(script, loses):
    """Whether the last audio was kept, or only that there was some."""
    rid = speaking(script)
    effects = script.move(loses=loses)
    assert script.sent(effects) == []
    assert begun(effects) == do.Begun(TEXT, FIRST, 900, 600 * 48, None)
    assert started(effects).response_id == rid
    assert [line.text for line in started(effects).context] == ["count"]


def test_what_was_sent_whole_is_where_it_goes_on(script):
    speaking(script, 900)
    assert begun(script.move()) == do.Begun(TEXT, FIRST, 900, 0, None)


def test_without_a_whole_piece_all_is_spoken_again_and_left_out(script):
    speaking(script, 860)
    assert begun(script.move()) == do.Begun(TEXT, 0, 0, 860 * 48, None)


def test_the_rest_of_a_reply_is_one_reply(script):
    rid = speaking(script)
    script.move()
    script.hears(sig.ReplyText(rid, " Seven."))
    script.hears(sig.ReplyAudio(rid, pcm(500)))
    events = script.hears(sig.ReplyEnded(rid, ENDED_TOKENS))
    [done] = [event for event in events if event["type"] == "response.done"]
    assert done["response"]["status"] == "completed"
    [item] = done["response"]["output"]
    assert item["content"] == [{"type": "output_audio", "transcript": f"{TEXT} Seven."}]
    audio_ms = 2000
    tokens = done["response"]["usage"]["output_token_details"]["audio_tokens"]
    assert tokens == pytest.approx(audio_ms / 50, abs=1)


def test_the_time_of_words_behind_the_seam_comes_again(script):
    """And with it, what the user heard of a reply that was cut off after it moved."""
    rid = speaking(script)
    script.move()
    script.take(sig.ReplyTiming(rid, ((FIRST + 5, 2000), (FIRST + 9, 2200))))
    for _ in range(50):
        script.take(sig.ReplyAudio(rid, pcm(20)))  # 2500 ms; the last 400 are ahead of the ears
    script.send("response.cancel")
    [line] = [line for line in next_context(script) if line.item.role == "assistant"]
    assert line.text == TEXT[: FIRST + 5]


def next_context(script: MovingScript) -> tuple[do.Line, ...]:
    return started(script.send("response.create")).context


def test_a_user_who_speaks_over_it_leaves_what_was_heard(script):
    rid = speaking(script)
    script.move()
    effects = script.take(sig.SpeechStarted("u1", 0))
    assert "response.done" in types(script.sent(effects))
    assert only(effects, do.StopReply) == [do.StopReply(rid)]
    script.take(sig.SpeechStopped("u1", 400))
    effects = script.take(sig.Transcribed("u1", "stop", 400))
    heard = [line.text for line in started(effects).context]
    assert heard == ["count", "One two three.", "stop"]  # 1100 ms; the next word ends at 1300


def test_the_client_can_truncate_it_where_it_was_heard(script):
    rid = speaking(script)
    script.move()
    item_id = script.hears(sig.ReplyText(rid, " Seven."))[0]["item_id"]
    script.send("response.cancel")
    [truncated] = script.says(
        "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=650
    )
    assert truncated["audio_end_ms"] == 650
    assert [line.text for line in next_context(script)] == ["count", "One two"]


def test_a_model_that_had_ended_is_not_asked_again(script):
    rid = speaking(script)
    ended = sig.ReplyEnded(rid, ENDED_TOKENS, "max_output_tokens")
    script.take(sig.ReplyThought(rid, ended))
    assert begun(script.move()).ended == ended
    done = script.hears(ended)[-2]
    assert done["response"]["status"] == "incomplete"


def test_a_written_reply_goes_on_behind_its_text():
    script = MovingScript(Settings(output_modalities=("text",)))
    rid = script.respond()
    script.take(sig.ReplyText(rid, "One"))
    effects = script.move()
    assert begun(effects) == do.Begun("One", 0, 0, 0, None)
    assert started(effects).voice is None
    [delta] = script.hears(sig.ReplyText(rid, " two"))
    assert (delta["type"], delta["delta"]) == ("response.output_text.delta", " two")


@pytest.mark.parametrize("law", [Pcmu(), Pcma()])
def test_telephone_audio_goes_on_at_its_byte(law):
    script = MovingScript(Settings(audio=Audio(output=AudioOutput(format=law))))
    rid = speaking(script)
    assert begun(script.move()) == do.Begun(TEXT, FIRST, 900, 600 * 48, None)
    assert len(audio_of(script.take(sig.ReplyAudio(rid, pcm(20))))) == 160


def test_a_reply_that_waits_for_its_words_begins_when_they_come(script):
    script.utterance(words=None)
    effects = script.move()
    assert only(effects, do.StartReply) == []


def test_a_reply_that_has_said_nothing_begins_at_its_beginning(script):
    rid = script.respond()
    effects = script.move()
    assert begun(effects) == do.Begun("", 0, 0, 0, None)
    added = types(script.hears(sig.ReplyText(rid, "Hi")))
    assert added[0] == "response.output_item.added"


def test_a_reply_that_fails_elsewhere_has_failed(script):
    rid = speaking(script)
    script.move()
    done = script.hears(sig.ReplyFailed(rid, "llm_unavailable", "no"))[-1]
    assert done["response"]["status"] == "failed"


def test_replies_outside_the_conversation_go_on_as_well(script):
    first = script.respond(conversation="none", output_modalities=["text"])
    second = script.respond(conversation="none", output_modalities=["text"])
    script.take(sig.ReplyText(second, "two"))
    effects = script.move()
    starts = {s.response_id: s.begun.text for s in only(effects, do.StartReply)}
    assert starts == {first: "", second: "two"}


def test_a_second_move_is_like_the_first(script):
    rid = speaking(script)
    script.move()
    script.take(sig.ReplyTiming(rid, ((FIRST + 10, 1600), (len(TEXT), 2000)), (len(TEXT), 2000)))
    for _ in range(30):
        script.take(sig.ReplyAudio(rid, pcm(20)))
    assert begun(script.move()) == do.Begun(TEXT, len(TEXT), 2000, 100 * 48, None)


# A client that says what it had.


def test_who_names_an_event_gets_what_followed_it(script):
    speaking(script, 0)
    text_id = script.event_ids[-1]
    rid = script.session._replies.active.id
    script.take(sig.ReplyText(rid, " Seven."))
    script.move(last=text_id)
    assert [event.delta for event in script.unsent] == [" Seven."]


def test_audio_that_the_client_had_and_nobody_kept_is_left_out(script):
    speaking(script)
    effects = script.move(loses=True, last=script.event_ids[-1])
    assert begun(effects).sent_bytes == 600 * 48


def audio_ids(script: MovingScript, since: int) -> list[str]:
    return [event_id for event_id in script.event_ids[since:] if "x" in event_id[6:]]


def test_audio_that_did_not_reach_the_client_comes_again(script):
    """Nor did what was said since; both come once."""
    rid = speaking(script, 0)
    since = len(script.event_ids)
    for _ in range(60):
        script.take(sig.ReplyAudio(rid, pcm(20)))
    script.take(sig.ReplyText(rid, " Seven."))
    script.take(sig.ReplyAudio(rid, pcm(20)))
    last = audio_ids(script, since)[49]  # 1000 ms
    assert begun(script.move(last=last)) == do.Begun(f"{TEXT} Seven.", FIRST, 900, 100 * 48, None)
    assert [event.delta for event in script.unsent] == [" Seven."]
    assert script.journal.played == {rid: 1000 * 48}


def test_who_had_no_audio_yet_gets_all_of_it(script):
    rid = speaking(script, 0)
    last = script.event_ids[-1]
    for _ in range(60):
        script.take(sig.ReplyAudio(rid, pcm(20)))
    assert begun(script.move(last=last)) == do.Begun(TEXT, 0, 0, 0, None)


def test_what_was_had_of_another_reply_does_not_count(script):
    rid = speaking(script)
    last = script.event_ids[-1]
    script.take(sig.ReplyEnded(rid, ENDED_TOKENS))
    second = speaking(script, 1000)
    effects = script.move(last=last)
    assert started(effects).response_id == second
    assert begun(effects) == do.Begun(TEXT, 0, 0, 0, None)
    assert "response.done" in [event.__struct_config__.tag for event in script.unsent]
