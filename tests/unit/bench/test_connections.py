"""The figures are what was measured, and what must not be is told."""

from __future__ import annotations

import dataclasses
import os
import re
import sys

import pytest

from bench import connections
from bench.connections import Cost, Load, bare, private_kib, report, shares, wrong
from bench.talkers import Heard

GOOD = Cost(100, 20.0, 50.0, refused=0, lost=0, answers_ms=[1.0, 3.0], unanswered=0)
BASE = dataclasses.replace(GOOD, kib=10.0, opened_per_s=70.0)

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the bench refuses to run elsewhere, which is tested everywhere"
)


def test_it_refuses_to_run_where_it_cannot_measure(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sys, "argv", ["connections"])
    with pytest.raises(SystemExit):
        connections.main()
    assert "this needs Linux" in capsys.readouterr().err


@linux
def test_private_memory_is_what_a_process_took_for_itself():
    before_kib = private_kib(os.getpid())
    taken = bytearray(os.urandom(1 << 20)) * 50
    assert 45 << 10 < private_kib(os.getpid()) - before_kib < 60 << 10
    del taken


@pytest.mark.parametrize("n", [1, 100, 12_000, 12_001, 50_000])
@pytest.mark.parametrize("ports", [[1], [1, 2, 3]])
def test_all_connections_are_shared_out(n, ports):
    places = shares(ports, n)
    assert sum(size for _, size, _ in places) == n
    of_port = [sum(size for port, size, _ in places if port == here) for here in ports]
    assert max(of_port) - min(of_port) <= 1
    assert all(size <= connections.A_PROCESS for _, size, _ in places)
    assert len({source for *_, source in places}) == len(places)


@linux
async def test_a_bare_server_is_measured(monkeypatch):
    monkeypatch.setattr(connections, "SETTLE_S", 0.0)
    cost = await bare(300)
    assert (cost.connections, cost.refused, cost.lost) == (300, 0, 0)
    assert 5 < cost.kib < 40
    assert cost.opened_per_s > 10


def test_reports_the_ratio_to_a_bare_server():
    text = report(GOOD, BASE, 2)
    assert "100 connections, 2 process(es): 20.0 KiB each, 2.00 times a bare server's" in text
    assert "answers to the idle: 2, p50 3.0 ms" in text


def test_reports_what_talkers_heard():
    heard = Heard(answers_ms=[5.0] * 99 + [50.0])
    heard.statuses["completed"] = 7
    text = report(dataclasses.replace(GOOD, heard=heard), BASE, 1)
    assert re.search(r"that talk: 100, p50 5.0 ms, p99 50.0 ms, most 50.0 ms, 0 unanswered", text)
    assert "completed 7" in text


def test_nothing_is_wrong_with_a_good_run():
    assert wrong(GOOD, Load(100)) == []


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"connections": 99}, "1 connections were not opened"),
        ({"lost": 2}, "2 connections were lost"),
        ({"unanswered": 1}, "not answered"),
        ({"heard": Heard(unanswered=1)}, "not answered"),
    ],
)
def test_what_must_not_be_is_told(change, about):
    [found] = wrong(dataclasses.replace(GOOD, **change), Load(100))
    assert about in found


def test_a_talker_that_was_closed_is_told():
    heard = Heard()
    heard.events["closed"] = 1
    [found] = wrong(dataclasses.replace(GOOD, heard=heard), Load(100))
    assert "closed" in found
