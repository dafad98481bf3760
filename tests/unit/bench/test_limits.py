from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import limits
from bench.limits import LIMIT, Load, Report, Row, bench


def test_a_small_run_measures_all_there_is(streams_url):
    report = bench(Load(streams_url, seconds=0.5, rate=80, tenants=4))
    assert len(report.checks.took_ms) == len(report.pings.took_ms) == 40
    assert report.checks.per_s == 80
    assert report.fast_checks.per_s > 0
    assert report.fast_pings.per_s > 0
    assert (report.accepted, report.asked) == (LIMIT, LIMIT * 4)
    for row in (report.checks, report.pings, report.fast_checks, report.fast_pings):
        assert row.took_ms == sorted(row.took_ms)
        assert 0 < row.ms(0.5) <= row.ms(0.99) <= row.ms(0.999)
    text = report.text()
    assert "p99.9" in text
    assert "× PING" in text
    assert "100 of 400 requests" in text


def report_of(checks_ms, accepted, ping_ms=1.0):
    row, ping = Row("check", checks_ms, 1.0), Row("PING", [ping_ms], 1.0)
    return Report(row, ping, row, ping, accepted, 400)


def test_a_limit_that_is_not_kept_and_a_slow_check_are_wrong():
    assert report_of([1.0] * 1000, 100).wrong() == []
    assert report_of([1.0] * 995 + [99.0] * 5, 100).wrong() == []
    [slow] = report_of([1.0] * 900 + [5.5] * 100, 100).wrong()
    assert "5.50 ms" in slow
    [busy] = report_of([5.5] * 1000, 100, ping_ms=3.0).wrong()
    assert "too busy" in busy
    for accepted in (99, 101):
        [loose] = report_of([1.0], accepted).wrong()
        assert f"{accepted} of 400" in loose


def test_quantiles_and_rates():
    row = Row("check", [float(n) for n in range(1000)], 2.0)
    assert [row.ms(q) for q in (0.5, 0.99, 0.999)] == [500.0, 990.0, 999.0]
    assert row.per_s == 500


def test_what_was_wrong_ends_the_program(monkeypatch, capsys, streams_url):
    monkeypatch.setattr(sys, "argv", ["limits", "--redis-url", streams_url, "--tenants", "1"])
    monkeypatch.setattr(limits, "bench", lambda load: report_of([1.0], 101))
    with pytest.raises(SystemExit, match="101 of 400"):
        limits.main()
    assert "check" in capsys.readouterr().out


def test_it_says_what_it_does():
    root = Path(limits.__file__).parents[1]
    told = subprocess.run(
        [sys.executable, "-m", "bench.limits", "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'proto'}"},
    )
    assert "--redis-url" in told.stdout
