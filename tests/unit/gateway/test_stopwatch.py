from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from gateway.realtime import signals as sig
from gateway.stopwatch import Stopwatch


class Counted:
    """How often, and how long in all, a histogram was observed since now."""

    def __init__(self, stage: str) -> None:
        self._name = f"gateway_{stage}_seconds"
        self._start = self._read()

    def _read(self) -> tuple[float, float]:
        return tuple(REGISTRY.get_sample_value(f"{self._name}_{k}") or 0 for k in ("count", "sum"))

    def __call__(self) -> tuple[float, float]:
        count, total = self._read()
        return count - self._start[0], pytest.approx(total - self._start[1])


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def watch(now):
    return Stopwatch(lambda: now[0])


def test_each_stage_is_timed_from_the_end_of_speech(watch, now):
    stages = [Counted(stage) for stage in ("transcript", "first_text", "first_audio")]
    watch.see(sig.SpeechStopped("u1", 900))
    watch.replying("r")
    news = [
        sig.Transcribed("u1", "hi", 800),
        sig.ReplyText("r", "Hi"),
        sig.ReplyAudio("r", b"\0\0"),
    ]
    for one in news:
        now[0] += 0.5
        watch.see(one)
    assert [stage() for stage in stages] == [(1, 0.5), (1, 1.0), (1, 1.5)]


def test_only_the_first_of_a_stage_counts(watch, now):
    text = Counted("first_text")
    watch.spoken()
    watch.replying("r")
    for _ in range(3):
        now[0] += 1
        watch.see(sig.ReplyText("r", "Hi"))
    assert text() == (1, 1.0)


def test_what_nobody_spoke_for_is_not_timed(watch):
    text = Counted("first_text")
    watch.see(sig.ReplyText("r", "Hi"))
    assert text() == (0, 0)


def test_an_older_reply_is_not_the_answer(watch):
    text = Counted("first_text")
    watch.replying("old")
    watch.spoken()
    watch.see(sig.ReplyText("old", "Once"))
    watch.replying("new")
    watch.see(sig.ReplyText("old", " upon"))
    assert text() == (0, 0)
    watch.see(sig.ReplyText("new", "Hi"))
    assert text() == (1, 0)


def test_a_turn_without_an_answer_is_not_answered_by_a_later_reply(watch, now):
    text = Counted("first_text")
    watch.spoken()
    watch.replying("stopped")
    watch.ended("stopped")
    now[0] += 120
    watch.replying("typed for")
    watch.see(sig.ReplyText("typed for", "Hi"))
    assert text() == (0, 0)
