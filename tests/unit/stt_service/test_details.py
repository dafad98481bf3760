import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_service.details import added, segments_of, tokens_of, written
from stt_service.engine import RATE_HZ, Heard, How, Word
from stt_service.speakers import Voices

SECOND = 2 * RATE_HZ


class ByLength:
    """Voices that are told apart by how long they speak."""

    def name(self, pcm: bytes) -> str:
        return "A" if len(pcm) < SECOND else "B"


def words_of(*spans: tuple[str, float, float]) -> tuple[Word, ...]:
    return tuple(Word(t, int(a * RATE_HZ), int(b * RATE_HZ), 0.5) for t, a, b in spans)


HELLO = Heard(text="Hello, there.", words=words_of(("Hello,", 0.1, 0.5), ("there.", 0.5, 0.9)))


def test_only_what_was_asked_for_is_there():
    def details(**how) -> tuple[int, int, int]:
        heard = added(HELLO, How(**how), bytes(SECOND), Voices())
        return len(heard.words), len(heard.tokens), len(heard.segments)

    assert details(word_timestamps=True) == (2, 0, 0)
    assert details(logprobs=True) == (0, 2, 0)
    assert details(speakers=True) == (0, 0, 1)
    assert details(word_timestamps=True, logprobs=True, speakers=True) == (2, 2, 1)


def test_tokens_are_the_text_with_the_logarithms_of_their_probabilities():
    tokens = tokens_of(HELLO)
    assert [token.text for token in tokens] == ["Hello,", " there."]
    assert [token.logprob for token in tokens] == [pytest.approx(math.log(0.5))] * 2
    none = Heard(text="hi", words=(Word("hi", 0, 9, 0.0),))
    assert tokens_of(none)[0].logprob == pytest.approx(math.log(1e-6))


def test_an_engine_without_probabilities_gives_no_tokens():
    assert tokens_of(Heard(text="hi", words=(Word("hi", 0, 9),))) == ()
    assert tokens_of(Heard(text="hi")) == ()


def test_runs_of_one_speaker_are_one_segment():
    words = words_of(
        ("yes", 0, 0.5), ("no", 1, 1.2), ("what", 2, 2.5), ("now", 2.6, 3.5), ("ok", 4, 4.2)
    )
    heard = Heard(text="yes no what now ok", words=words)
    segments = segments_of(heard, bytes(6 * SECOND), ByLength())
    assert [(s.text, s.speaker) for s in segments] == [
        ("yes no", "A"), (" what now", "B"), (" ok", "A")
    ]  # fmt: skip
    times = [(s.start_sample / RATE_HZ, s.end_sample / RATE_HZ) for s in segments]
    assert times == [(0, 1.2), (2, 3.5), (4, 4.2)]


def test_a_text_without_words_is_one_segment_and_no_text_is_none():
    [segment] = segments_of(Heard(text="hi"), bytes(SECOND), Voices())
    assert (segment.text, segment.start_sample, segment.end_sample) == ("hi", 0, RATE_HZ)
    assert segments_of(Heard(text=""), bytes(SECOND), Voices()) == ()


@given(st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1)), st.text())
def test_the_pieces_are_always_the_text(words, other):
    for text in (" ".join(words), other):
        pieces = written(text, [Word(word, 0, 1) for word in words])
        assert len(pieces) == len(words)
        assert "".join(pieces) == (text if words else "")
