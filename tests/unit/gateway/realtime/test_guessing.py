from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.guessing import agree, alike, guess
from tests.script import Script, only, pcm
from tests.servers_of_tools import DOCS

WORDS = "what time is it"


def seems(text: str = WORDS, *, stable: int | None = None, name: str = "u1") -> sig.Hypothesis:
    return sig.Hypothesis(name, text, len(text) if stable is None else stable)


@pytest.fixture
def speaking(script: Script) -> Script:
    """The user is speaking."""
    script.user_says("hi")
    script.take(ce.AppendAudio(pcm(1000)))
    script.take(sig.SpeechStarted("u1", 100))
    return script


def says(script: Script, text: str) -> do.StartReply:
    effects = script.take(sig.SpeechStopped("u1", 900))
    effects += script.take(sig.Transcribed("u1", text, 800))
    [start] = only(effects, do.StartReply)
    return start


@pytest.mark.parametrize("text", [WORDS, "What time is it?", "what time, is it "])
def test_what_is_asked_is_what_will_be_asked(speaking, text):
    guessed = guess(speaking.session, seems())
    assert guessed is not None
    assert [line.text for line in guessed.context] == ["hi", WORDS]
    assert agree(guessed, says(speaking, text))


def test_other_words_are_another_question(speaking):
    guessed = guess(speaking.session, seems())
    assert not agree(guessed, says(speaking, "what time is it in london"))


def test_tools_and_instructions_are_those_of_the_session(speaking):
    tools = [{"type": "function", "name": "f"}]
    session = {"type": "realtime", "instructions": "Be kind.", "tools": tools}
    speaking.send("session.update", session=session)
    guessed = guess(speaking.session, seems())
    assert guessed.instructions == "Be kind."
    assert agree(guessed, says(speaking, WORDS))


def test_a_session_that_has_changed_asks_something_else(speaking):
    guessed = guess(speaking.session, seems())
    speaking.send("session.update", session={"type": "realtime", "instructions": "Be kind."})
    assert not agree(guessed, says(speaking, WORDS))


def test_what_was_written_meanwhile_makes_another_question(speaking):
    guessed = guess(speaking.session, seems())
    speaking.user_says("hurry up")
    assert not agree(guessed, says(speaking, WORDS))


def test_a_reply_that_was_begun_elsewhere_is_no_guess(speaking):
    guessed = guess(speaking.session, seems())
    start = says(speaking, WORDS)
    assert not agree(guessed, replace(start, begun=do.Begun("It", 0, 0, 0, None)))


def test_asking_changes_nothing(speaking):
    before = pickle.dumps(speaking.session._turns._conversation)
    ids = speaking.session._new_id("x")
    guess(speaking.session, seems())
    assert pickle.dumps(speaking.session._turns._conversation) == before
    number = int(ids.removeprefix("x_"))
    assert speaking.session._new_id("x") == f"x_{number + 1}"


@pytest.mark.parametrize(
    "news", [seems(stable=len(WORDS) - 1), seems(""), seems("  "), seems(name="u2")]
)
def test_words_that_may_change_or_are_of_another_utterance_are_not_asked(speaking, news):
    assert guess(speaking.session, news) is None


def test_trailing_space_is_no_word(speaking):
    assert guess(speaking.session, seems(WORDS + " ", stable=len(WORDS))) is not None


@pytest.mark.parametrize("detection", [None, {"type": "server_vad", "create_response": False}])
def test_who_will_not_be_answered_is_not_asked_for(speaking, detection):
    heard = {"turn_detection": detection}
    speaking.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    assert guess(speaking.session, seems()) is None


def test_a_transcription_session_has_no_model():
    script = Script(kind="transcription")
    script.take(ce.AppendAudio(pcm(1000)))
    script.take(sig.SpeechStarted("u1", 100))
    assert guess(script.session, seems()) is None


def test_while_an_answer_runs_none_is_begun(speaking):
    speaking.respond()
    assert guess(speaking.session, seems()) is None


def test_what_is_not_all_known_is_not_asked(script):
    script.utterance("u0", words=None)
    script.send("response.cancel")
    script.take(sig.SpeechStarted("u1", 1000))
    assert guess(script.session, seems()) is None
    script.take(sig.Transcribed("u0", "hello", 1))
    assert guess(script.session, seems()) is not None


def test_tools_that_are_not_listed_yet_are_waited_for(speaking):
    speaking.send("session.update", session={"type": "realtime", "tools": [DOCS]})
    assert guess(speaking.session, seems()) is None


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [
        ("Hello, there!", "hello there", True),
        ("hello there", "hello dear", False),
        ("Straße", "strasse", True),
        ("", "…", True),
        ("it is", "itis", False),
    ],
)
def test_words_are_alike_however_they_are_written(one, other, are):
    assert alike(one, other) is are
