import pytest

from mesh.errors import Rejected
from tts_service.engine import Word
from tts_service.speech import (
    AHEAD_S,
    MAX_TEXT_CHARS,
    UNASKED_S,
    Audio,
    Began,
    Cancelled,
    Degraded,
    Ended,
    Speech,
)

RATE_HZ = 1000
CHUNK = 20  # samples


def speech(allowed_until: int | None = 10**9, *, manual: bool = False) -> Speech:
    return Speech(rate_hz=RATE_HZ, chunk_samples=CHUNK, allowed_until=allowed_until, manual=manual)


def pcm(n_samples: int, value: int = 1) -> bytes:
    return value.to_bytes(2, "little") * n_samples


def taken(reply: Speech) -> list:
    events = []
    while (event := reply.take()) is not None:
        events.append(event)
    return events


def spoken(reply: Speech, text: str, n_samples: int, sequence: int = 1) -> None:
    reply.say(text, sequence)
    reply.flush()
    work = reply.next_work()
    reply.add(work.key, pcm(n_samples), ())
    reply.end(work.key)


def test_a_segment_is_started_sent_in_chunks_and_finished():
    reply = speech()
    spoken(reply, "Hello.", 50)
    assert taken(reply) == [
        Began(1, "Hello.", 0),
        Audio(1, pcm(20), 1, 0),
        Audio(1, pcm(20), 2, 20),
        Audio(1, pcm(10), 3, 40),
        Ended(1, 50, ()),
    ]


def test_samples_and_characters_run_over_the_whole_stream():
    reply = speech()
    spoken(reply, "One.", 20)
    spoken(reply, " Two.", 20, sequence=2)
    assert [e for e in taken(reply) if isinstance(e, Began | Audio)] == [
        Began(1, "One.", 0),
        Audio(1, pcm(20), 1, 0),
        Began(2, " Two.", 4),
        Audio(2, pcm(20), 2, 20),
    ]


