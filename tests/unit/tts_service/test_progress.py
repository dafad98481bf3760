"""Engines fail wherever they can: no word is begun twice, and none that an engine with word
timing left out is missing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.audio import n_samples
from tts_service.engine import Word
from tts_service.progress import Progress, Sound
from tts_service.speakable import speakable

CHAR_SAMPLES = 10
WORDS = ["one", "*two*", "three,", "four.", "Dr.", "`five`", "3:45", "[six](http://x)", "-", "🎉"]
WRITTEN = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)
FAILS_AFTER = st.lists(st.integers(0, 60), max_size=4)
MOST_CHARS = st.integers(8, 100)


class Heard:
    """A segment spoken by engines that fail, and what of it was heard."""

    def __init__(self, written: str) -> None:
        self.segment = Progress(speakable(written))
        self.whole = self.segment.rest.text
        self.chars: list[int] = []
        """Positions in `whole`."""
        self.words: list[tuple[Word, int]] = []
        """With the number of the attempt."""
        self.n_samples = 0
        self.ends: list[int] = []  # samples; of each attempt

    def speak(self, most_chars: int, *, fails_after: int | None = None, tells: bool = True):
        """By an engine that gives a character at a time."""
        n_spoken = 0
        while not self.segment.is_done:
            start = len(self.whole) - len(self.segment.rest.text)
            text = self.segment.begin(most_chars)
            for at in range(len(text)):
                if n_spoken == fails_after:
                    self.segment.break_off()
                    self.ends.append(self.n_samples)
                    return
                self._hear(text, at, tells)
                self.chars.append(start + at)
                n_spoken += 1
            self.segment.end()
        self.ends.append(self.n_samples)

    def _hear(self, text: str, at: int, tells: bool) -> None:
        found = re.finditer(r"\S+", text) if tells and at == 0 else ()  # all at once, as espeak
        words = tuple(Word(*m.span(), m.start() * CHAR_SAMPLES) for m in found)
        sound = self.segment.add(Sound(bytes(2 * CHAR_SAMPLES), words))
        self.n_samples += n_samples(sound.pcm)
        self.words += [(word, len(self.ends)) for word in sound.words]

    def begun_words(self) -> list[Word]:
        """Those that the attempt they were told in came to."""
        return [word for word, n in self.words if word.start_sample < self.ends[n]]

    def spoken(self) -> list[int]:
        """Positions of what makes a sound."""
        return [at for at in self.chars if self.whole[at].isalnum()]

    def starts_of_words(self) -> list[int]:
        return [m.start() for m in re.finditer(r"\S+", self.whole) if re.search(r"\w", m[0])]


@given(WRITTEN, FAILS_AFTER, MOST_CHARS)
def test_every_word_is_begun_once_by_engines_with_word_timing(written, fails_after, most_chars):
    heard = Heard(written)
    for after in [*fails_after, None]:
        heard.speak(most_chars, fails_after=after)
    assert heard.spoken() == sorted(set(heard.spoken()))
    assert set(heard.starts_of_words()) <= set(heard.chars)
    assert heard.n_samples == heard.segment.n_samples == CHAR_SAMPLES * len(heard.chars)


@given(WRITTEN, FAILS_AFTER, MOST_CHARS)
def test_words_are_told_once_in_order_where_they_are_written(written, fails_after, most_chars):
    heard = Heard(written)
    for after in [*fails_after, None]:
        heard.speak(most_chars, fails_after=after)
    words = heard.begun_words()
    chars = [char for word in words for char in range(word.start_char, word.end_char)]
    assert chars == sorted(set(chars))
    samples = [word.start_sample for word in words]
    assert samples == sorted(set(samples))
    for word in words:
        assert re.search(r"\w|-", written[word.start_char : word.end_char])


@given(WRITTEN, st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=4), MOST_CHARS)
def test_nothing_is_said_twice_whatever_engines_tell(written, failures, most_chars):
    heard = Heard(written)
    for after, tells in failures:
        heard.speak(most_chars, fails_after=after, tells=tells)
    heard.speak(most_chars)
    assert heard.segment.is_done
    assert heard.spoken() == sorted(set(heard.spoken()))


@pytest.mark.parametrize("fails_after", range(23))
def test_without_word_timing_the_rest_of_the_part_is_left_out(fails_after):
    heard = Heard("One two, three four five")
    heard.speak(12, fails_after=fails_after, tells=False)
    before = len(heard.chars)
    heard.speak(12)
    resumed = min(heard.chars[before:], default=24)
    starts = {0: 0, 8: 9, 18: 20, 22: 24}  # characters spoken before a part → where it starts
    assert resumed == starts[min(spoken for spoken in starts if spoken >= fails_after)]


def test_the_pause_between_parts_is_what_the_mark_asks_for():
    segment = Progress(speakable("One two and three"))
    assert segment.begin(10) == "One two"
    assert segment.end() == 0
    segment = Progress(speakable("There it is, and more"))
    assert segment.begin(13) == "There it is,"
    assert segment.end() > 0
    segment.begin(13)
    assert segment.end() == 0
