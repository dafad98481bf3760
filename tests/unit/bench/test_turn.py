from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench import turn
from bench.fixed_engines import fixed_s
from bench.turns import Turn


def caller(*overheads_ms, strange=()):
    turns = []
    for ms in overheads_ms:
        first_s = 1.0 + fixed_s() + ms / 1000
        turns.append(Turn(1.0, [1.002, 1.05, 1.1, first_s]))
    return SimpleNamespace(turns=turns, strange=list(strange))


def test_overhead_is_what_engines_did_not_take():
    strict, told = turn.overheads_ms(caller(8.0).turns)
    assert strict == [pytest.approx(8.0)]
    assert told == [pytest.approx(6.0)]  # the event came 2 ms after the audio


def test_as_little_as_that_is_fine():
    assert turn.wrong([caller(9.0, 9.0, 39.0)], 3) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (caller(11.0, 11.0, 11.0), "p50 is 11.0 ms"),
        (caller(5.0, 5.0, 41.0), "p99 is 41.0 ms"),
        (caller(5.0, 5.0, 5.0, strange=["failed"]), "caller 0: failed"),
        (caller(5.0), "1 turns instead of 3"),
    ],
)
def test_what_must_not_be(given, told):
    assert told in " ".join(turn.wrong([given], 3))


def test_many_sessions_have_no_limits():
    assert turn.wrong([caller(50.0)] * (turn.GATED + 1), 1) == []


def test_the_report_names_every_stage():
    told = turn.report(caller(5.0).turns)
    for name in ("end of speech told", "transcript", "first text", "first audio", "overhead"):
        assert name in told
