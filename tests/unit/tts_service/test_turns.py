"""Whose piece comes next on a model thread that all want."""

import asyncio

import pytest

from mesh.audio import n_samples
from mesh.chain import Chain
from mesh.threads import ModelThreads
from tests.fakes.tts import CHAR_SAMPLES, RATE_HZ, FakeEngine
from tts_service.engine import Manner
from tts_service.loudness import Levels
from tts_service.progress import Sound
from tts_service.speaker import SPARE_S, Handover, Speaker
from tts_service.worker import Worker

SLOWLY = Manner(speed=0.25)
PLENTY, LITTLE = 900, 20  # characters; spoken slowly more than a minute, and less than SPARE_S
assert 4 * LITTLE * CHAR_SAMPLES / RATE_HZ < SPARE_S


class Small(FakeEngine):
    most_chars = 20


def worker(threads: ModelThreads, **engines: FakeEngine) -> Worker:
    return Worker(Chain(engines), threads, Levels())


async def said(speaker, text: str, pause_ms: int = 0) -> list[Sound | Handover]:
    return [sound async for sound in speaker.speak(text, pause_ms)]


async def in_order(tier: Worker, fake: FakeEngine, *speaks: tuple) -> list[str]:
    """What the engine speaks, one after the other, when all wait for the one thread."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "now"))
        await asyncio.to_thread(fake.working.wait, 20)
        for n, (speaker, text) in enumerate(speaks):
            tasks.create_task(said(speaker, text))
            while tier.threads.waiting <= n:
                await asyncio.sleep(0)
        fake.release(1000)
    return fake.texts[-len(speaks) :]


@pytest.fixture
async def many():
    threads = ModelThreads("test", max_waiting=20)
    yield threads
    await threads.close()


async def test_the_first_piece_of_a_reply_comes_before_later_ones_of_others(many):
    fake = FakeEngine(hold=True)
    tier = worker(many, fake=fake)
    begun, new = (tier.speaker(Manner(), RATE_HZ) for _ in range(2))
    fake.release(1000)
    await said(begun, "long " * 200)
    while fake._released.acquire(blocking=False):
        pass
    assert await in_order(tier, fake, (begun, "fifth"), (new, "first")) == ["first", "fifth"]


async def test_of_later_pieces_the_one_whose_listener_runs_dry_first_comes_first(many):
    fake = FakeEngine(hold=True)
    tier = worker(many, fake=fake)
    rich, poor = (tier.speaker(Manner(), RATE_HZ) for _ in range(2))
    fake.release(2000)
    await said(rich, "x" * 900)
    await said(poor, "y" * 300)
    while fake._released.acquire(blocking=False):
        pass
    assert await in_order(tier, fake, (rich, "rich"), (poor, "poor")) == ["poor", "rich"]


async def test_a_tenant_with_many_replies_and_one_with_one_take_turns(many):
    fake = FakeEngine(hold=True)
    tier = worker(many, fake=fake)
    flood = [(tier.speaker(Manner(), RATE_HZ, "many"), f"many {n}") for n in range(9)]
    order = await in_order(tier, fake, *flood, (tier.speaker(Manner(), RATE_HZ, "one"), "one"))
    assert order.index("one") <= 1


async def test_a_long_segment_lets_anothers_first_piece_pass_between_its_parts(many):
    fake = Small(hold=True)
    tier = worker(many, fake=fake)
    long, new = (tier.speaker(Manner(), RATE_HZ) for _ in range(2))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(said(long, "one two three four five six seven eight"))
        await asyncio.to_thread(fake.working.wait, 20)
        tasks.create_task(said(new, "first"))
        while not tier.threads.waiting:
            await asyncio.sleep(0)
        fake.release(1000)
    assert fake.texts[1] == "first"


async def supplied(tier: Worker, fake: FakeEngine, n_chars: int) -> Speaker:
    """A reply whose listener has so much to hear. The engine is held again."""
    speaker = tier.speaker(SLOWLY, RATE_HZ)
    fake.release(n_chars)
    await said(speaker, "x" * n_chars)
    return speaker


@pytest.mark.parametrize(
    ("has", "order"),
    [(PLENTY, ["later", "first", "later"]), (LITTLE, ["later", "first"])],
)
async def test_a_part_that_is_not_needed_soon_gives_way_to_who_hears_nothing(many, has, order):
    fake = FakeEngine(hold=True)
    tier = worker(many, fake=fake)
    speaker = await supplied(tier, fake, has)
    async with asyncio.TaskGroup() as tasks:
        later = tasks.create_task(said(speaker, "later"))
        await asyncio.to_thread(fake.working.wait, 20)
        first = tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "first"))
        async with asyncio.timeout(20):
            while not tier.threads.waiting and fake.texts[-1] != "first":
                await asyncio.sleep(0)
        fake.release(1000)
    assert fake.texts[1:] == order
    for sounds, slowness in ((later.result(), 4), (first.result(), 1)):
        assert sum(n_samples(sound.pcm) for sound in sounds) == 5 * CHAR_SAMPLES * slowness


async def test_a_part_gives_way_once_only(many):
    fake = FakeEngine(hold=True)
    tier = worker(many, fake=fake)
    speaker = await supplied(tier, fake, PLENTY)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(said(speaker, "later"))
        await asyncio.to_thread(fake.working.wait, 20)
        tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "one"))
        async with asyncio.timeout(20):
            while fake.texts[-1] != "one":
                await asyncio.sleep(0)
            fake.release(3)
            while fake.texts[-1] != "later":
                await asyncio.sleep(0)
            tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "two"))
            while not tier.threads.waiting:
                await asyncio.sleep(0)
        fake.release(1000)
    assert fake.texts[1:] == ["later", "one", "later", "two"]


async def test_what_has_been_heard_does_not_give_way(many):
    fake = FakeEngine(hold=True)
    tier = worker(many, fake=fake)
    speaker = await supplied(tier, fake, PLENTY)
    later = speaker.speak("later")
    fake.release()
    await anext(later)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(said(tier.speaker(Manner(), RATE_HZ), "first"))
        async with asyncio.timeout(20):
            while not tier.threads.waiting:
                await asyncio.sleep(0)
        fake.release(1000)
        assert sum([n_samples(sound.pcm) async for sound in later]) == 4 * CHAR_SAMPLES * 4
    assert fake.texts[1:] == ["later", "first"]
