import asyncio
from contextlib import asynccontextmanager

import pytest

from mesh.chain import Chain
from stt_service import pending as module
from stt_service.engine import RATE_HZ, How
from stt_service.hearing import Failed, Final
from stt_service.pending import Pending
from stt_service.timeline import Timeline
from stt_service.utterance import Utterance
from stt_service.vad import Silero
from stt_service.worker import Ears, Worker
from tests.fakes.stt import FakeEngine, FakeRecognizer

TENTH = bytes(2 * RATE_HZ // 10)
SILERO = Silero()
LIMIT_S = 20


class Stage:
    def __init__(self, tasks: asyncio.TaskGroup, **engines: FakeEngine) -> None:
        self.worker = Worker(Chain(engines), SILERO, max_waiting=9)
        self.timeline = Timeline(RATE_HZ, 1000, RATE_HZ)
        self.heard: list = []
        self.pending = Pending(self.timeline, tasks, self.heard.append)

    def spoken(self, name: str, model: str = "", *, ends: bool = True):
        """An utterance of 0.1 s, which starts where the audio is."""
        utterance = Utterance(self.worker, Ears(), How(), model=model)
        spoken = self.pending.follow(utterance, self.timeline.at)
        spoken.utterance_id = name
        self.timeline.add(TENTH)
        utterance.hear(TENTH)
        spoken.until = self.timeline.at
        if ends:
            spoken.end()
        return spoken

    @property
    def names(self) -> list[str]:
        return [heard.utterance_id for heard in self.heard]


@asynccontextmanager
async def stage(**engines: FakeEngine):
    async with asyncio.TaskGroup() as tasks:
        stage = Stage(tasks, **engines)
        yield stage
    await stage.worker.close()


async def test_outcomes_have_their_place_in_the_stream():
    async with stage(fake=FakeEngine()) as on:
        on.spoken("a")
        on.spoken("b")
        await on.pending.done(discard=False)
    assert [(f.utterance_id, f.start_sample, f.end_sample, f.revision) for f in on.heard] == [
        ("a", 1000, 2600, 1),
        ("b", 2600, 4200, 1),
    ]


class Says(FakeEngine):
    """Guesses what it is told to."""

    def __init__(self, *guesses: str) -> None:
        super().__init__()
        self.guesses = [*guesses]

    def ear(self, tenant=""):
        return self

    def recognizer(self, how):
        recognizer = FakeRecognizer(self, how)
        recognizer.guess = lambda: self.guesses.pop(0)
        return recognizer


async def test_guesses_say_what_will_not_change_and_none_comes_twice():
    right = ["good morning"] * 3
    says = Says("good mourning", *right, "bad day")
    n_guesses = len(says.guesses)
    async with stage(fake=says) as on:
        spoken = on.spoken("a", ends=False)
        spoken.utterance.interim = True
        for n in range(n_guesses):
            spoken.utterance.hear(TENTH)
            async with asyncio.timeout(LIMIT_S):
                while len(says.guesses) >= n_guesses - n:
                    await asyncio.sleep(0)
        spoken.end()
        await on.pending.done(discard=False)
    told = [(one.text, one.stable_chars, one.revision) for one in on.heard[:-1]]
    assert told == [
        ("good mourning", 0, 1),
        ("good morning", 4, 2),
        ("good morning", 12, 3),
    ]
    assert on.heard[-1].revision == 4


async def test_they_take_turns_in_the_order_of_speech():
    slow, quick = FakeEngine(model="slow"), FakeEngine(model="quick")
    slow.may_finish.clear()
    async with stage(slow=slow, quick=quick) as on:
        on.spoken("first", "slow")
        second = on.spoken("second", "quick")
        await asyncio.sleep(0)
        assert not second.turn.is_set()
        assert (on.heard, quick.asked) == ([], [])
        slow.may_finish.set()
        await on.pending.done(discard=False)
    assert on.names == ["first", "second"]


async def test_one_that_is_dropped_gives_its_turn_to_the_next():
    engine = FakeEngine()
    engine.may_finish.clear()
    async with stage(fake=engine) as on:
        on.spoken("first")
        dropped = on.spoken("dropped", ends=False)
        last = on.spoken("last")
        dropped.drop()
        await asyncio.sleep(0)
        assert not last.turn.is_set()
        engine.may_finish.set()
        await on.pending.done(discard=False)
    assert on.names == ["first", "last"]
    assert on.pending.starts == []


async def test_a_failure_is_reported_when_the_utterance_has_ended():
    async with stage(fake=FakeEngine(languages=("en",))) as on:
        utterance = Utterance(on.worker, Ears(), How(language="fr"))
        spoken = on.pending.follow(utterance, 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert on.heard == []
        spoken.utterance_id = "named late"
        spoken.end()
        await on.pending.done(discard=False)
    [failed] = on.heard
    assert isinstance(failed, Failed)
    assert failed.utterance_id == "named late"


async def test_discarded_they_have_no_outcome():
    engine = FakeEngine()
    engine.may_finish.clear()
    async with stage(fake=engine) as on:
        on.spoken("a")
        on.spoken("b")
        await on.pending.done(discard=True)
        engine.may_finish.set()
    assert on.heard == []


@pytest.mark.parametrize(("limit", "value"), [("WAITING", 1), ("BEHIND", RATE_HZ // 10)])
async def test_the_client_waits_while_recognition_is_behind(monkeypatch, limit, value):
    monkeypatch.setattr(module, limit, value)
    engine = FakeEngine()
    engine.may_finish.clear()
    async with stage(fake=engine) as on:
        await on.pending.room()
        on.spoken("a")
        on.spoken("b")
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(on.pending.room())
            await asyncio.sleep(0)
            assert not waiting.done()
            engine.may_finish.set()
        await on.pending.done(discard=False)
    assert all(isinstance(final, Final) for final in on.heard)
