import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.overlap import mark
from llm_orchestrator.seam import Seam
from llm_orchestrator.spacing import words_of

WORDS = words_of("what is the weather like in London")


def pieces(text):
    return re.findall(r"\s*\S+|\s+$", text)


def joined(written, texts, **how):
    seam = Seam(written, WORDS, **how)
    return "".join(map(seam.feed, texts)) + seam.end()


@pytest.mark.parametrize(
    ("written", "text", "new"),
    [
        ("It is ten", "It is ten forty.", " forty."),
        ("It is ten ", "It is ten forty.", "forty."),
        ("It is ten", "\nIt is ten forty.", " forty."),
        ("Hi. How are", "How are you?", " you?"),
        ("Hi there.", "Hi there. How are you?", " How are you?"),
        ("Hi there. ", "Hi there. How are you?", "How are you?"),
        ("Hi there.", "hi there! How are you?", " How are you?"),
        ("Hi there,", "Hi there how are you?", " how are you?"),
        ("Hi there", "Hi there, how are you?", ", how are you?"),
        ("Bonjour vous !", "Bonjour vous ! Oui.", " Oui."),
        ("Bonjour vous !", "Bonjour vous, oui.", " oui."),
        ("He said:", 'He said: "Yes."', ' "Yes."'),
        ("It is", "It is", ""),
        ("It is.", "It is.", ""),
        ("It is in Lon", "London now", "don now"),
        ("It is", "ten", " ten"),
        ("It is", " ten", " ten"),
        ("It is ", " ten", "ten"),
        ("It is\n", "\n- ten", "\n- ten"),
        ("It is ", "ten", "ten"),
        ("It is ten", "", ""),
        ("It is ten", ".", "."),
        (" ", " Hello", "Hello"),
        ("", "Hello", "Hello"),
        ("It is ten past", "It is ten.", " It is ten."),  # not to the end, so it is new
    ],
)
def test_what_is_new(written, text, new):
    for texts in ([text], list(text), pieces(text)):
        assert joined(written, texts) == new


def test_text_goes_through_as_soon_as_it_is_known_to_be_new():
    seam = Seam("It is ten. It is hot", WORDS)
    fed = [seam.feed(piece) for piece in ("It", " is", " ten", " to", " one.", " Yes")]
    assert fed == ["", "", "", " It is ten to", " one.", " Yes"]
    seam = Seam("the word is", WORDS)
    assert [seam.feed(piece) for piece in (" go", "od", " now")] == [" go", "od", " now"]
    seam = Seam("the word is", WORDS)
    assert [seam.feed(piece) for piece in ("go", "od", " now")] == ["", "", " good now"]


def test_a_repetition_that_the_limit_cut_off_is_no_answer():
    for cut_off, new in ((True, ""), (False, " It is ten")):
        seam = Seam("It is ten past nine", WORDS)
        assert seam.feed("It is ten") == ""
        assert seam.end(cut_off=cut_off) == new
        assert seam.end() == ""


def test_white_space_is_left_to_a_model_that_goes_on_inside_its_message():
    assert joined("in the", ["rmometer"], exact=True) == "rmometer"
    assert joined("in the", ["rmometer"]) == " rmometer"
    assert joined("in the ", [" air"], exact=True) == " air"
    assert joined("in the ", ["In the ", "air"], exact=True) == "air"


words = st.lists(st.text("abcdefghi", min_size=1, max_size=6), min_size=2, max_size=12, unique=True)


@st.composite
def texts(draw):
    """Sentences in which every word is there once."""
    ends = st.sampled_from([" ", " ", " ", ", ", ". ", "! ", ".\n", " - "])
    return "".join(word + draw(ends) for word in draw(words)).rstrip() + "."


def chunks(data, text):
    """The text in random deltas."""
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(texts(), st.data())
def test_all_of_it_again_is_taken_off_exactly(whole, data):
    cut = data.draw(st.integers(1, len(whole)))
    again = data.draw(st.sampled_from([str, str.upper]))(whole[:cut]) + whole[cut:]
    assert whole[:cut] + joined(whole[:cut], chunks(data, again)) == whole


@given(texts(), st.data())
def test_the_last_sentence_again_is_taken_off_exactly(whole, data):
    starts = [0, *(match.end() for match in re.finditer(r"[.!]\s", whole))]
    start = data.draw(st.sampled_from(starts))
    end = whole.find(". ", start)
    cut = data.draw(st.integers(start + 1, end if end > start else len(whole)))
    assert whole[:cut] + joined(whole[:cut], chunks(data, whole[start:])) == whole


@given(texts(), texts(), st.data())
def test_what_is_new_goes_through_as_it_is(written, other, data):
    new = f" {other.translate({i: i + 9 for i in range(ord('a'), ord('j'))})}"
    cut = data.draw(st.integers(1, len(written)))
    written = written[:cut].rstrip()
    assert joined(written, chunks(data, new)) == new


@given(st.text(max_size=40), st.text(max_size=40), st.data())
def test_nothing_is_lost_but_a_repetition_and_nothing_changes_places(written, text, data):
    out = joined(written, chunks(data, text))
    assert out == joined(written, [text])
    kept = out if text.endswith(out) else out[1:]
    assert text.endswith(kept)
    assert out in (kept, f" {kept}")
    gone = "".join(map(mark, text[: len(text) - len(kept)]))
    assert "".join(map(mark, written)).endswith(gone)
