"""Whatever happened, a session that is made from what was kept of it is that session.

For many more examples, and the shortest that fails, see `test_invariants.py`.
"""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.realtime.codec import encode
from gateway.realtime.recordings import BYTES_PER_MS
from gateway.realtime.server_events import ItemRetrieved
from gateway.sessions.journal import Position
from tests.babble import Tape
from tests.core_state import state_of
from tests.moving_world import BEHIND, MovingWorld

BYTES = 1000
SESSIONS = 25  # each moves some ten times
LONG = settings().max_examples > 1000
FEW = settings(
    settings() if LONG else None,
    max_examples=settings().max_examples if LONG else SESSIONS,
    derandomize=not LONG,
    phases=tuple(Phase) if LONG else (Phase.generate,),
    deadline=None,
)
TAPES = st.binary(min_size=BYTES, max_size=BYTES)
MOMENTS = st.binary(min_size=64, max_size=64)


def wire(events):
    """What is retrieved may be without its audio."""
    return [
        event.item["id"] if isinstance(event, ItemRetrieved) else encode(event, "")
        for event in events
    ]


def check_state(world):
    """The session as another process finds it is the session as it is."""
    world.settle_journal()
    made = world.restored()
    assert not made.unsent
    assert state_of(made.session) == state_of(world.session)
    assert made.session.wire() == world.session.wire()
    live, again = world.journal, made.journal
    now = (live.seq, live.samples, live.played, live.next, world.ids.n)
    assert (again.seq, again.samples, again.played, again.next, made.ids.n) == now
    kept, heard = world.session.hearing.kept(), made.session.hearing.kept()
    if kept and heard:  # either may be too long; less than a millisecond may lie before it
        assert kept.endswith(heard)
        assert len(kept) - len(heard) < BYTES_PER_MS


def check_events(world, n):
    """Who names an event is told what came after it, and nothing else."""
    n = world.compacted + n % (world.journal.seq - world.compacted + 1)
    unsent = world.restored(Position(n)).unsent
    assert [number for number, _ in unsent] == list(range(n + 1, world.journal.seq + 1))
    assert wire(event for _, event in unsent) == wire(world.told[n:])
    behind = min(BEHIND, world.journal.seq - world.compacted)
    again = [event for _, event in world.restored(behind=True).unsent]
    assert wire(again) == wire(world.told[len(world.told) - behind :])


ACTS = {
    0: MovingWorld.compact,
    1: MovingWorld.move,
    2: MovingWorld.crash,
    3: check_state,
    5: MovingWorld.is_marked,
    6: MovingWorld.hears_from_aside,
}


@FEW
@given(data=TAPES, moments=MOMENTS)
def test_a_session_survives_its_processes(data, moments):
    world, n = MovingWorld(Tape(data)), 0
    while not world.tape.is_over:
        world.step()
        moment = moments[n % 64]
        n += 1
        if act := ACTS.get(moment % 32):
            act(world)
        elif moment % 32 == 4:
            check_events(world, moments[0])
    world.settle()


@FEW
@given(data=TAPES)
def test_the_same_events_come_again(data):
    world = MovingWorld(Tape(data))
    while not world.tape.is_over:
        world.step()
    check_state(world)
    again = world.restored(Position(0))
    assert wire(event for _, event in again.unsent) == wire(world.told)
