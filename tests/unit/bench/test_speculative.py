from __future__ import annotations

import pytest

from bench.speculative import Load, Result, line, measure


@pytest.mark.parametrize("wrong", [0.0, 1.0])
async def test_whatever_was_guessed_the_answer_is_the_one_that_is_due(wrong):
    load = Load(4, wrong, look_s=0.02, silence_s=0.1, pace=0.1)
    usual = await measure(load, speculates=False)
    early = await measure(load, speculates=True)
    assert (usual.faults, early.faults) == (0, 0)
    assert (len(usual.waits_ms), usual.asked) == (4, 4)
    assert len(early.waits_ms) == 4
    assert early.asked >= 4


def test_a_line_says_what_was_measured():
    assert line("asked early", Result([100.0, 200.0, 300.0, 400.0], asked=6)) == (
        "asked early: 4 turns, end of speech to first audio p50 300 ms, p95 400 ms; "
        "1.50 questions a turn"
    )
