"""When pauses are asked about, with an utterance that answers when it is told to."""

import asyncio

import pytest

from stt_service import pauses as module
from stt_service.endpointing import WINDOW_SAMPLES, Endpointer, Settings, Stopped
from stt_service.engine import RATE_HZ
from stt_service.pauses import PIECE_MS, Pauses
from stt_service.turn_taking import Eagerness

WINDOW_MS = WINDOW_SAMPLES * 1000 // RATE_HZ
SEMANTIC = Settings(prefix_ms=0, semantic=True)


class Asked:
    """In the place of an utterance."""

    behind_samples = 0

    def __init__(self) -> None:
        self.told = None
        self.n_asked = 0

    def ask(self, told) -> None:
        self.told = told
        self.n_asked += told is not None


class Scene:
    def __init__(self, settings: Settings = SEMANTIC, language: str = "") -> None:
        self.endpointer, self.asked, self.language = Endpointer(settings), Asked(), language
        self.pauses = Pauses(self.endpointer)

    def voice(self, n_windows: int = 2) -> None:
        for _ in range(n_windows):
            self.endpointer.hear(0.9)
            self.pauses.look(self.asked, self.language)

    def quiet(self, ms: int):
        """When the speech ends in so much silence: milliseconds after the pause began."""
        for _ in range(ms // WINDOW_MS):
            if isinstance(self.endpointer.hear(0.0), Stopped):
                return True
            self.pauses.look(self.asked, self.language)
        return False

    def waits_ms(self) -> int:
        """How long the pause goes on from here."""
        for n in range(1, 1000):
            if self.quiet(WINDOW_MS):
                return n * WINDOW_MS
        raise AssertionError("it never ends")


def test_a_pause_is_asked_about_once_and_a_short_one_never():
    scene = Scene()
    scene.voice()
    scene.quiet(160)
    scene.voice()
    assert scene.asked.n_asked == 0
    scene.quiet(800)
    assert scene.asked.n_asked == 1


@pytest.mark.parametrize(("text", "wait_ms"), [("what time is it", 400), ("and", 4000), ("", 1000)])
def test_the_answer_says_how_long_the_pause_may_last(text, wait_ms):
    scene = Scene()
    scene.voice()
    scene.quiet(192)
    scene.asked.told(text)
    assert wait_ms <= 192 + scene.waits_ms() < wait_ms + WINDOW_MS


def test_without_an_answer_the_pause_lasts_for_the_time_in_between():
    scene = Scene()
    scene.voice()
    assert 1000 <= scene.waits_ms() < 1000 + WINDOW_MS


def test_who_goes_on_takes_the_question_back_and_a_late_answer_counts_for_nothing():
    scene = Scene()
    scene.voice()
    scene.quiet(256)
    told = scene.asked.told
    scene.voice()
    assert scene.asked.told is None
    told("and")
    assert scene.waits_ms() < 1000 + WINDOW_MS


def test_who_has_paused_long_in_this_turn_is_given_longer():
    scene = Scene()
    scene.voice()
    scene.quiet(192)
    scene.asked.told("i would like to")
    assert not scene.quiet(1600)
    scene.voice()
    scene.quiet(192)
    scene.asked.told("i would like to see the boss")
    assert 192 + scene.waits_ms() > 1700 * 1.25


def test_another_eagerness_counts_at_once_and_so_does_server_vad():
    scene = Scene()
    scene.voice()
    scene.quiet(192)
    scene.asked.told("and")
    scene.quiet(96)
    eager = Settings(prefix_ms=0, semantic=True, eagerness=Eagerness.HIGH)
    scene.endpointer.update(eager, 0)
    scene.quiet(WINDOW_MS)
    assert 2000 <= 320 + scene.waits_ms() < 2000 + WINDOW_MS
    scene.voice()
    scene.quiet(192)
    scene.asked.told("and")
    scene.quiet(320)
    scene.endpointer.update(Settings(prefix_ms=0, silence_ms=200), 0)
    assert scene.waits_ms() == WINDOW_MS


def test_server_vad_asks_nothing():
    scene = Scene(Settings(prefix_ms=0, silence_ms=2000))
    scene.voice()
    scene.quiet(1000)
    assert scene.asked.n_asked == 0


async def test_audio_waits_for_the_answer_but_not_before_it_matters():
    scene = Scene()
    scene.voice()
    scene.quiet(224)
    async with asyncio.timeout(30):
        await scene.pauses.settled()  # 400 ms are more than a piece away
    scene.quiet(PIECE_MS)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(scene.pauses.settled())
        await asyncio.sleep(0)
        assert not waiting.done()
        scene.asked.told("what time is it")


async def test_it_does_not_wait_for_ever_and_a_late_answer_still_counts(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    scene = Scene()
    scene.voice()
    scene.quiet(384)
    async with asyncio.timeout(30):
        await scene.pauses.settled()
        monkeypatch.setattr(module, "PATIENCE_S", 60)
        await scene.pauses.settled()  # once for each pause
    scene.asked.told("and")
    assert scene.waits_ms() > 3000


async def test_an_engine_that_gets_on_is_waited_for(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    scene = Scene()
    scene.voice()
    scene.quiet(384)
    asked, steps = scene.asked, [*range(20, 0, -1)]

    class Behind(Asked):
        @property
        def behind_samples(self) -> int:
            """Less each time it is looked at; at last the answer is there."""
            if not steps:
                asked.told("and")
            return steps.pop(0) if steps else 0

    scene.pauses._utterance = Behind()
    async with asyncio.timeout(30):
        await scene.pauses.settled()
    assert steps == []
    assert scene.waits_ms() > 3000
