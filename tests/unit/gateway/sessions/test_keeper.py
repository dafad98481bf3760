from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.sessions import keeper as module
from gateway.sessions import kept as kept_module
from gateway.sessions.journal import Opened
from gateway.sessions.keeper import PATIENCE_S, Keeper
from gateway.sessions.kept import Lost
from gateway.sessions.store import Outcome
from tests.fakes.store import MemoryStore, World
from tests.unit.gateway.sessions.keeping import WAIT_S, Gated, Session
from tests.unit.gateway.sessions.telling import META

FACT = do.ItemDropped("item_1")


@pytest.fixture
async def world():
    return World()


@pytest.fixture
async def store(world):
    return Gated(world)


@pytest.fixture
async def keeper(store):
    """One that runs and has heard of its store."""
    keeper = Keeper(store, ttl_s=30.0)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeper.run(), name="keeper")
        await until(lambda: keeper.is_well)
        yield keeper
        store.gate.set()
        task.cancel()


@pytest.fixture
async def told(keeper, store):
    return await begin(keeper, store)


async def begin(keeper, store, session_id="sess_1"):
    session = Session(keeper, session_id)
    await store.create(session_id, META, session.state)
    session.give(Opened())
    await session.until_kept()
    return session


async def until(holds):
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def waiting(session):
    """Somebody waits until what was told last is kept, in the body and no longer."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(session.until_kept(), name="until")
        await asyncio.sleep(0)
        assert not task.done()
        yield task


def entries(world, session_id="sess_1"):
    return world.sessions[session_id].entries


async def test_nothing_is_heard_of_before_it_is_kept(told, store, world):
    store.gate.clear()
    n = len(entries(world))
    told.user("Hello.")
    told.kept.fact(FACT, told.after)
    async with waiting(told):
        await until(lambda: store.n_asked > len(store.batches))
        assert (len(entries(world)), told.facts) == (n, [])
        store.gate.set()
    assert (len(entries(world)), told.facts) == (n + 1, [FACT])


async def test_what_comes_while_a_write_is_under_way_goes_together(keeper, store, world):
    sessions = [await begin(keeper, store, f"sess_{n}") for n in range(20)]
    store.gate.clear()
    store.batches.clear()
    for session in sessions:
        session.user("Hello.")
        await asyncio.sleep(0)
    for session in sessions:
        session.user("Again.")
    store.gate.set()
    for session in sessions:
        await session.until_kept()
    assert len(store.batches) <= 2
    assert {len(entries(world, f"sess_{n}")) for n in range(20)} == {3}


async def test_what_can_wait_is_written_soon_all_the_same(told, world):
    rid = told.respond()
    await told.until_kept()
    n = len(entries(world))
    told.give(sig.ReplyTiming(rid, ((3, 250),)))
    await until(lambda: len(entries(world)) == n + 1)


async def test_marks_are_written_and_often(told, world):
    told.kept.was_sent(1)
    await until(lambda: world.marks.get(("gw_1", "sess_1"), (0, b""))[1] == told.kept.mark())
    told.append(bytes(960))  # the first is an entry, whose mark follows with the next
    await told.until_kept()
    await until(lambda: told.journal.is_clean)
    told.append(bytes(960))
    await until(lambda: world.marks["gw_1", "sess_1"][1] == told.kept.mark())
    assert told.journal.samples == 960


async def test_sessions_live_while_their_process_does(told, store, world):
    before = world.live["sess_1"]
    keeper = Keeper(store, ttl_s=0.03)
    keeper.add(told.kept)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeper.run(), name="keeper")
        await until(lambda: world.live["sess_1"] > before)
        task.cancel()


async def test_a_session_that_moved_is_lost(told, world):
    other = MemoryStore(world, "gw_2")
    assert await other.claim("sess_1", "acme") is not None
    n = len(entries(world))
    told.user("Hello.")
    told.kept.fact(FACT, told.after)
    with pytest.raises(Lost):
        await told.until_kept()
    assert (told.lost, told.facts, len(entries(world))) == ([Outcome.MOVED], [], n)


async def test_a_session_that_was_ended_elsewhere_is_lost(told, store, world):
    await store.close("sess_1", 1)
    told.user("Hello.")
    with pytest.raises(Lost):
        await told.until_kept()
    assert told.lost == [Outcome.GONE]
    assert "sess_1" not in world.sessions


async def test_after_entries_that_never_came_a_snapshot_follows(told, world):
    entries(world).clear()
    rid = told.respond()
    await asyncio.sleep(0)
    await until(lambda: told.kept._needs_state)
    assert entries(world) == []
    told.give(sig.ReplyEnded(rid, sig.Tokens()))
    await told.until_kept()
    assert world.sessions["sess_1"].base == told.journal.next


async def test_a_long_journal_is_replaced_when_the_client_knows_all(told, world, monkeypatch):
    monkeypatch.setattr(kept_module, "STATE_BYTES", 1000)
    told.user("x" * 2000)
    await told.until_kept()
    assert entries(world)
    told.kept.was_sent(told.journal.seq)
    await until(lambda: not entries(world))
    assert world.sessions["sess_1"].base == told.journal.next


# Without the store.


def is_degraded():
    return REGISTRY.get_sample_value("gateway_degraded") == 1


async def test_without_a_store_sessions_go_on(told, keeper, store, caplog):
    store.is_away = True
    told.user("Hello.")
    told.kept.fact(FACT, told.after)
    await told.until_kept()
    assert told.facts == [FACT]
    assert not keeper.is_well
    assert is_degraded()
    told.user("And on.")
    await told.until_kept()
    assert [r.message for r in caplog.records] == ["store away"]


async def test_an_idle_process_notices_that_the_store_is_away(told, keeper, store):
    store.is_away = True
    async with asyncio.timeout(30):
        await until(lambda: not keeper.is_well)
    assert told.kept


async def test_once_it_is_back_everything_is_written(told, keeper, store, world, caplog):
    other = await begin(keeper, store, "sess_2")
    store.is_away = True
    n = len(entries(world))
    for number in range(5):
        told.user(f"Number {number}.")
        await told.until_kept()
    other.user("Hello.")
    await other.until_kept()
    store.is_away = False
    await until(lambda: len(entries(world)) == n + 5)
    await until(lambda: len(entries(world, "sess_2")) == 2)
    await until(lambda: keeper.is_well)
    assert not is_degraded()
    assert [r.message for r in caplog.records] == ["store away", "store back"]
    store.gate.clear()
    told.user("It is waited for again.")
    async with waiting(told):
        store.gate.set()


async def test_a_session_that_the_store_lost_begins_anew_with_a_higher_epoch(told, store, world):
    store.is_away = True
    told.user("Hello.")
    await told.until_kept()
    world.sessions.clear()
    store.is_away = False
    await until(lambda: "sess_1" in world.sessions)
    await until(lambda: told.kept.epoch == 2)
    kept = world.sessions["sess_1"]
    assert (kept.epoch, kept.owner) == (2, "gw_1")
    told.user("And on.")
    await told.until_kept()
    assert entries(world)
    assert kept.base + len(kept.entries) == told.journal.next
    assert told.lost == []


async def test_of_a_session_that_runs_the_store_is_told_again_when_it_is_quiet(told, store, world):
    rid = told.respond()
    await told.until_kept()
    store.is_away = True
    told.give(sig.ReplyText(rid, "Hi "))
    await told.until_kept()
    world.sessions.clear()
    store.is_away = False
    told.give(sig.ReplyText(rid, "there."))
    await told.until_kept()
    assert "sess_1" not in world.sessions
    told.give(sig.ReplyEnded(rid, sig.Tokens()))
    await told.until_kept()
    await until(lambda: "sess_1" in world.sessions)


async def test_a_session_that_another_gateway_took_meanwhile_is_lost(told, store, world):
    """The store lost it, and its id was given to somebody else."""
    store.is_away = True
    told.user("Hello.")
    await told.until_kept()
    world.sessions.clear()
    await MemoryStore(world, "gw_2").create("sess_1", META, b"other")
    store.is_away = False
    await until(lambda: told.lost)
    assert told.lost == [Outcome.MOVED]
    assert world.sessions["sess_1"].state == b"other"


async def test_a_write_that_takes_long_holds_nobody_up(told, keeper, store, world, caplog):
    n = len(entries(world))
    store.gate.clear()
    told.user("Hello.")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await told.until_kept()
    assert loop.time() - began_s > PATIENCE_S / 2
    for number in range(5):  # as long as it takes
        told.user(f"Number {number}.")
        await told.until_kept()
        await asyncio.sleep(0.1)
    assert not keeper.is_well
    store.gate.set()
    await until(lambda: len(entries(world)) == n + 6)
    await until(lambda: keeper.is_well)
    assert [r.message for r in caplog.records] == ["store away", "store back"]


# A process that slept.


class Clock:
    def __init__(self) -> None:
        self.slept_s = 0.0
        self._time = module.time.monotonic

    def __call__(self) -> float:
        return self._time() + self.slept_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


async def test_a_process_that_slept_asks_whether_its_sessions_are_its_own(told, keeper, clock):
    before = keeper.doubts
    clock.slept_s += 60
    assert keeper.doubts == before + 1
    assert keeper.doubts == before + 1, "once"
    await told.kept.until(0)
    assert told.lost == []
    assert told.kept.doubts == keeper.doubts


async def test_a_process_that_slept_says_nothing_of_sessions_that_moved(told, world, clock):
    assert await MemoryStore(world, "gw_2").claim("sess_1", "acme") is not None
    clock.slept_s += 60
    with pytest.raises(Lost):
        await told.kept.until(0)
    assert told.lost == [Outcome.MOVED]


async def test_the_watch_notices_sleep_as_well(told, keeper, clock, caplog):
    before = keeper.doubts
    clock.slept_s += 60
    await until(lambda: keeper._doubts > before)
    assert "process slept" in [r.message for r in caplog.records]
    assert told.kept.doubts == before


# The end.


async def test_the_last_of_a_session_is_written_before_it_is_left(told, keeper, world):
    told.append(b"\x01\x00" * 480)
    told.give(sig.SpeechStarted("u1", 0))
    told.append(b"\x02\x00" * 480)
    await keeper.leave(told.kept)
    assert len(entries(world)) == told.journal.next
    assert world.marks["gw_1", "sess_1"] == (1, told.kept.mark())


@pytest.mark.parametrize("how", ["is_away", "gate"])
async def test_a_store_that_does_not_answer_keeps_nobody(
    told, keeper, store, caplog, how, monkeypatch
):
    monkeypatch.setattr(module, "_LAST_S", 0.05)
    if how == "gate":
        store.gate.clear()
    else:
        store.is_away = True
    told.user("Hello.")
    async with asyncio.timeout(WAIT_S):
        await keeper.leave(told.kept)
    assert "session left unwritten" in [r.message for r in caplog.records]


async def test_many_that_leave_at_once_are_written_together(keeper, store, world):
    n = 5 * module._ALONE
    sessions = [await begin(keeper, store, f"sess_{n}") for n in range(n)]
    for session in sessions:
        session.append(b"\x01\x00" * 480)
    store.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        for session in sessions:
            tasks.create_task(keeper.leave(session.kept), name="leave")
        await asyncio.sleep(0)
        before = store.n_asked
        store.gate.set()
    assert store.n_asked - before < 3 * module._ALONE
    for session in sessions:
        assert len(entries(world, session.kept.session_id)) == session.journal.next
        assert world.marks["gw_1", session.kept.session_id] == (1, session.kept.mark())


async def test_who_has_left_is_not_said_to_live(told, store, world):
    keeper = Keeper(store, ttl_s=0.03)
    other = Session(keeper, "sess_2")
    keeper.add(told.kept)
    keeper.drop(told.kept)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeper.run(), name="keeper")
        await until(lambda: "sess_2" in world.live)
        before = world.live["sess_1"]
        beaten = world.live["sess_2"]
        await until(lambda: world.live["sess_2"] > beaten)
        task.cancel()
    assert world.live["sess_1"] == before
    assert other.lost == []
