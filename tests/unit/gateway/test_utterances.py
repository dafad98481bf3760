import pytest

from gateway.utterances import Span, Utterances


@pytest.fixture
def utterances():
    return Utterances()


def test_streams_that_count_alike_give_different_names(utterances):
    first = utterances.begins("u1", stream=1)
    utterances.finished("u1")
    assert utterances.begins("u1", stream=2) != first


def test_an_end_is_reported_once(utterances):
    name = utterances.begins("u1", stream=1)
    assert utterances.ends("u1") == name
    assert utterances.ends("u1") is None
    assert utterances.finished("u1") == name
    assert not utterances


def test_what_is_heard_again_keeps_its_name_and_is_not_reported_again(utterances):
    spoken, speaking = (utterances.begins(f"u{n}", stream=1) for n in (1, 2))
    utterances.ends("u1")
    utterances.hear_again()
    assert utterances.begins("u1", stream=2) is None
    assert utterances.ends("u1") is None
    assert utterances.begins("u2", stream=2) is None
    assert utterances.ends("u2") == speaking
    assert utterances.finished("u1") == spoken


def test_the_client_ends_speech_under_its_own_name(utterances):
    utterances.begins("u1", stream=1)
    utterances.ended_by_client("item_1")
    assert utterances.finished("item_1") == "item_1"
    assert not utterances


def test_an_end_that_crosses_the_clients_own_means_the_same_utterance(utterances):
    utterances.begins("u1", stream=1)
    utterances.ended_by_client("item_1")
    assert utterances.ends("u1") is None
    assert utterances.finished("u1") == "item_1", "the words came under the other name"


def test_a_commit_that_is_sent_again_still_means_its_utterance(utterances):
    utterances.begins("u1", stream=1)
    utterances.ended_by_client("item_1")
    utterances.hear_again()
    assert utterances.begins("u1", stream=2) is None
    assert utterances.finished("item_1") == "item_1"


def test_abandoned_speech_is_forgotten_and_spoken_utterances_are_not(utterances):
    spoken = utterances.begins("u1", stream=1)
    utterances.ends("u1")
    utterances.begins("u2", stream=1)
    utterances.abandon()
    assert utterances.ends("u2") is None
    assert utterances.finished("u1") == spoken


def test_it_is_known_where_an_utterance_is(utterances):
    name = utterances.begins("u1", stream=1, at=100)
    assert utterances.speaking_from == 100
    assert list(utterances.spans()) == []
    utterances.ends("u1", at=300)
    assert utterances.speaking_from is None
    assert list(utterances.spans()) == [Span(name, 100, 300)]
    assert utterances.span("u1") == Span(name, 100, 300)
    utterances.finished("u1")
    assert utterances.span("u1") is None


def test_what_the_client_ends_begins_where_the_last_utterance_ended():
    utterances = Utterances(from_sample=50)
    utterances.ended_by_client("item_1", at=200)
    utterances.ended_by_client("item_2", at=400)
    utterances.forget(at=500)
    utterances.ended_by_client("item_3", at=600)
    assert list(utterances.spans()) == [
        Span("item_1", 50, 200),
        Span("item_2", 200, 400),
        Span("item_3", 500, 600),
    ]


def test_an_utterance_that_two_streams_have_heard_can_be_given_away(utterances):
    name = utterances.begins("u1", stream=1, at=100)
    utterances.ends("u1", at=200)
    assert utterances.tried(2) is None
    utterances.hear_again()
    assert utterances.tried(2) is None, "the second one has not heard it yet"
    utterances.begins("u1", stream=2, at=100)
    assert utterances.tried(2) == Span(name, 100, 200)
    utterances.given_away(name)
    assert not utterances


def test_speech_that_is_broken_off_ends_there(utterances):
    assert utterances.broken_off(at=100) is None
    name = utterances.begins("u1", stream=1, at=100)
    assert utterances.broken_off(at=250) == name
    assert list(utterances.spans()) == [Span(name, 100, 250)]
    assert utterances.ends("u1", at=300) is None


def test_what_the_client_ended_was_tried_by_the_streams_that_were_sent_all_of_it():
    utterances = Utterances()
    utterances.ended_by_client("item_1", 480)
    utterances.sent("item_1")
    utterances.hear_again()
    assert utterances.tried(2) is None
    utterances.sent("item_1")
    assert utterances.tried(2) == Span("item_1", 0, 480)
