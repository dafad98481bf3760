from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from gateway import notices
from gateway.endings import Closed
from gateway.messages import Messages
from gateway.notices import ABSENT, Batch, Close, Join, Left, Moved, Notice, Over, Said, Told
from gateway.realtime import signals as sig
from gateway.sessions.store import Meta, Outcome
from mesh import log as logs
from mesh.turns import Heard
from ovos.stt.v1 import stt_pb2 as pb
from tests.clock import Clock
from tests.fakes.store import MemoryStore, World

META = Meta("acme", "hash", "gpt-realtime", 4_000_000_000, "conv_1")


class Session:
    """A connection and what is kept of it: only what messages touch."""

    def __init__(self, epoch: int = 1, members: tuple[str, ...] = ()) -> None:
        self._members = members
        self.heard_of: list[tuple[str, Notice]] = []
        self.unheard: list[str] = []
        self.audience = SimpleNamespace(deaf=self.unheard.append)
        self.kept = SimpleNamespace(epoch=epoch, lose=self.lose, meta=META)
        self.heard = asyncio.Event()
        self.lost: Outcome | None = None
        self.ended: object = None
        self.taken: list[tuple[object, str]] = []

    def lose(self, outcome: Outcome) -> None:
        self.lost = outcome
        self.heard.set()

    def end(self, why: object) -> None:
        self.ended = why
        self.heard.set()

    def take(self, signal: object) -> None:
        self.taken.append((signal, logs.tenant_id.get()))
        self.heard.set()

    def hear(self, sender: str, notice: Notice) -> bool:
        self.heard_of.append((sender, notice))
        self.in_the_name_of = logs.tenant_id.get()
        return notice.sideband_id in self._members

    async def until_told(self) -> None:
        async with asyncio.timeout(30):
            await self.heard.wait()


class Sidebands:
    """Those of this process, and what goes to other ones."""

    def __init__(self) -> None:
        self.news: list[tuple[str, Notice]] = []
        self.gaps: list[str] = []
        self.sent: list[tuple[str, Notice]] = []
        self.relay = SimpleNamespace(put=lambda to, notice: self.sent.append((to, notice)))

    def told(self, sender: str, notice: Notice) -> None:
        self.news.append((sender, notice))

    def missed(self, sender: str) -> None:
        self.gaps.append(sender)


@pytest.fixture
def sidebands():
    return Sidebands()


@pytest.fixture
async def world():
    return World()


@asynccontextmanager
async def attending(world, **live):
    """A store of another gateway, while `gw_1` attends to what it is told."""
    store = MemoryStore(world, "gw_1")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Messages(live, Sidebands()).attend(store), name="attend")
        await asyncio.sleep(0)
        yield MemoryStore(world, "gw_2")
        task.cancel()


async def test_a_session_that_another_gateway_has_claimed_is_lost(world):
    session = Session(1)
    await MemoryStore(world, "gw_1").create("sess_1", META, b"state")
    async with attending(world, sess_1=session) as other:
        await other.claim("sess_1", "acme")
        await session.until_told()
    assert session.lost is Outcome.MOVED


async def test_a_claim_that_came_late_is_no_news(world):
    """The session moved away and came back."""
    back, next_one = Session(3), Session(1)
    async with attending(world, sess_1=back, sess_2=next_one) as other:
        for name in ("sess_1", "sess_2"):
            await other.tell("gw_1", notices.encode(Moved(name, 3)))
        await next_one.until_told()
    assert back.lost is None
    assert next_one.lost is Outcome.MOVED


async def test_a_session_can_be_closed_from_elsewhere(world):
    session = Session(1)
    async with attending(world, sess_1=session) as other:
        await other.tell("gw_1", notices.encode(Close("sess_1")))
        await session.until_told()
    assert isinstance(session.ended, Closed)
    assert session.lost is None


async def test_what_is_not_understood_stops_nothing(world, caplog):
    session = Session(1)
    async with attending(world, sess_1=session) as other:
        await other.tell("gw_1", b"\xc1 nonsense")
        await other.tell("gw_1", notices.encode({"kind": "dance", "session_id": "sess_1"}))
        await other.tell("gw_1", notices.encode(Close("sess_other")))
        await other.tell("gw_1", notices.encode(Close("sess_1")))
        await session.until_told()
    assert [r.message for r in caplog.records] == ["message not understood"] * 2


JOIN = Join("sess_1", "acme", "side_1")
SAID = Said("sess_1", "acme", "side_1", b"{}")


