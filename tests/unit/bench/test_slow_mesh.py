"""The mesh whose models take their time, and two cancels in it: this takes seconds."""

from __future__ import annotations

from argparse import Namespace

from bench import cancel, slow_mesh


async def test_answers_are_cancelled_in_it():
    async with slow_mesh.running() as world:
        found, late_ms = await cancel.bench(world, Namespace(cancels=2, sessions=1, seed=1))
        assert len(found) == 2
        assert late_ms
        assert world.voice.at_work == set()
        assert world.llm.open == set()
