"""The mesh of fixed delays, and what is measured with it: the only test here that takes seconds."""

from __future__ import annotations

from bench import fixed_mesh, pacing, turn
from bench.fixed_engines import fixed_s
from bench.turns import STAGES


async def test_turns_and_replies_go_through_it_and_take_what_its_engines_take(monkeypatch):
    monkeypatch.setattr(pacing, "START_S", 0.1)
    monkeypatch.setattr(pacing, "SETTLE_S", 0.1)
    async with fixed_mesh.running() as mesh:
        assert set(mesh.cpu_s()) == {"stt", "tts", "llm", "gateway", "clients"}
        [caller] = await turn.measure(mesh, 1, 1, think_s=0.1)
        replies, used_s = await pacing.measure(mesh, 2, seconds=2.0)
    assert caller.strange == []
    [one] = caller.turns
    assert len(one.came_s) == len(STAGES)
    assert one.came_s[-1] - one.sent_s > fixed_s()
    assert all(reply.came_s for reply in replies)
    assert set(used_s) == set(mesh.pids) | {"clients"}
