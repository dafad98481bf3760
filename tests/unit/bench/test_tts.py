from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.tts import Load, Report, bench


async def test_a_small_run_measures_all_there_is():
    report = await bench(Load(replies=3, streams=2, others=2, char_s=0.002, rounds=1, settle_s=0.5))
    for row in (report.alone, report.opener, report.flooded, report.greedy):
        assert len(row.took_ms) == 3
        assert all(took_ms > 0 for took_ms in row.took_ms)
    assert len(report.first_come.took_ms) == len(report.turns.took_ms) == 2
    text = report.text()
    for name in ("alone", "opener", "flooded", "greedy", "first come", "in turn"):
        assert name in text


def report_of(alone_ms: float, flooded_ms: float, late_ms: float = 0.1) -> Report:
    report = Report()
    report.alone.took_ms = [alone_ms] * 95 + [9 * alone_ms] * 4
    report.flooded.took_ms = [flooded_ms] * 99
    report.late.took_ms = [late_ms]
    return report


def test_a_polite_tenant_that_waits_too_long_is_wrong():
    assert report_of(5.0, 9.9).wrong() == []
    [wrong] = report_of(5.0, 10.1).wrong()
    assert "2.02 ×" in wrong
    [busy] = report_of(5.0, 10.1, late_ms=3.0).wrong()
    assert "too busy" in busy


def test_help_says_what_it_does():
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "bench.tts", "--help"]
    env = {"PYTHONPATH": f"{root}:{root / 'proto'}"}
    ran = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    assert "--streams" in ran.stdout
