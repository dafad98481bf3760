import asyncio
import logging

import pytest
from prometheus_client import REGISTRY

from mesh.breaker import FAILURES
from mesh.chain import Chain
from mesh.errors import Broken, Overloaded, Rejected
from stt_service import utterance
from stt_service.engine import RATE_HZ, Heard, How
from stt_service.utterance import Utterance
from stt_service.vad import Silero
from stt_service.worker import Ears, Worker
from tests.fakes.stt import FakeEngine, FakeRecognizer

TENTH = bytes(2 * RATE_HZ // 10)
SILERO = Silero()


def worker_of(**engines) -> Worker:
    return Worker(Chain(engines), SILERO, max_waiting=4)


async def outcome(worker: Worker, tenths: int = 3, **wishes) -> Heard:
    spoken = Utterance(worker, Ears(), How(**wishes))
    for _ in range(tenths):
        spoken.hear(TENTH)
    spoken.end()
    try:
        return await spoken.outcome()
    finally:
        await worker.close()


@pytest.mark.parametrize("streaming", [True, False])
async def test_all_that_was_heard_is_in_the_outcome(streaming):
    engine = FakeEngine(streaming=streaming)
    assert (await outcome(worker_of(fake=engine), tenths=17)).text == "17 tenths"
    assert engine.closed == 1


async def test_audio_is_heard_while_it_comes():
    worker = worker_of(fake=FakeEngine())
    spoken, moved = Utterance(worker, Ears(), How()), asyncio.Event()
    spoken.moved = moved.set
    async with asyncio.TaskGroup() as tasks:
        result = tasks.create_task(spoken.outcome())
        for _ in range(3):
            moved.clear()
            spoken.hear(TENTH)
            assert spoken.behind_samples == RATE_HZ // 10
            await moved.wait()
            assert spoken.behind_samples == 0
        spoken.end()
    assert result.result().text == "3 tenths"
    await worker.close()


async def test_guesses_are_made_only_if_wanted_and_not_in_a_pause():
    worker = worker_of(fake=FakeEngine())
    spoken, guesses = Utterance(worker, Ears(), How(), interim=True), asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spoken.outcome(lambda *guess: guesses.put_nowait(guess)))
        spoken.hear(TENTH)
        assert await guesses.get() == ("1 tenths", RATE_HZ // 10)
        spoken.pausing = True
        spoken.hear(TENTH)
        await settled(spoken)
        spoken.pausing, spoken.interim = False, False
        spoken.hear(TENTH)
        await settled(spoken)
        spoken.interim = True
        spoken.hear(TENTH)
        assert await guesses.get() == ("4 tenths", RATE_HZ * 4 // 10)
        spoken.end()
    assert guesses.empty()
    await worker.close()


async def test_the_text_so_far_is_told_to_whoever_asks_and_to_nobody_else():
    worker = worker_of(fake=FakeEngine())
    spoken, answers, guesses = Utterance(worker, Ears(), How()), asyncio.Queue(), []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spoken.outcome(lambda *guess: guesses.append(guess)))
        spoken.hear(TENTH)
        spoken.pausing = True
        spoken.ask(answers.put_nowait)
        assert await answers.get() == "1 tenths"
        spoken.ask(answers.put_nowait)
        spoken.ask(None)
        spoken.hear(TENTH)
        await settled(spoken)
        spoken.ask(answers.put_nowait)
        assert await answers.get() == "2 tenths"
        spoken.end()
    assert answers.empty()
    assert guesses == []
    await worker.close()


async def test_a_question_without_room_for_an_answer_fails_no_utterance(monkeypatch):
    def no_room(self):
        raise Overloaded("no")

    monkeypatch.setattr(FakeRecognizer, "guess", no_room)
    worker = worker_of(fake=FakeEngine())
    spoken, answers = Utterance(worker, Ears(), How()), asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        result = tasks.create_task(spoken.outcome())
        spoken.hear(TENTH)
        spoken.ask(answers.put_nowait)
        assert await answers.get() == ""
        spoken.end()
    assert result.result().text == "1 tenths"
    await worker.close()


async def settled(spoken: Utterance) -> None:
    while spoken.behind_samples:
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_failure_is_retried_once_with_all_the_audio(caplog):
    caplog.set_level(logging.WARNING)
    assert (await outcome(worker_of(fake=FakeEngine(failures=1)))).text == "3 tenths"
    assert [record.message for record in caplog.records] == ["engine failed"]


async def test_after_two_failures_it_is_broken():
    with pytest.raises(Broken, match="fake and fake"):
        await outcome(worker_of(fake=FakeEngine(failures=2)))


async def test_the_retry_goes_to_the_next_engine():
    engines = {"one": FakeEngine(failures=9), "other": FakeEngine()}
    before = n_handovers("one", "other")
    assert (await outcome(worker_of(**engines))).text == "3 tenths"
    assert [len(engine.asked) for engine in engines.values()] == [1, 1]
    assert n_handovers("one", "other") == before + 1


def n_handovers(failed: str, serving: str) -> float:
    labels = {"failed": failed, "serving": serving}
    return REGISTRY.get_sample_value("stt_handovers_total", labels) or 0.0


async def test_a_trial_that_is_dropped_leaves_its_place_to_the_next():
    worker = worker_of(one=FakeEngine(), other=FakeEngine())
    for _ in range(FAILURES):
        worker.chain.failed("one", "test")
    worker.chain._breakers["one"].revived()
    spoken, moved = Utterance(worker, Ears(), How()), asyncio.Event()
    spoken.moved = moved.set
    async with asyncio.TaskGroup() as tasks:
        trial = tasks.create_task(spoken.outcome())
        spoken.hear(TENTH)
        await moved.wait()
        assert spoken.engine == "one"
        assert not worker.chain.allows("one")
        trial.cancel()
    assert worker.chain.allows("one")
    await worker.close()


class Breaks(FakeEngine):
    """Fails while it is fed."""

    def ear(self, tenant=""):
        return self

    def recognizer(self, how):
        self.asked.append(how)
        return BreaksRecognizer(self, how)


class BreaksRecognizer(FakeRecognizer):
    def feed(self, pcm):
        raise OSError("told to break")


async def test_an_engine_that_fails_in_mid_speech_is_replaced_in_mid_speech():
    worker = worker_of(one=Breaks(), other=FakeEngine())
    spoken, moved = Utterance(worker, Ears(), How()), asyncio.Event()
    spoken.moved = moved.set
    async with asyncio.TaskGroup() as tasks:
        result = tasks.create_task(spoken.outcome())
        spoken.hear(TENTH)
        await moved.wait()
        assert spoken.engine == "other"
        spoken.hear(TENTH)
        spoken.end()
    assert result.result().text == "2 tenths"
    await worker.close()


async def test_what_nobody_can_hear_is_rejected():
    with pytest.raises(Rejected):
        await outcome(worker_of(fake=FakeEngine(languages=("en",))), language="fr")


class Full(FakeEngine):
    """Has no room for the first so many."""

    room_after = 2

    def ear(self, tenant=""):
        return self

    def recognizer(self, how):
        return FullRecognizer(self, how)


class FullRecognizer(FakeRecognizer):
    def finish(self):
        if self._engine.room_after:
            self._engine.room_after -= 1
            raise Overloaded("full")
        return super().finish()


async def test_it_waits_for_room():
    assert (await outcome(worker_of(fake=Full()))).text == "3 tenths"


async def test_it_does_not_wait_forever(monkeypatch):
    monkeypatch.setattr(utterance, "PATIENCE_S", 0.05)
    with pytest.raises(Overloaded):
        await outcome(worker_of(fake=Full()))


class Behind(FakeEngine):
    """Keeps all its audio for the end, and takes it in one piece at a time then."""

    def ear(self, tenant=""):
        return self

    def recognizer(self, how):
        return BehindRecognizer(self, how)


class BehindRecognizer(FakeRecognizer):
    kept, lags = 0, False

    def feed(self, pcm):
        if pcm:
            self.kept += 1
        else:
            super().feed(TENTH)
            self.kept -= 1
        self.lags = self.lags and self.kept > 0

    def finish(self):
        if self.kept:
            self.lags = True
            raise Overloaded("behind")
        return super().finish()


async def test_what_an_engine_has_kept_it_is_let_take_in_piece_by_piece():
    worker = worker_of(fake=Behind())
    spoken = Utterance(worker, Ears(), How())
    async with asyncio.TaskGroup() as tasks:
        result = tasks.create_task(spoken.outcome())
        for _ in range(3):
            spoken.hear(TENTH)
            await settled(spoken)
        spoken.end()
    assert result.result().text == "3 tenths"
    await worker.close()


class Slow(FakeEngine):
    """One thread, that is busy until it is let go on."""

    threads = 1

    def __init__(self):
        super().__init__(streaming=False)
        self.order = []

    def ear(self, tenant=""):
        return SlowEar(self, tenant)


class SlowEar:
    def __init__(self, engine, tenant):
        self.engine, self.tenant = engine, tenant

    def recognizer(self, how):
        recognizer = FakeRecognizer(self.engine, how)
        finish = recognizer.finish

        def noted():
            self.engine.order.append(self.tenant)
            return finish()

        recognizer.finish = noted
        return recognizer


async def test_a_tenant_with_one_utterance_does_not_wait_for_all_of_one_with_many():
    engine = Slow()
    worker = Worker(Chain({"fake": engine}), SILERO, max_waiting=9)
    engine.may_finish.clear()
    async with asyncio.TaskGroup() as tasks:
        for tenant in ["many"] * 5 + ["polite"]:
            spoken = Utterance(worker, Ears(tenant), How())
            spoken.hear(TENTH)
            spoken.end()
            tasks.create_task(spoken.outcome())
        while worker.queue_depth < 5:
            await asyncio.sleep(0)
        engine.may_finish.set()
    assert engine.order.index("polite") <= 2
    assert len(engine.order) == 6
    await worker.close()


async def test_cancelled_it_gives_everything_back():
    engine = FakeEngine()
    worker = worker_of(fake=engine)
    spoken = Utterance(worker, Ears(), How())
    async with asyncio.TaskGroup() as tasks:
        result = tasks.create_task(spoken.outcome())
        spoken.hear(TENTH)
        await settled(spoken)
        result.cancel()
    assert engine.closed == 1
    await worker.close()
