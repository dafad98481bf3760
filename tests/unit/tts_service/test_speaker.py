import asyncio

import numpy as np
import pytest
from prometheus_client import REGISTRY

from mesh.audio import n_samples, to_float32
from mesh.breaker import FAILURES
from mesh.chain import Chain
from mesh.errors import Unavailable
from mesh.threads import ModelThreads
from tests.fakes.tts import CHAR_SAMPLES, LEVEL, RATE_HZ, FakeEngine
from tts_service.engine import CannotSay, Manner
from tts_service.loudness import TARGET_RMS, Levels
from tts_service.openers import Openers
from tts_service.progress import Sound
from tts_service.segment import CLAUSE_PAUSE_MS
from tts_service.speaker import Handover
from tts_service.worker import Worker


@pytest.fixture
async def threads():
    threads = ModelThreads("test", max_waiting=2)
    yield threads
    await threads.close()


def worker(threads: ModelThreads, **engines: FakeEngine) -> Worker:
    return Worker(Chain(engines), threads, Levels(), Openers(1_000_000))


async def said(speaker, text: str, pause_ms: int = 0) -> list[Sound | Handover]:
    return [sound async for sound in speaker.speak(text, pause_ms)]


def length(sounds: list[Sound | Handover]) -> int:
    return sum(n_samples(s.pcm) for s in sounds if isinstance(s, Sound))