def test_what_a_sideband_says_goes_to_its_session(sidebands):
    session = Session(members=("side_1",))
    Messages({"sess_1": session}, sidebands).take(Batch("gw_2", 1, [JOIN, SAID]))
    assert session.heard_of == [("gw_2", JOIN), ("gw_2", SAID)]
    assert session.in_the_name_of == "acme", "who answers asks in its tenant's name"
    assert sidebands.sent == []


def test_a_gateway_that_looks_for_a_session_here_is_told_that_it_is_not(sidebands):
    absent = ("gw_2", Over("sess_1", ["side_1"], ABSENT))
    Messages({}, sidebands).take(Batch("gw_2", 1, [JOIN]))
    assert sidebands.sent == [absent]
    Messages({"sess_1": Session()}, sidebands).take(Batch("gw_2", 1, [SAID]))
    assert sidebands.sent == [absent] * 2


def test_who_leaves_is_told_nothing(sidebands):
    Messages({}, sidebands).take(Batch("gw_2", 1, [Left("sess_1", "acme", "side_1")]))
    assert sidebands.sent == []


def test_what_happens_in_a_session_goes_to_the_sidebands_here(sidebands):
    told, over = Told("sess_1", ["side_1"], b"{}"), Over("sess_1", ["side_1"], ABSENT)
    Messages({}, sidebands).take(Batch("gw_2", 1, [told, over]))
    assert sidebands.news == [("gw_2", told), ("gw_2", over)]


def test_who_has_missed_a_batch_knows(sidebands, caplog):
    session = Session(members=("side_1",))
    messages = Messages({"sess_1": session}, sidebands)
    for number in (7, 8, 9):  # it may have begun long ago
        messages.take(Batch("gw_2", number, []))
    messages.take(Batch("gw_3", 1, []))
    assert (sidebands.gaps, session.unheard) == ([], [])
    messages.take(Batch("gw_2", 11, [SAID]))
    assert (sidebands.gaps, session.unheard) == (["gw_2"], ["gw_2"])
    assert [r.message for r in caplog.records] == ["batches missed"]


async def test_a_mistake_of_ours_stops_nothing(world, caplog):
    class Bug(Session):
        def end(self, why: object) -> None:
            raise ZeroDivisionError

    session = Session(1)
    async with attending(world, sess_1=Bug(1), sess_2=session) as other:
        await other.tell("gw_1", notices.encode(Close("sess_1")))
        await other.tell("gw_1", notices.encode(Close("sess_2")))
        await session.until_told()
    assert [r.message for r in caplog.records] == ["message failed"]


DONE = pb.TurnResult(transcript=pb.Transcript(text="words", is_final=True)).SerializeToString()
HEARD = Heard("sess_1", "acme", "u1", DONE)


async def test_the_words_of_a_turn_go_to_its_session_in_the_name_of_its_tenant(world):
    session = Session()
    async with attending(world, sess_1=session) as other:
        await other.tell("gw_1", notices.encode(HEARD))
        await session.until_told()
    assert session.taken == [(sig.Transcribed("u1", "words", 0), "acme")]


async def test_the_words_of_a_session_that_moved_go_after_it(world):
    moved, elsewhere = MemoryStore(world, "gw_2"), Session()
    await moved.create("sess_1", META, b"state")
    async with attending(world) as other, asyncio.TaskGroup() as tasks:
        there = Messages({"sess_1": elsewhere}, Sidebands())
        attend = tasks.create_task(there.attend(moved), name="attend")
        await asyncio.sleep(0)
        await other.tell("gw_1", notices.encode(HEARD))
        await elsewhere.until_told()
        attend.cancel()
    assert [signal.text for signal, _ in elsewhere.taken] == ["words"]


async def test_words_wait_a_moment_for_a_client_that_comes_back(world):
    live: dict[str, Session] = {}
    store = MemoryStore(world, "gw_1")
    await store.create("sess_1", META, b"state")
    clock = Clock(asyncio.get_running_loop())
    session = Session()
    async with asyncio.TaskGroup() as tasks:
        attend = tasks.create_task(Messages(live, Sidebands()).attend(store), name="attend")
        await asyncio.sleep(0)
        await store.tell("gw_1", notices.encode(HEARD))
        for _ in range(5):
            await asyncio.sleep(0)
        live["sess_1"] = session
        async with asyncio.timeout(30):
            while not session.taken:
                clock.advance(0.1)
                await asyncio.sleep(0)
        attend.cancel()


def test_another_tenants_words_are_not_told(sidebands):
    session = Session()
    other = Heard("sess_1", "evil", "u1", DONE)
    assert not Messages({"sess_1": session}, sidebands).take(other)
    assert session.taken == []
