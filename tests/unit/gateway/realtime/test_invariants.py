"""Anything a client or a backend may send, in any order: the invariants of contract §3.6.

Each example is a session of some 350 steps (`tests/world.py`), read by a client's ledger
(`tests/ledger.py`). For many more of them, and the shortest that fails:

    pytest tests/unit/gateway/realtime/test_invariants.py --hypothesis-profile=long
"""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.babble import Tape
from tests.world import World

BYTES = 1500  # of one session: four for each step
SESSIONS = 600
LONG = settings().max_examples > SESSIONS


@settings(
    settings() if LONG else None,
    max_examples=settings().max_examples if LONG else SESSIONS,
    derandomize=not LONG,
    phases=tuple(Phase) if LONG else (Phase.generate,),
    deadline=None,
)
@given(data=st.binary(min_size=BYTES, max_size=BYTES))
def test_the_invariants_hold_whatever_is_sent(data):
    tape = Tape(data)
    world = World(tape)
    while not tape.is_over:
        world.step()
    world.settle()


def test_a_session_of_the_test_is_not_idle():
    """So that the test above cannot pass because nothing happens."""
    data = bytes((n * 167 + n // 7 * 13) % 256 for n in range(4 * BYTES))
    tape = Tape(data)
    world = World(tape)
    while not tape.is_over:
        world.step()
    assert world.steps > BYTES / 2
    assert world.rejected
    assert len(world.ledger.ended) > 5
