from __future__ import annotations

import itertools

import pytest

import gateway.spoken
from gateway.realtime import signals as sig
from gateway.realtime.effects import Begun
from gateway.spoken import Seam, Spoken
from tests.unit.gateway.speaking import Voice, heard

TEXT = "One moment, please. The boats come back at noon. Who sells bread? She does."
ONE = Voice("one")
OTHER = Voice("other", 1, char_samples=5)
UNTIMED = Voice("one", is_timed=False)


@pytest.fixture(autouse=True)
def _(monkeypatch):
    monkeypatch.setattr(gateway.spoken, "HEARD_SAMPLES", 3)  # a character of these voices


def spoken(begun: Begun | None = None) -> Spoken:
    return Spoken("resp_1", begun)


def told(reply: Spoken, messages) -> list[object]:
    """What becomes of a stream's messages. Of the first stream, `ready` is told as well."""
    sounds = []
    for news in messages:
        if news.WhichOneof("payload") == "ready":
            sounds += reply.go_on(news.ready.engine)[1]
        sounds += reply.take(news)
    return sounds


def next_stream(reply: Spoken, voice: Voice, text: str = TEXT, first_char: int = 0) -> list:
    """What a voice answers when it is asked to go on, once it is known where."""
    seam, sounds = reply.go_on(voice.name)
    rest = voice.stream(text[seam.char - first_char :], continues=reply.start.char > 0)
    return [sounds, rest[1:]]


def going_on(voices, breaks) -> list[object]:
    """All that is heard when each voice but the last one breaks off after so many messages."""
    reply = spoken()
    sounds = []
    for voice, after in itertools.zip_longest(voices, breaks):
        at_seam, messages = next_stream(reply, voice)
        sounds += at_seam + told(reply, messages[:after])
    return sounds


def timings(sounds) -> list[tuple[int, int]]:
    return [word for s in sounds if isinstance(s, sig.ReplyTiming) for word in s.words]


def pieces(sounds) -> list[tuple[int, int]]:
    return [s.piece for s in sounds if isinstance(s, sig.ReplyTiming) and s.piece]


@pytest.mark.parametrize("voice", [ONE, UNTIMED])
def test_wherever_a_stream_breaks_every_character_is_heard_once(voice):
    whole = going_on([voice], [])
    assert heard(whole) == TEXT
    n = len(voice.stream(TEXT))
    for at in range(n):
        sounds = going_on([voice, voice], [at])
        assert heard(sounds) == TEXT, at
        assert timings(sounds) == timings(whole), at
        assert pieces(sounds) == pieces(whole), at


def test_wherever_two_streams_break_every_character_is_heard_once():
    whole = going_on([ONE], [])
    n = len(ONE.stream(TEXT))
    for first, second in itertools.product(range(0, n, 2), range(n)):
        sounds = going_on([ONE, ONE, ONE], [first, second])
        assert heard(sounds) == TEXT, (first, second)
        assert timings(sounds) == timings(whole)


def test_another_voice_goes_on_behind_the_last_word_that_was_begun():
    for at in range(len(ONE.stream(TEXT))):
        sounds = going_on([ONE, OTHER], [at])
        said = heard(sounds)
        words = said.replace("�", " ").split()
        assert len(words) == len(TEXT.split()), at
        wrong = [(a, b) for a, b in zip(words, TEXT.split(), strict=True) if not b.startswith(a)]
        assert wrong == [], at
        short = [(a, b) for a, b in zip(words, TEXT.split(), strict=True) if a != b]
        assert len(short) <= 1, "one word at most was cut off"


def test_another_voice_leaves_a_gap_where_no_word_was_timed():
    first = Voice("one", is_timed=False)
    for at in range(len(first.stream(TEXT))):
        words = heard(going_on([first, OTHER], [at])).replace("�", " ").split()
        left = iter(TEXT.split())
        assert all(any(b.startswith(a) for b in left) for a in words), (at, words)


