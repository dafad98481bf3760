"""The mesh of fixed delays, and a turn through it: the only test here that takes seconds."""

from __future__ import annotations

from bench import fixed_mesh, turn
from bench.fixed_engines import LLM_FIRST_S, STT_FINAL_S, fixed_s
from bench.turns import stages_ms


async def test_a_turn_through_it_takes_what_its_engines_take_and_more():
    async with fixed_mesh.running() as mesh:
        assert set(mesh.cpu_s()) == {"stt", "tts", "llm", "gateway", "clients"}
        [caller] = await turn.measure(mesh, 1, 1, think_s=0.1)
        assert mesh.log.read_text() == ""
    assert caller.strange == []
    [[_], [transcript_ms], [text_ms], [_]] = stages_ms(caller.turns)
    [one] = caller.turns
    assert transcript_ms / 1000 > STT_FINAL_S / 2  # the end of speech is told late
    assert text_ms / 1000 > LLM_FIRST_S / 2
    assert one.came_s[-1] - one.sent_s > fixed_s()
