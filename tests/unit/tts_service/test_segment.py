import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.segment import (
    CLAUSE_PAUSE_MS,
    FIRST_LIMIT,
    LIMIT,
    LOOKAHEAD,
    MANUAL_LIMIT,
    SENTENCE_PAUSE_MS,
    TAIL_PAUSE_MS,
    Segmenter,
    part_end,
)

ENGLISH = st.lists(
    st.sampled_from(
        [
            "Hello", "I", "Dr. Smith", "e.g.", "3.14", "U.S.", "p.m.", "No.", "5", "Next", "x" * 40,
            ".", "!", "?!", "...", "…", ",", ";", ":", "—", '."', "**", "\n", "\n\n", "1. ", " ",
            "你好", "。", "，", "」", "é", "e\u0301", "🎉", "(", ")", "etc.", "  \t ",
        ]
    ),
    max_size=80,
).map("".join)  # fmt: skip


def cut(text: str) -> list[str]:
    segmenter = Segmenter()
    return [s.text for s in segmenter.push(text) + segmenter.flush()]


def test_the_first_clause_is_given_before_the_sentence_is_known():
    segmenter = Segmenter()
    assert [s.text for s in segmenter.push("Well, let me think about it, ")] == [
        "Well, let me think about it,"
    ]


def test_only_the_first_segment_ends_at_a_clause():
    assert cut("It is a quarter to four, in London. And in Paris, it is later.") == [
        "It is a quarter to four,",
        " in London.",
        " And in Paris, it is later.",
    ]


def test_a_first_clause_that_is_over_at_once_is_not_cut_off():
    assert cut("Sure, I can. Yes.") == ["Sure, I can.", " Yes."]


@pytest.mark.parametrize(
    "text",
    [
        "Pi is 3.14 or so.",
        "Ask Dr. Smith or Mrs. Jones.",
        "Fruit, e.g. Apples, i.e. Red ones.",
        "J. R. R. Tolkien wrote it.",
        "The U.S. Embassy is closed.",
        "See no. 5 and fig. 3 here.",
        "Apples, pears etc. are fruit.",
        "At 5 p.m. we eat.",
        "Go to example.com/a?b=c now.",
        "1. First things first.",
        "It costs 1,000.50 today.",
    ],
)
def test_a_dot_inside_a_sentence_does_not_end_it(text):
    segmenter = Segmenter()
    segmenter.push("Right. ")
    assert [s.text for s in segmenter.push(text + " ")] == [" " + text]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("Really?! Yes.", ["Really?!", " Yes."]),
        ("Well... yes.", ["Well...", " yes."]),
        ("Well… yes.", ["Well…", " yes."]),
        ('He said "stop." Then left.', ['He said "stop."', " Then left."]),
        ("**Stop!** Now.", ["**Stop!**", " Now."]),
        ("It is 5 p.m. We eat.", ["It is 5 p.m.", " We eat."]),
        ("No. I do not.", ["No.", " I do not."]),
        ("It was I. Then you.", ["It was I.", " Then you."]),
        ("One\nTwo\n", ["One", "\nTwo", "\n"]),
        ("Great! 🎉 Next one.", ["Great!", " 🎉 Next one."]),
        ("你好，世界。今天很好！", ["你好，世界。", "今天很好！"]),
        ("「你好。」他说。", ["「你好。」", "他说。"]),
        ("क्या? हाँ। ठीक", ["क्या?", " हाँ।", " ठीक"]),
    ],
)
def test_sentences_end_where_a_reader_would_say(text, segments):
    assert cut(text) == segments


def test_a_sentence_without_an_end_is_cut_between_words():
    segments = cut("word " * 200)
    assert len(segments[0]) <= FIRST_LIMIT
    assert all(len(s) < LIMIT + LOOKAHEAD for s in segments)
    assert all(s.startswith((" word", "word")) for s in segments[:-1])


def test_a_long_first_clause_is_cut_at_its_last_comma():
    first = cut("a" * 40 + ", " + "b" * 30 + " " + "c" * 200)[0]
    assert first == "a" * 40 + ","


def test_a_letter_keeps_its_accents_where_there_is_no_space():
    for segment in cut("xe\u0301" * 500):
        assert not segment.startswith("\u0301")


def test_pauses_follow_the_mark_at_the_end():
    segmenter = Segmenter()
    text = "Well, here it is, now. And **then**! So\nit ends"
    assert [s.pause_ms for s in segmenter.push(text) + segmenter.flush()] == [
        CLAUSE_PAUSE_MS, SENTENCE_PAUSE_MS, SENTENCE_PAUSE_MS, SENTENCE_PAUSE_MS, TAIL_PAUSE_MS,
    ]  # fmt: skip


def test_words_cut_apart_for_their_length_have_no_pause_between():
    assert Segmenter().push("word " * 100)[0].pause_ms == 0


def test_manual_segments_end_only_at_a_flush():
    segmenter = Segmenter(manual=True)
    assert segmenter.push("One. Two! ") == []
    assert [s.text for s in segmenter.flush()] == ["One. Two! "]
    assert segmenter.flush() == []


def test_a_manual_segment_has_an_upper_limit():
    segmenter = Segmenter(manual=True)
    segmenter.push("word " * 1000)
    segments = segmenter.flush()
    assert "".join(s.text for s in segments) == "word " * 1000
    assert max(len(s.text) for s in segments) <= MANUAL_LIMIT


def test_forgotten_text_still_counts_and_speech_starts_anew():
    segmenter = Segmenter()
    segmenter.push("One. Two is not finis")
    segmenter.forget()
    [segment] = segmenter.push("Well now then, here")
    assert (segment.text, segment.start_char, segment.pause_ms) == (
        "Well now then,",
        21,
        CLAUSE_PAUSE_MS,
    )


@given(ENGLISH, st.lists(st.integers(1, 12), min_size=1))
def test_segments_make_up_the_text_however_it_arrives(text, sizes):
    segmenter = Segmenter()
    segments, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        segments += segmenter.push(text[at : at + size])
        at, turn = at + size, turn + 1
    segments += segmenter.flush()
    assert [s.text for s in segments] == cut(text)
    assert "".join(s.text for s in segments) == text
    for segment in segments:
        assert text[segment.start_char :].startswith(segment.text)
        assert 0 < len(segment.text) < LIMIT + LOOKAHEAD


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("short enough", ["short enough"]),
        ("One, two, three, four, five, six", ["One, two, three,", " four, five, six"]),
        (
            "It ended. Then, all in all, Dr. No came",
            ["It ended.", " Then, all in all,", " Dr. No came"],
        ),
        ("no mark in this at all to cut at", ["no mark in this at", " all to cut at"]),
        ("a line\nand another\nand a third", ["a line\nand another", "\nand a third"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
        ("just the mark stays.....", ["just the mark stays....."]),
    ],
)
def test_a_long_text_is_cut_for_an_engine_at_marks_into_about_equal_parts(text, parts):
    found = []
    while text:
        end = part_end(text, 20)
        found.append(text[:end])
        text = text[end:]
    assert found == parts


@given(st.text(alphabet=st.sampled_from("ab1 ,.\n-é\u0301。!"), max_size=90), st.integers(8, 40))
def test_every_cut_moves_on_and_leaves_words_behind_it(text, most_chars):
    end = part_end(text, most_chars)
    assert min(1, len(text)) <= end <= len(text)
    if end < len(text):
        assert end <= most_chars
        assert any(char.isalnum() for char in text[end:])