def test_positions_run_on_where_another_voice_goes_on():
    for at in range(len(ONE.stream(TEXT))):
        sounds = going_on([ONE, OTHER], [at])
        n_samples = sum(len(s.pcm) // 2 for s in sounds if isinstance(s, sig.ReplyAudio))
        ends = [char for char, _ in timings(sounds)]
        assert ends == sorted(set(ends)), at
        assert ends[-1] == len(TEXT)
        places_ms = [ms for _, ms in timings(sounds)]
        assert places_ms == sorted(places_ms)
        assert pieces(sounds)[-1] == (len(TEXT), n_samples * 1000 // 24_000)


def test_a_seam_is_the_end_of_a_piece_for_whoever_takes_the_reply_over():
    reply = spoken()
    told(reply, ONE.stream(TEXT)[:5])
    seam, [cut] = reply.go_on("other")
    assert cut.piece == (seam.char, seam.sample * 1000 // 24_000)
    assert seam.char == len("One moment,"), "the second word of it has been heard"


def test_a_word_that_was_hardly_begun_is_said_again():
    begun = len("One ") * 3
    heard_chars = {}
    for samples in (begun, begun + 2, begun + 3):
        reply = spoken()
        told(reply, Voice("one", chunk_samples=samples).stream(TEXT)[:3])
        heard_chars[samples - begun] = reply.go_on("other")[0].char
    assert heard_chars == {0: len("One"), 2: len("One"), 3: len("One moment,")}


def test_a_worse_voice_that_steps_in_is_told_once_and_makes_the_same_audio_again():
    worse = ONE.stream(TEXT, worse="better")
    for at in range(len(worse)):
        reply = spoken()
        sounds = told(reply, worse[:at])
        seam, at_seam = reply.go_on("one")  # the better one rests there as well
        rest = ONE.stream(TEXT[seam.char :], continues=seam.char > 0)
        sounds += at_seam + told(reply, rest[1:])
        assert heard(sounds) == TEXT, at
    again = told(reply, worse)
    assert not any(isinstance(sound, sig.ReplyDegraded) for sound in again)


def test_a_piece_that_another_voice_takes_up_unforeseen_is_left_out_from_there():
    """What was heard of it was made by a voice that fails while it makes it again."""
    whole = ONE.stream(TEXT)
    for at in range(len(whole)):
        reply = spoken()
        before = told(reply, whole[:at])
        seam, at_seam = reply.go_on("one")
        rest = OTHER.stream(TEXT[seam.char :], continues=seam.char > 0, worse="one")
        sounds = before + at_seam + told(reply, rest[1:])
        words = heard(sounds).replace("�", " ").split()
        left = iter(TEXT.split())
        assert all(any(b.startswith(a) for b in left) for a in words), (at, words)
        assert heard(sounds).endswith(" She does.") or seam.char + 10 >= len(TEXT)


def test_goes_on_behind_what_the_client_has_had():
    first = len("One moment,")
    begun = Begun(TEXT, first, first * 3 * 1000 // 24_000, 20, None)
    reply = spoken(begun)
    assert reply.start == Seam(first, begun.from_ms * 24)
    assert reply.unheard == 10
    [at_seam, messages] = next_stream(reply, ONE)
    sounds = at_seam + told(reply, messages)
    assert heard(sounds) == "�" + TEXT[first + 4 :]
    assert timings(sounds)[0][0] == len("One moment, please.")
    assert timings(sounds)[-1][0] == len(TEXT)


def test_what_the_client_has_had_may_reach_into_a_later_piece():
    begun = Begun(TEXT, 0, 0, 40 * 6, None)
    for at in range(len(ONE.stream(TEXT))):
        reply = spoken(begun)
        [_, messages] = next_stream(reply, ONE)
        sounds = told(reply, messages[:at])
        [at_seam, messages] = next_stream(reply, ONE)
        sounds += at_seam + told(reply, messages)
        assert heard(sounds) == TEXT[40:], at


def test_a_piece_that_turns_out_shorter_the_second_time_costs_the_next_one_nothing():
    reply = spoken()
    told(reply, OTHER.stream(TEXT)[:8])
    liar = Voice("other", 1, char_samples=3)
    [at_seam, messages] = next_stream(reply, liar)
    assert heard(at_seam + told(reply, messages)).endswith(TEXT[len("One moment,") :])
