from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.awaiting import LOST, Awaiting
from gateway.realtime.conversation import Conversation, Entry
from gateway.realtime.items import InputAudio, Message
from gateway.realtime.mcp import Servers
from gateway.realtime.prompts import Prompts
from gateway.realtime.recordings import Shelf
from gateway.realtime.replies import Replies
from gateway.realtime.settings import Audio, AudioInput, Settings, Transcription
from tests.script import event_of, only, pcm

ASKED = Settings(audio=Audio(input=AudioInput(transcription=Transcription("m"))))


def new_id(prefix: str) -> str:
    return f"{prefix}_1"


class Room:
    """A conversation, with items in it whose words are awaited."""

    def __init__(self) -> None:
        self.conversation = Conversation("conv_1")
        servers, prompts = Servers(self.conversation, new_id), Prompts({}, "")
        self.replies = Replies(self.conversation, new_id, Shelf(1000), prompts, servers, 0.0)
        self.awaiting = Awaiting(self.conversation, self.replies, new_id)
        self.awaiting.configure(ASKED)

    def add(self, utterance: str, *, sound: bytes = b"", aside: bool = False) -> Entry:
        entry = Entry(Message(f"item_{utterance}", "user", (InputAudio(),)))
        entry.recording.pcm += sound
        if not aside:
            self.conversation.insert(entry)
        self.awaiting.add(utterance, entry)
        return entry


@pytest.fixture
def room() -> Room:
    return Room()


def words(utterance: str, text: str = "hi") -> sig.Transcribed:
    return sig.Transcribed(utterance, text, 500)


def kinds(effects: list[do.Effect]) -> list[str]:
    return [type(event_of(effect) or effect).__name__ for effect in effects]


def test_the_words_become_the_items(room):
    entry = room.add("u")
    assert entry.awaited
    assert "u" in room.awaiting
    effects = room.awaiting.transcribed(words("u"))
    assert kinds(effects) == ["TranscriptionDelta", "TranscriptionCompleted", "Record"]
    assert entry.item.content == (InputAudio("hi"),)
    assert (entry.text, entry.awaited) == ("hi", False)
    assert "u" not in room.awaiting


def test_words_come_once_under_whatever_name(room):
    room.add("item")
    room.awaiting.also("u", "item")
    assert room.awaiting.transcribed(words("u"))
    assert room.awaiting.transcribed(words("item")) == []
    assert room.awaiting.not_transcribed("item", "?") == []


def test_who_did_not_ask_for_them_is_not_told(room):
    room.awaiting.configure(Settings())
    room.add("u")
    assert kinds(room.awaiting.hypothesis(sig.Hypothesis("u", "hi", 2))) == []
    assert kinds(room.awaiting.transcribed(words("u"))) == ["Record"]
    room.add("v")
    assert room.awaiting.not_transcribed("v", "?") == []


def test_a_transcript_that_was_begun_is_ended(room):
    room.add("u")
    room.awaiting.hypothesis(sig.Hypothesis("u", "one", 3))
    room.awaiting.configure(Settings())
    assert kinds(room.awaiting.not_transcribed("u", "?")) == ["TranscriptionFailed"]


def test_nobody_waits_for_the_words_of_a_deleted_item(room):
    entry = room.add("u")
    assert room.awaiting
    room.conversation.remove(entry)
    assert not room.awaiting
    assert room.awaiting.transcribed(words("u")) == []


def test_items_of_a_response_that_will_not_come_are_forgotten(room):
    aside, kept = room.add("u", aside=True), room.add("v")
    room.awaiting.forget([aside, kept])
    assert "u" not in room.awaiting
    assert "v" in room.awaiting


def test_all_are_lost_at_once(room):
    room.add("u")
    room.add("v")
    failed = [event_of(effect) for effect in room.awaiting.all_lost("away")]
    assert [event.item_id for event in failed] == ["item_u", "item_v"]
    assert not room.awaiting


def test_a_recording_that_is_kept_is_not_lost(room):
    room.add("u", sound=pcm(20))
    assert room.awaiting.all_lost("away") == [do.Transcribe("u", pcm(20))]
    assert room.awaiting


def test_words_that_come_later_are_not_lost_under_any_of_their_names(room):
    late = room.add("u")
    room.awaiting.also("spoken", "u")
    room.add("v")
    failed = [event_of(effect) for effect in room.awaiting.all_lost("away", ["spoken", "gone"])]
    assert [event.item_id for event in failed] == ["item_v"]
    assert late.awaited
    assert room.awaiting.transcribed(words("u"))


def test_a_response_that_waits_begins_with_the_words_or_fails_without(room):
    room.add("u")
    room.replies.create({}, Settings())
    [start] = only(room.awaiting.transcribed(words("u")), do.StartReply)
    assert [line.text for line in start.context] == ["hi"]
    room.replies.cancel(None)
    room.add("v")
    room.replies.create({}, Settings())
    done = event_of(room.awaiting.not_transcribed("v", "no words")[-2])
    assert done.response["status_details"]["error"]["message"] == "no words"


# In another process.


def test_recordings_that_are_kept_are_heard_once_more(room):
    room.add("u", sound=pcm(20))
    room.add("v", sound=pcm(40))
    again = [do.Transcribe("u", pcm(20)), do.Transcribe("v", pcm(40))]
    assert room.awaiting.resumed() == again
    assert room.awaiting.resumed() == again


def test_without_its_recording_an_item_gets_no_words(room):
    room.add("u")
    room.add("v", sound=pcm(40))
    failed, again = room.awaiting.resumed()
    assert event_of(failed).item_id == "item_u"
    assert again == do.Transcribe("v", pcm(40))
    assert "u" not in room.awaiting


def test_a_recording_with_two_names_is_heard_once(room):
    room.add("item", sound=pcm(20))
    room.awaiting.also("u", "item")
    [again] = room.awaiting.resumed()
    assert again.utterance in ("u", "item")
    assert room.awaiting.transcribed(words(again.utterance))


def test_the_words_of_deleted_items_are_not_asked_for(room):
    room.conversation.remove(room.add("u", sound=pcm(20)))
    assert room.awaiting.resumed() == []


def test_the_loss_is_told_to_what_waits_for_it(room):
    room.add("u")
    room.replies.create({}, Settings())
    _, done, _ = room.awaiting.resumed()
    assert event_of(done).response["status_details"]["error"]["message"] == LOST


def test_late_words_are_waited_for_by_their_own_answer_only(room):
    room.add("u")
    assert only(room.replies.create({}, ASKED), do.StartReply) == []
    assert room.replies.words_are_late(room.awaiting.entries()) == []
    effects = room.awaiting.transcribed(words("u", "late"))
    [start] = only(effects, do.StartReply)
    assert [line.text for line in start.context] == ["late"]


def test_what_was_typed_does_not_wait_for_late_words(room):
    spoken = room.add("u")
    typed = Entry(Message("typed", "user"), text="hi")
    room.conversation.insert(typed)
    assert only(room.replies.create({}, ASKED), do.StartReply) == []
    [start] = room.replies.words_are_late(room.awaiting.entries())
    assert [line.text for line in start.context] == ["", "hi"]
    room.replies.cancel(None)
    assert only(room.replies.create({}, ASKED), do.StartReply), "nor does the next one"
    assert spoken.awaited, "they may still come"
    assert room.awaiting.transcribed(words("u", "late"))