async def test_text_becomes_pcm_at_the_rate_asked(threads):
    speaker = worker(threads, fake=FakeEngine()).speaker(Manner(), RATE_HZ // 3)
    assert length(await said(speaker, "Hello")) == pytest.approx(5 * CHAR_SAMPLES / 3, abs=2)


async def test_marks_are_not_spoken_and_words_are_placed_in_the_text_as_written(threads):
    fake = FakeEngine()
    speaker = worker(threads, fake=fake).speaker(Manner(), RATE_HZ)
    sounds = await said(speaker, "# **Big** news")
    assert fake.texts == ["Big news"]
    words = [word for s in sounds for word in s.words]
    assert ["# **Big** news"[w.start_char : w.end_char] for w in words] == ["Big", "news"]
    assert [w.start_sample for w in words] == [0, 4 * CHAR_SAMPLES]


async def test_a_pause_follows_and_is_shorter_at_speed(threads):
    speaker = worker(threads, fake=FakeEngine()).speaker(Manner(speed=2), RATE_HZ)
    sounds = await said(speaker, "Hello", pause_ms=300)
    assert sounds[-1].pcm == bytes(2 * RATE_HZ * 150 // 1000)


async def test_text_without_words_makes_no_sound(threads):
    fake = FakeEngine()
    assert await said(worker(threads, fake=fake).speaker(Manner(), RATE_HZ), "🎉\n", 300) == []
    assert fake.texts == []


async def test_a_segment_that_fails_at_its_start_is_spoken_by_the_next_engine(threads):
    bad, good = FakeEngine(fails_at=0), FakeEngine()
    speaker = worker(threads, bad=bad, good=good).speaker(Manner(), RATE_HZ)
    assert speaker.engine == "bad"
    first, *rest = await said(speaker, "Hello there")
    assert first == Handover("bad", "good", "RuntimeError")
    assert good.texts == ["Hello there"]
    assert length(rest) == 11 * CHAR_SAMPLES


async def test_a_segment_that_fails_in_the_middle_goes_on_at_the_next_word(threads):
    good = FakeEngine()
    speaker = worker(threads, bad=FakeEngine(fails_at=8), good=good).speaker(Manner(), RATE_HZ)
    sounds = await said(speaker, "**Hello** there my friend")
    assert good.texts == ["my friend"]
    words = [word for s in sounds if isinstance(s, Sound) for word in s.words]
    text = "**Hello** there my friend"
    assert [text[w.start_char : w.end_char] for w in words] == ["Hello", "there", "my", "friend"]
    assert [w.start_sample // CHAR_SAMPLES for w in words] == [0, 6, 8, 11]


async def test_an_engine_that_failed_does_not_speak_again_in_the_same_reply(threads):
    bad, good = FakeEngine(fails_at=0), FakeEngine()
    speaker = worker(threads, bad=bad, good=good).speaker(Manner(), RATE_HZ)
    await said(speaker, "One.")
    assert not [s for s in await said(speaker, "Two.") if isinstance(s, Handover)]
    assert bad.texts == ["One."]
    assert good.texts == ["One.", "Two."]
    assert speaker.engine == "good"


def resting(tier: Worker, name: str) -> None:
    for _ in range(FAILURES):
        tier.chain.failed(name, "test")


async def test_a_reply_that_begins_while_the_best_engine_rests_says_so_once(threads):
    best, good = FakeEngine(), FakeEngine()
    tier = worker(threads, best=best, good=good)
    resting(tier, "best")
    speaker = tier.speaker(Manner(), RATE_HZ)
    assert speaker.engine == "good"
    first, *rest = await said(speaker, "Hello there")
    assert first == Handover("best", "good", "it rests after failures")
    rest += await said(speaker, "And more.")
    assert not [sound for sound in rest if isinstance(sound, Handover)]
    assert best.texts == []


async def test_an_engine_that_comes_to_rest_during_a_reply_is_told_of(threads):
    tier = worker(threads, best=FakeEngine(), good=FakeEngine())
    speaker = tier.speaker(Manner(), RATE_HZ)
    assert not [s for s in await said(speaker, "One.") if isinstance(s, Handover)]
    resting(tier, "best")
    assert (await said(speaker, "Two."))[0] == Handover("best", "good", "it rests after failures")


class Monoglot(FakeEngine):
    def voice_for(self, manner: Manner) -> str:
        if manner.language:
            raise CannotSay("no voice speaks it")
        return "hum"


async def test_an_engine_that_lacks_the_language_is_not_a_better_one(threads):
    tier = worker(threads, best=Monoglot(), good=FakeEngine())
    speaker = tier.speaker(Manner(language="en-GB"), RATE_HZ)
    assert speaker.engine == "good"
    assert all(isinstance(sound, Sound) for sound in await said(speaker, "Hello there"))


async def test_after_a_rest_one_reply_tries_the_engine_and_the_next_goes_on(threads):
    best, good = FakeEngine(hold=True), FakeEngine()
    tier = worker(threads, best=best, good=good)
    resting(tier, "best")
    tier.chain._breakers["best"].revived()
    trial = tier.speaker(Manner(), RATE_HZ).speak("One.")
    best.release()
    await anext(trial)
    async with asyncio.TaskGroup() as tasks:
        other = tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "Two."))
        while not tier.threads.waiting:
            await asyncio.sleep(0)
        best.release(100)
        assert [sound async for sound in trial]
    assert (best.texts, good.texts) == (["One."], ["Two."])
    assert isinstance(other.result()[0], Handover)
    assert tier.chain.serving[0] == "best"


async def test_a_trial_that_is_cut_short_leaves_its_place_to_the_next(threads):
    tier = worker(threads, best=FakeEngine(), good=FakeEngine())
    resting(tier, "best")
    tier.chain._breakers["best"].revived()
    trial = tier.speaker(Manner(), RATE_HZ).speak("One.")
    await anext(trial)
    await trial.aclose()
    assert tier.chain.allows("best")


async def test_a_reply_that_nobody_can_speak_is_unavailable(threads):
    engines = {"bad": FakeEngine(fails_at=0), "worse": FakeEngine(fails_at=0)}
    with pytest.raises(Unavailable):
        await said(worker(threads, **engines).speaker(Manner(), RATE_HZ), "Hello")


async def test_a_language_an_engine_lacks_is_no_failure(threads):
    fake = FakeEngine()
    speaker = worker(threads, fake=fake).speaker(Manner(language="xx-YY"), RATE_HZ)
    assert await said(speaker, "Hello", 300) == []
    assert await said(worker(threads, fake=fake).speaker(Manner(), RATE_HZ), "Hello")


async def test_closing_frees_the_model_thread_in_the_middle_of_a_piece(threads):
    fake = FakeEngine(hold=True)
    sounds = worker(threads, fake=fake).speaker(Manner(), RATE_HZ).speak("Hello there")
    fake.release()
    await anext(sounds)
    await asyncio.to_thread(fake.working.wait, 5)
    await sounds.aclose()
    assert await asyncio.to_thread(fake.idle.wait, 5)


async def test_a_quiet_engine_is_brought_to_the_common_loudness(threads):
    tier = worker(threads, fake=FakeEngine())
    [engine] = [engine for _, engine in tier.chain.candidates()]
    tier.levels.of(engine).hear(np.full(RATE_HZ, TARGET_RMS / 2, np.float32), RATE_HZ)
    sounds = await said(tier.speaker(Manner(), RATE_HZ), "Hello")
    assert to_float32(sounds[0].pcm).max() == pytest.approx(2 * LEVEL, rel=0.01)


class Small(FakeEngine):
    most_chars = 20


async def test_a_long_segment_is_given_in_parts_with_the_pauses_its_marks_ask_for(threads):
    fake = Small()
    text = "First of all, then *this* and at last that."
    sounds = await said(worker(threads, fake=fake).speaker(Manner(speed=2), RATE_HZ), text)
    assert fake.texts == ["First of all,", "then this and at last that."]
    words = [word for sound in sounds for word in sound.words]
    assert [text[w.start_char : w.end_char] for w in words] == text.replace("*", "").split()
    starts = [word.start_sample for word in words]
    assert starts == sorted(set(starts))
    n_spoken, pause = sum(map(len, fake.texts)), CLAUSE_PAUSE_MS * RATE_HZ // 1000
    assert length(sounds) == (n_spoken * CHAR_SAMPLES + pause) // 2


async def test_an_opener_is_made_once_and_comes_from_memory_then(threads):
    fake = FakeEngine()
    tier = worker(threads, fake=fake)
    first = await said(tier.speaker(Manner(), RATE_HZ, "acme"), "*Sure* thing.", 300)
    again = await said(tier.speaker(Manner(), RATE_HZ, "acme"), "*Sure* thing.", 300)
    assert fake.texts == ["Sure thing."]
    assert b"".join(s.pcm for s in again) == b"".join(s.pcm for s in first)
    assert [w for s in again for w in s.words] == [w for s in first for w in s.words]


async def test_what_depends_on_tenant_voice_speed_or_rate_is_made_anew(threads):
    fake = FakeEngine()
    tier = worker(threads, fake=fake)
    for manner, rate_hz, tenant in (
        (Manner(), RATE_HZ, "acme"),
        (Manner(), RATE_HZ, "other"),
        (Manner("hum2"), RATE_HZ, "acme"),
        (Manner(speed=2), RATE_HZ, "acme"),
        (Manner(), RATE_HZ // 2, "acme"),
    ):
        await said(tier.speaker(manner, rate_hz, tenant), "Sure.")
    assert len(fake.texts) == 5


async def test_only_what_begins_a_reply_is_remembered_also_after_an_interruption(threads):
    fake = FakeEngine()
    tier = worker(threads, fake=fake)
    for _ in range(2):
        speaker = tier.speaker(Manner(), RATE_HZ)
        await said(speaker, "One.")
        await said(speaker, "Two.")
        speaker.interrupted()
        await said(speaker, "Three.")
    assert fake.texts == ["One.", "Two.", "Three.", "Two."]


async def test_an_opener_that_was_not_spoken_to_its_end_is_not_remembered(threads):
    bad, good = FakeEngine(fails_at=3), FakeEngine()
    tier = worker(threads, bad=bad, good=good)
    await said(tier.speaker(Manner(), RATE_HZ), "Oh, sure.")
    cut = tier.speaker(Manner(), RATE_HZ).speak("Oh, sure.")
    await anext(cut)
    await cut.aclose()
    assert tier.openers.n_bytes == 0


async def test_an_opener_from_memory_says_nothing_about_the_engine(threads):
    tier = worker(threads, fake=FakeEngine())
    await said(tier.speaker(Manner(), RATE_HZ), "Sure.")
    resting(tier, "fake")
    tier.chain._breakers["fake"].revived()
    await said(tier.speaker(Manner(), RATE_HZ), "Sure.")
    assert tier.chain.allows("fake")  # the trial is still to be made


async def test_what_waits_is_dropped_at_once_when_it_is_not_wanted_any_more(threads):
    fake = FakeEngine(hold=True)
    tier = worker(threads, fake=fake)
    before = cancels()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "now"))
        await asyncio.to_thread(fake.working.wait, 20)
        waits = tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "never"))
        while not tier.threads.waiting:
            await asyncio.sleep(0)
        waits.cancel()
        await asyncio.wait({waits})
        async with asyncio.timeout(20):
            while tier.threads.waiting:
                await asyncio.sleep(0)
        assert cancels() == before + 1
        fake.release(100)
    assert fake.texts == ["now"]


def cancels() -> float:
    return REGISTRY.get_sample_value("tts_cancel_seconds_count")
