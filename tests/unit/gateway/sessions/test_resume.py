"""Whatever happened, a session that is made from what was kept of it is that session."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.realtime.codec import encode
from gateway.realtime.server_events import ItemRetrieved
from gateway.sessions.journal import Position
from tests.babble import Tape
from tests.moving_world import MovingWorld

BYTES = 1200


def wire(events):
    return [encode(event, "") for event in events if not isinstance(event, ItemRetrieved)]


@settings(max_examples=150, derandomize=True, phases=(Phase.generate,), deadline=None)
@given(data=st.binary(min_size=BYTES, max_size=BYTES), moments=st.binary(min_size=64, max_size=64))
def test_a_session_survives_its_processes(data, moments):
    tape = Tape(data)
    world = MovingWorld(tape)
    n = 0
    while not tape.is_over:
        world.step()
        n += 1
        moment = moments[n % 64]
        if moment % 16 == 0:
            world.compact()
        if moment % 16 == 1:
            made = world.restored()
            assert made.journal.seq == world.journal.seq
            assert made.journal.samples == world.journal.samples
            assert made.session.wire() == world.session.wire()
            assert not made.unsent
            world.move()
    world.settle()


@settings(max_examples=100, derandomize=True, phases=(Phase.generate,), deadline=None)
@given(data=st.binary(min_size=BYTES, max_size=BYTES))
def test_the_same_events_come_again(data):
    tape = Tape(data)
    world = MovingWorld(tape)
    while not tape.is_over:
        world.step()
    again = world.restored(Position(0))
    assert wire(event for _, event in again.unsent) == wire(world.told)
