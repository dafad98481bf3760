"""A crowd of two, for a moment: that it is measured, and what is said of it."""

import pytest

from bench import flood
from bench.flood import Asked, Report


async def test_the_polite_one_is_measured_alone_and_beside_the_crowd(tmp_path, monkeypatch):
    monkeypatch.setattr(flood, "SETTLE_S", 0.0)
    report = await flood.bench(tmp_path, Asked("pocketsphinx", streams=2, utterances=1))
    assert (len(report.alone_ms), len(report.beside_ms)) == (1, 1)
    assert report.n_crowd >= 0


def test_the_ratio_is_of_the_95th_percentiles():
    alone = [float(n) for n in range(1, 21)]
    report = Report("fake", alone, [2 * ms for ms in alone], n_crowd=3)
    assert report.ratio == 2.0
    assert "p95    19.0 ms" in report.text()
    assert report.text().endswith("p95 is 2.00 times as long; the crowd had 3 finals")


@pytest.mark.parametrize(
    ("beside_ms", "n_crowd", "fault"),
    [(20.0, 3, ""), (20.1, 3, "2.01 × that alone"), (10.0, 0, "no flood")],
)
def test_what_must_not_be_is_told(beside_ms, n_crowd, fault):
    found = Report("fake", [10.0], [beside_ms], n_crowd).faults()
    assert [fault in one for one in found] == [True] * bool(fault)


@pytest.mark.parametrize(("n", "expected"), [(1, 1.0), (10, 10.0), (20, 19.0), (100, 95.0)])
def test_percentiles_of_few_are_of_the_last(n, expected):
    assert flood._p95([float(one) for one in range(n, 0, -1)]) == expected