def test_pieces_are_joined_to_chunks_and_only_the_last_is_short():
    reply = speech()
    reply.say("Hello. ", 1)
    work = reply.next_work()
    taken(reply)
    reply.add(work.key, pcm(15), ())
    assert taken(reply) == []
    reply.add(work.key, pcm(15), ())
    assert [len(e.pcm) // 2 for e in taken(reply)] == [20]
    reply.end(work.key)
    assert [len(e.pcm) // 2 for e in taken(reply) if isinstance(e, Audio)] == [10]


def test_words_are_placed_in_the_stream():
    reply = speech()
    spoken(reply, "One.", 30)
    reply.say(" And two.", 2)
    reply.flush()
    work = reply.next_work()
    reply.add(work.key, pcm(40), (Word(1, 4, 5), Word(5, 8, 25)))
    reply.end(work.key)
    events = taken(reply)
    assert events[-1] == Ended(2, 70, (Word(1, 4, 35), Word(5, 8, 55)))
    told = [event.words for event in events if isinstance(event, Audio)]
    assert told[-2:] == [(Word(1, 4, 35),), (Word(5, 8, 55),)]  # with the audio they begin in


def test_without_a_grant_two_seconds_are_sent_until_one_comes():
    reply = speech(allowed_until=None)
    spoken(reply, "Long.", 5000)
    taken(reply)
    assert reply.sent_until == UNASKED_S * RATE_HZ
    reply.allow(2100)
    taken(reply)
    assert reply.sent_until == 2100
    reply.allow(50)  # a repeated or late grant takes nothing back
    reply.allow_all()
    assert isinstance(taken(reply)[-1], Ended)


def test_a_chunk_waits_until_all_of_it_is_allowed():
    reply = speech(allowed_until=30)
    spoken(reply, "Hi.", 40)
    taken(reply)
    assert reply.sent_until == 20


def test_the_next_segment_waits_while_much_is_made_and_not_sent():
    reply = speech(allowed_until=0)
    n_samples = int(AHEAD_S * RATE_HZ) + 1
    spoken(reply, "One.", n_samples)
    reply.say(" Two.", 2)
    reply.flush()
    assert reply.next_work() is None
    reply.allow(CHUNK)
    taken(reply)
    assert reply.next_work() is not None


def test_one_segment_is_made_at_a_time():
    reply = speech()
    reply.say("One. Two. ", 1)
    assert reply.next_work() is not None
    assert reply.next_work() is None


def test_cancel_forgets_the_rest_and_ends_the_open_segment_where_it_was_cut():
    reply = speech(allowed_until=40)
    reply.say("One two. Three. And", 1)
    work = reply.next_work()
    reply.add(work.key, pcm(100), (Word(0, 3, 0), Word(4, 7, 60)))
    taken(reply)
    reply.cancel("c1")
    reply.add(work.key, pcm(100), ())  # late news
    reply.end(work.key)
    assert taken(reply) == [Ended(1, 40, (Word(0, 3, 0),)), Cancelled("c1", 40)]
    assert reply.next_work() is None


def test_speech_goes_on_after_a_cancel_where_sending_stopped():
    reply = speech()
    spoken(reply, "One.", 100)
    for _ in range(3):
        reply.take()
    reply.cancel("c1")
    spoken(reply, "Two.", 20, sequence=2)
    assert taken(reply) == [
        Ended(1, 40, ()),
        Cancelled("c1", 40),
        Began(2, "Two.", 4),
        Audio(2, pcm(20), 3, 40),
        Ended(2, 60, ()),
    ]


def test_a_segment_that_was_never_begun_leaves_no_trace():
    reply = speech()
    spoken(reply, "One.", 100)
    reply.cancel("c1")
    assert taken(reply) == [Cancelled("c1", 0)]
    spoken(reply, "Two.", 20, sequence=2)
    assert taken(reply)[0] == Began(1, "Two.", 4)


def test_two_cancels_get_two_answers():
    reply = speech()
    spoken(reply, "One.", 100)
    reply.take()
    reply.take()
    reply.cancel("c1")
    reply.cancel("c2")
    assert taken(reply) == [Ended(1, 20, ()), Cancelled("c1", 20), Cancelled("c2", 20)]


def test_degraded_is_told_once():
    reply = speech()
    reply.say("One. Two. ", 1)
    news = Degraded("a", "b", "broken")
    for _ in range(2):
        work = reply.next_work()
        reply.degrade(work.key, news)
        reply.end(work.key)
    assert [e for e in taken(reply) if isinstance(e, Degraded)] == [news]


def test_a_cancel_does_not_lose_the_news_of_a_worse_engine():
    reply = speech()
    reply.say("One. ", 1)
    work = reply.next_work()
    news = Degraded("a", "b", "broken")
    reply.degrade(work.key, news)
    reply.cancel("c1")
    assert taken(reply) == [news, Cancelled("c1", 0)]


def test_it_is_done_when_the_last_segment_was_taken():
    reply = speech()
    spoken(reply, "One.", 20)
    reply.finish()
    assert not reply.is_done
    taken(reply)
    assert reply.is_done


def test_manual_text_waits_for_a_flush():
    reply = speech(manual=True)
    reply.say("One. Two. ", 1)
    assert reply.next_work() is None
    reply.flush()
    assert reply.next_work().segment.text == "One. Two. "


@pytest.mark.parametrize("sequence", [0, 1, 3])
def test_a_gap_or_a_repeat_in_the_text_is_refused(sequence):
    reply = speech()
    reply.say("One.", 1)
    with pytest.raises(Rejected):
        reply.say("Two.", sequence)


def test_text_after_finish_and_too_much_text_are_refused():
    reply = speech()
    with pytest.raises(Rejected, match="characters"):
        reply.say("x" * (MAX_TEXT_CHARS + 1), 1)
    reply.finish()
    with pytest.raises(Rejected, match="finish"):
        reply.say("x", 2)
