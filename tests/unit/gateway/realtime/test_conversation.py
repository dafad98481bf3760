from __future__ import annotations

import pytest

from gateway.realtime.conversation import Conversation, Entry, lines_of, words_of
from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Message,
    OutputAudio,
)
from gateway.realtime.refusals import Refused


def entry(item_id: str, **fields: object) -> Entry:
    return Entry(Message(item_id, "user", (InputText(item_id),)), **fields)


@pytest.fixture
def conversation():
    conversation = Conversation("conv_1")
    for item_id in "abc":
        conversation.insert(entry(item_id))
    return conversation


def order(conversation: Conversation) -> list[str]:
    return [line.item.id for line in lines_of(conversation.entries())]


def test_items_are_appended_first_or_after_another(conversation):
    assert conversation.insert(entry("d"), conversation.place(None)) == "c"
    assert conversation.insert(entry("e"), conversation.place("")) == "d"
    assert conversation.insert(entry("x"), conversation.place("root")) is None
    assert conversation.insert(entry("y"), conversation.place("a")) == "a"
    assert order(conversation) == ["x", "a", "y", "b", "c", "d", "e"]


def test_an_unknown_place_is_refused(conversation):
    with pytest.raises(Refused, match="previous item with id 'z' does not exist"):
        conversation.place("z")


def test_ordinals_keep_the_order_without_renumbering(conversation):
    for n in range(15):
        conversation.insert(entry(f"n{n}"), conversation.place("a"))
    ordinals = [conversation.find(item_id).ordinal for item_id in order(conversation)]
    assert ordinals == sorted(set(ordinals))


def test_an_id_used_twice_names_the_newer_item(conversation):
    twin = entry("a")
    assert conversation.insert(twin) == "c"
    assert conversation.find("a") is twin
    conversation.remove(twin)
    assert conversation.find("a") is not None


def test_the_item_before_skips_what_was_deleted(conversation):
    conversation.remove(conversation.find("b"))
    assert conversation.previous_id(conversation.find("c")) == "a"
    assert conversation.previous_id(entry("gone")) is None


def test_only_finished_items_are_context(conversation):
    conversation.insert(Entry(Message("d", "assistant", (), "in_progress")))
    assert order(conversation) == ["a", "b", "c"]


def test_nobody_awaits_the_words_of_what_was_deleted(conversation):
    awaited = entry("d", awaited=True)
    conversation.insert(awaited)
    assert conversation.holds(awaited)
    conversation.remove(awaited)
    assert not conversation.holds(awaited)
    assert not awaited.awaited


def test_calls_are_known_by_their_call_id(conversation):
    conversation.insert(Entry(FunctionCall("f", "name", "call_1")))
    assert conversation.has_call("call_1")
    assert not conversation.has_call("call_2")


def test_a_word_that_was_cut_off_was_not_heard():
    spoken = Entry(Message("a", "assistant"), spoken="one two three")
    spoken.words = [(3, 250), (7, 500), (13, 750)]
    assert spoken.heard(0) == ""
    assert spoken.heard(150) == ""
    assert spoken.heard(250) == "one"
    assert spoken.heard(400) == "one"
    assert spoken.heard(490) == "one two"  # but for its last sound
    assert spoken.heard(9_000) == "one two three"


def test_a_sentence_without_timing_yet_is_taken_to_come_at_an_ordinary_pace():
    spoken = Entry(Message("a", "assistant"), spoken="one two three four five six seven")
    assert spoken.heard(0) == ""
    assert spoken.heard(1000) == "one two three"
    assert spoken.heard(60_000) == spoken.spoken
    spoken.words = [(3, 400), (7, 800)]
    assert spoken.heard(500) == "one"
    assert spoken.heard(900) == "one two"
    assert spoken.heard(2000) == "one two three four five"


def test_audio_is_counted_in_whole_milliseconds():
    assert Entry(Message("a", "assistant"), audio_bytes=48 * 20 + 47).audio_ms == 20


def test_each_fact_is_a_newer_version():
    kept = entry("a", text="hello", response_id="resp_1")
    first, second = kept.fact(), kept.fact()
    assert (first.version, second.version) == (1, 2)
    assert (first.text, first.response_id) == ("hello", "resp_1")


def test_the_words_of_an_item_are_all_its_words():
    both = Message("a", "user", (InputText("look:"), InputAudio("a dog"), InputAudio(None)))
    assert words_of(both) == "look:\na dog"
    assert words_of(Message("a", "assistant", (OutputAudio("hi"),))) == "hi"
    assert words_of(FunctionCall("a", "f", "c", "{}")) == "{}"
    assert words_of(FunctionCallOutput("a", "c", "42")) == "42"


def test_ordinals_stay_in_order_however_often_something_is_put_first():
    conversation = Conversation("conv_1")
    for n in range(60):
        entry = Entry(Message(f"i{n}", "user"))
        conversation.insert(entry, 0)
        entry.fact()
    kept = {}
    for entry in conversation.moved():
        kept[entry.item.id] = entry.ordinal
    assert kept, "the room was used up"
    ordinals = [conversation.find(f"i{n}").ordinal for n in reversed(range(60))]
    assert ordinals == sorted(set(ordinals))
    assert conversation.moved() == []
