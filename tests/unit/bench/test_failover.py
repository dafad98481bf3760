"""What runs are judged by; the mesh and its caller are real in the bench itself."""

from __future__ import annotations

from bench.failover import Run, faults, row, summary

PAGE = """# HELP
gateway_failover_seconds_count{tier="tts"} 7.0
gateway_failover_seconds_count{tier="stt"} 2.0
gateway_failover_seconds_sum{tier="stt"} 0.03
"""
RUNS = [Run("a b", 0.2), Run("a b", 0.5, 1.0), Run("a b", 0.3), Run("a c", 0.4, 2.0)]


def test_words_that_are_not_heard_undisturbed_are_faults():
    assert faults(RUNS) == ["a c"]
    assert faults([*RUNS, Run("a c", 0.2)]) == []


def test_delays_are_compared_with_those_undisturbed():
    assert summary(RUNS, PAGE).splitlines() == [
        "undisturbed: 2, p50 300 ms, most 300 ms from the end of the sentence to its words",
        "lost: 2, p50 500 ms, most 500 ms",
        "later than undisturbed: 2, p50 200 ms, most 200 ms",
        "from failure to the next stream: 2, mean 15.0 ms",
    ]


def test_without_a_failover_there_is_no_mean():
    assert len(summary(RUNS, "").splitlines()) == 3
    assert row([]) == "none"
