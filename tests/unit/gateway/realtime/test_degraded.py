"""A part of the mesh is missing: what the client is told, and what the model reads later."""

from __future__ import annotations

import msgspec
import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.snapshot import dump, load
from tests.moving_script import MovingScript
from tests.script import only, pcm, types

SORRY = "I cannot think."
AUDIO_DONE = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
NOTED = {"ovos_text_only": "nobody can speak now"}


@pytest.fixture
def script() -> MovingScript:
    return MovingScript()


def failed(rid: str) -> sig.ReplyFailed:
    return sig.ReplyFailed(rid, "llm_unavailable", "It cannot be reached.")


def ended(rid: str) -> sig.ReplyEnded:
    return sig.ReplyEnded(rid, sig.Tokens(10, 4, 2))


def context(script: MovingScript) -> list[str]:
    """What the model reads of the conversation next."""
    [start] = only(script.send("response.create"), do.StartReply)
    return [line.text for line in start.context]


def started(effects: list[do.Effect]) -> do.StartReply:
    [start] = only(effects, do.StartReply)
    return start


# Nobody thinks.


def test_a_notice_is_an_answer_on_the_wire_that_failed(script):
    rid = script.respond()
    begun = script.hears(sig.ReplyFailing(rid, failed(rid), SORRY))
    assert types(begun) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
    ]
    assert begun[-1]["delta"] == SORRY
    [audio] = script.hears(sig.ReplyAudio(rid, pcm(500)))
    assert audio["type"] == "response.output_audio.delta"
    events = script.hears(failed(rid))
    assert types(events) == AUDIO_DONE
    item, response = events[-2]["item"], events[-1]["response"]
    assert (item["status"], item["content"]) == (
        "incomplete",
        [{"type": "output_audio", "transcript": SORRY}],
    )
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["code"] == "llm_unavailable"
    assert response["output"] == [item]
    spent = response["usage"]["output_token_details"]
    assert spent == {"text_tokens": 0, "audio_tokens": 10}, "no model wrote it"
    assert response["usage"]["input_tokens"] == 0


def test_no_model_reads_the_notice(script):
    script.user_says("hi")
    rid = script.respond()
    script.hears(sig.ReplyFailing(rid, failed(rid), SORRY), failed(rid))
    script.user_says("again")
    assert context(script) == ["hi", "again"]


def test_no_model_reads_a_notice_that_was_kept_or_is_named(script):
    rid = script.respond()
    item_id = script.hears(sig.ReplyFailing(rid, failed(rid), SORRY), failed(rid))[0]["item"]["id"]
    script.compact()
    script.move()
    reference = {"type": "item_reference", "id": item_id}
    [start] = only(script.send("response.create", response={"input": [reference]}), do.StartReply)
    assert start.context == ()


def test_history_has_what_the_caller_heard(script):
    rid = script.respond()
    script.take(sig.ReplyFailing(rid, failed(rid), SORRY))
    records = only(script.take(failed(rid)), do.Record)
    [item] = [r.fact for r in records if isinstance(r.fact, do.ItemKept)]
    assert (item.text, item.item.status) == (SORRY, "incomplete")


def test_who_talks_over_a_notice_cancels_it(script):
    rid = script.respond()
    script.take(sig.ReplyFailing(rid, failed(rid), SORRY))
    script.take(sig.ReplyAudio(rid, pcm(500)))
    effects = script.take(sig.SpeechStarted("u1", 100))
    assert only(effects, do.StopReply) == [do.StopReply(rid)]
    done = [e for e in script.sent(effects) if e["type"] == "response.done"]
    assert done[0]["response"]["status"] == "cancelled"
    assert script.take(failed(rid)) == []


def test_a_model_that_fails_in_mid_answer_leaves_what_it_said(script):
    script.user_says("hi")
    rid = script.respond()
    script.take(sig.ReplyText(rid, "One two"))
    assert script.take(sig.ReplyFailing(rid, failed(rid))) == []
    script.take(sig.ReplyAudio(rid, pcm(500)))
    response = script.hears(failed(rid))[-1]["response"]
    assert response["status"] == "failed"
    assert response["output"][0]["content"][0]["transcript"] == "One two"
    assert response["usage"]["output_token_details"]["text_tokens"] > 0
    assert context(script) == ["hi", "One two"]


@pytest.mark.parametrize("notice", ["", SORRY])
def test_a_reply_that_fails_goes_on_failing_elsewhere(script, notice):
    rid = script.respond()
    if not notice:
        script.take(sig.ReplyText(rid, SORRY))
    script.take(sig.ReplyFailing(rid, failed(rid), notice))
    begun = started(script.move()).begun
    assert begun == do.Begun(SORRY, 0, 0, 0, failed(rid))
    assert script.hears(failed(rid))[-1]["response"]["status"] == "failed"
    assert context(script) == ([] if notice else [SORRY])


# Nobody speaks.


def test_an_answer_without_a_voice_is_whole_and_says_so(script):
    rid = script.respond(metadata={"k": "v"})
    assert script.hears(sig.ReplyMuted(rid)) == []
    script.hears(sig.ReplyText(rid, "One "), sig.ReplyText(rid, "two."))
    *events, limits = script.hears(ended(rid))
    assert (types(events), limits["type"]) == (AUDIO_DONE, "rate_limits.updated")
    response = events[-1]["response"]
    assert (response["status"], response["metadata"]) == ("completed", {"k": "v", **NOTED})
    [item] = response["output"]
    assert item["status"] == "completed"
    assert item["content"] == [{"type": "output_audio", "transcript": "One two."}]
    assert context(script) == ["One two."]


