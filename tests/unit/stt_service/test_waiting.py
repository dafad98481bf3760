import msgspec
import pytest

from mesh.turns import OVER, QUEUED, SIZES, STREAM, Heard, State, audio_key
from stt_service.waiting import GROUP
from tests.unit.stt_service.queue import TENTH, done, queue_at

INBOX = "ovos:gw:g1:in"


@pytest.fixture
async def queue(streams_url):
    async with queue_at(streams_url) as queue:
        yield queue


async def test_a_worker_takes_a_turn_with_all_that_it_needs(queue):
    await queue.put(session_id="sess_1", utterance="u1", inbox=INBOX)
    taken = await (await queue.worker()).take()
    assert (taken.tenant, taken.id, taken.attempt, taken.is_late) == ("acme", "t1", 1, False)
    assert (taken.session_id, taken.utterance, taken.inbox) == ("sess_1", "u1", INBOX)
    assert taken.config.audio_format.sample_rate_hz == 24_000
    assert (await queue.turns.look("acme", "t1")).attempts == 1


async def test_a_turn_has_one_worker(queue):
    await queue.put()
    first, second = await queue.worker("w1"), await queue.worker("w2")
    assert await first.take() is not None
    assert await second.take() is None
    assert await second.take_over() is None, "the first may be at work"


async def test_audio_comes_in_its_order_however_many_pieces_there_are(queue):
    pieces = [b"%c\0" % n for n in range(20)]
    for n, piece in enumerate(pieces):
        await queue.turns.add("acme", "t1", n, piece)
    await queue.put(audio=pieces[0])  # it is there already
    worker = await queue.worker()
    taken = await worker.take()
    assert [piece async for piece in worker.audio(taken)] == pieces


async def test_the_result_is_kept_and_told_and_the_rest_is_gone(queue):
    await queue.put(session_id="sess_1", utterance="u1", inbox=INBOX)
    worker = await queue.worker()
    assert await worker.finish(await worker.take(), done())
    assert await queue.turns.look("acme", "t1") == State(OVER, 1, done().SerializeToString())
    [(_, fields)] = await queue.redis.xrange(INBOX)
    heard = msgspec.msgpack.decode(fields[b"message"], type=Heard)
    assert heard == Heard("sess_1", "acme", "u1", done().SerializeToString())
    assert await queue.redis.xlen(STREAM) == 0
    assert await queue.redis.exists(SIZES, audio_key("acme/t1")) == 0


async def test_a_turn_of_a_worker_that_died_is_taken_over(queue):
    await queue.put()
    dead, other = await queue.worker("w1"), await queue.worker("w2", idle_ms=0)
    await dead.take()
    taken = await other.take_over()
    assert (taken.id, taken.attempt) == ("t1", 2)


async def test_who_says_that_it_works_is_not_taken_for_dead(queue):
    await queue.put()
    worker = await queue.worker()
    taken = await worker.take()

    async def idle_ms() -> int:
        [entry] = await queue.redis.xpending_range(STREAM, GROUP, "-", "+", 1)
        return entry["time_since_delivered"]

    while (before_ms := await idle_ms()) < 50:
        pass
    assert await worker.stay(taken)
    assert await idle_ms() < before_ms


async def test_the_first_result_counts(queue):
    await queue.put()
    slow, other = await queue.worker("w1"), await queue.worker("w2", idle_ms=0)
    lost = await slow.take()
    assert await slow.stay(lost), "it is its own so far"
    taken = await other.take_over()
    assert not await slow.stay(lost)
    assert await other.stay(taken)
    assert await other.finish(taken, done("first"))
    assert not await slow.finish(lost, done("second"))
    assert (await queue.over()).transcript.text == "first"


async def test_a_worker_does_not_take_over_what_it_works_on(queue):
    await queue.put()
    worker = await queue.worker(idle_ms=0)
    await worker.take()
    assert await worker.take_over() is None


@pytest.mark.parametrize(("is_attempt", "attempt"), [(True, 2), (False, 1)])
async def test_what_is_given_back_can_be_taken_at_once(queue, is_attempt, attempt):
    await queue.put()
    first, second = await queue.worker("w1"), await queue.worker("w2")
    await first.give_back(await first.take(), is_attempt=is_attempt)
    assert (await queue.turns.look("acme", "t1")).stage == QUEUED
    taken = await second.take()
    assert taken.attempt == attempt
    assert [p async for p in second.audio(taken)] == [TENTH]


async def test_giving_back_twice_queues_once(queue):
    await queue.put()
    worker = await queue.worker()
    taken = await worker.take()
    for _ in range(2):
        await worker.give_back(taken, is_attempt=False)
    assert await queue.redis.xlen(STREAM) == 1


async def test_a_turn_that_waited_for_too_long_says_so(queue):
    await queue.put(patience_s=0.001)
    worker = await queue.worker()
    while (await queue.turns.look("acme", "t1")).stage != OVER:
        pass
    assert (await worker.take()).is_late


async def test_an_entry_whose_turn_is_forgotten_is_taken_out(queue):
    await queue.redis.xadd(STREAM, {"tenant": "acme", "turn": "gone"})
    assert await (await queue.worker()).take() is None
    assert await queue.redis.xlen(STREAM) == 0


async def test_on_a_cluster_it_is_the_same(cluster_fleet):
    async with queue_at(cluster_fleet.url) as queue:
        await queue.put("t1", session_id="sess_1", utterance="u1", inbox=INBOX)
        first, second = await queue.worker("w1"), await queue.worker("w2", idle_ms=0)
        lost = await first.take()
        assert await first.stay(lost)
        taken = await second.take_over()
        assert [piece async for piece in second.audio(taken)] == [TENTH]
        await second.give_back(taken, is_attempt=True)
        again = await first.take()
        assert again.attempt == 3
        assert await first.finish(again, done())
        assert (await queue.over()).transcript.text == "words"
        assert await queue.redis.xlen(INBOX) == 1