def test_every_answer_without_a_voice_says_so_and_the_next_one_does_not(script):
    def metadata(*news: sig.Reply) -> object:
        rid = script.respond()
        script.hears(sig.ReplyText(rid, "hi"), *(n(rid) for n in news))
        return script.hears(ended(rid))[-2]["response"]["metadata"]

    assert metadata(sig.ReplyMuted) == NOTED
    assert metadata(sig.ReplyMuted) == NOTED
    assert metadata() is None


def half_spoken(script: MovingScript) -> str:
    """A voice dies in the middle of an answer: its response."""
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "One two"), sig.ReplyTiming(rid, ((3, 250),), (3, 250)))
    script.hears(sig.ReplyAudio(rid, pcm(250)), sig.ReplyMuted(rid))
    script.hears(sig.ReplyText(rid, " three."))
    return rid


def test_what_was_read_was_not_unheard(script):
    half_spoken(script)
    script.send("response.cancel")
    assert context(script) == ["One two three."]


def test_what_was_read_outlives_the_cut_of_a_client(script):
    rid = half_spoken(script)
    item_id = script.hears(ended(rid))[-3]["item"]["id"]
    script.says("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
    assert context(script) == ["One two three."]


def test_what_is_only_read_is_only_read_elsewhere(script):
    rid = half_spoken(script)
    start = started(script.move())
    assert start.voice is None
    assert start.begun is not None
    assert start.begun.text == "One two three."
    [delta] = script.hears(sig.ReplyText(rid, " Four."))
    assert delta["type"] == "response.output_audio_transcript.delta"
    response = script.hears(ended(rid))[-2]["response"]
    assert (response["status"], response["metadata"]) == ("completed", NOTED)


def test_that_it_was_read_is_kept(script):
    rid = half_spoken(script)
    script.take(ended(rid))
    saved = script.session.save()
    assert saved is not None
    [entry] = load(dump(saved)).entries
    assert (entry.is_read, entry.is_notice) == (True, False)


def test_what_was_kept_before_there_were_notices_can_be_read(script):
    script.user_says("hi")
    saved = script.session.save()
    assert saved is not None
    data = msgspec.json.decode(dump(saved))
    assert not {"is_read", "is_notice"} & data["entries"][0].keys()
    assert load(dump(saved)) == saved


def test_nobody_thinks_and_nobody_speaks(script):
    rid = script.respond()
    script.hears(sig.ReplyFailing(rid, failed(rid), SORRY), sig.ReplyMuted(rid))
    response = script.hears(failed(rid))[-1]["response"]
    assert (response["status"], response["metadata"]) == ("failed", NOTED)
    assert response["output"][0]["content"][0]["transcript"] == SORRY


# Nobody listens.


def spoken_by_hand(script: MovingScript) -> None:
    """Push to talk: something was said, and its words are awaited."""
    heard = {"turn_detection": None, "transcription": {"model": "m"}}
    script.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    script.take(ce.AppendAudio(pcm(500)))
    script.send("input_audio_buffer.commit")


def test_who_types_is_answered_while_nobody_listens(script):
    script.take(sig.EarsLost("away"))
    script.user_says("hi")
    assert context(script) == ["hi"]


def test_what_was_typed_is_answered_without_the_words_that_were_lost(script):
    spoken_by_hand(script)
    script.user_says("never mind")
    assert only(script.send("response.create"), do.StartReply) == []
    effects = script.take(sig.EarsLost("away"))
    assert [line.text for line in started(effects).context][-1] == "never mind"
    assert types(script.sent(effects)) == ["error"]
    [again] = only(effects, do.Transcribe)  # the recording is still there
    effects = script.take(sig.NotTranscribed(again.utterance, "away"))
    assert types(script.sent(effects)) == ["conversation.item.input_audio_transcription.failed"]


def test_what_was_said_and_lost_is_not_answered(script):
    script.user_says("hi")
    spoken_by_hand(script)
    script.send("response.create")
    [again] = only(script.take(sig.EarsLost("away")), do.Transcribe)
    events = script.hears(sig.NotTranscribed(again.utterance, "away"))
    assert types(events) == [
        "conversation.item.input_audio_transcription.failed",
        "response.done",
    ]
    error = events[-1]["response"]["status_details"]["error"]
    assert error["code"] == "transcription_failed"


def test_a_response_with_input_of_its_own_needs_all_of_it(script):
    part = {"type": "input_audio", "audio": "AAAA"}
    words = {"type": "input_text", "text": "What is said here?"}
    wanted = [{"type": "message", "role": "user", "content": [p]} for p in (part, words)]
    effects = script.send("response.create", response={"input": wanted})
    [recording] = only(effects, do.Transcribe)
    [done] = script.hears(sig.NotTranscribed(recording.utterance, "away"))
    assert done["response"]["status"] == "failed"


def test_audio_that_nobody_hears_is_not_complained_of_frame_by_frame(script):
    script.take(sig.EarsLost("away"))
    assert script.hears(*[ce.AppendAudio(pcm(20))] * 50) == []


def test_who_is_heard_again_is_answered(script):
    script.take(sig.EarsLost("away"))
    assert started(script.utterance()).context[-1].text == "hello"
