from __future__ import annotations

import asyncio
import itertools
import json
import time

import pytest

from gateway import audience
from gateway.audience import Audience
from gateway.notices import CROWDED, ENDED, MOVED, SLOW, Join, Left, Over, Said, Stay, Told
from gateway.realtime import client_events as ce
from gateway.realtime.dialects import Ga
from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import AudioDelta, Error, RateLimitsUpdated
from gateway.sessions.journal import OfSideband

EVENT = RateLimitsUpdated([])
CLEAR = b'{"type":"input_audio_buffer.clear"}'
APPEND = b'{"type":"input_audio_buffer.append","audio":"AAAA","event_id":"mine"}'


class Host:
    """A connection. `gate` holds up what is said."""

    def __init__(self, tasks: asyncio.TaskGroup | None = None) -> None:
        self._tasks = tasks
        self.welcomed: list[str] = []
        self.events: list[tuple[object, str]] = []
        self.raw: list[object] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def welcome(self, sideband_id):
        self.welcomed.append(sideband_id)

    def start(self, work, name):
        self._tasks.create_task(work, name=name)

    async def said(self, event, raw, sideband_id):
        await self.gate.wait()
        self.events.append((event, sideband_id))
        self.raw.append(raw)

    async def room(self):
        pass


class Hall:
    def __init__(self) -> None:
        self.posted: list[tuple[str, object]] = []
        self.host = Host()
        self.audience = Audience("sess_1", "acme", Ga(), self.post)
        self._ids = itertools.count(1)

    def post(self, gateway_id, notice):
        self.posted.append((gateway_id, notice))

    def join(self, name, gateway="gw_2", tenant="acme"):
        return self.audience.hear(gateway, Join("sess_1", tenant, name), self.host)

    def listen(self, *names, gateway="gw_2"):
        """They have joined and been told so."""
        for name in names:
            self.join(name, gateway)
            self.tell(EVENT, to=name)
        self.posted.clear()

    def tell(self, event, to=""):
        self.audience.tell(event, lambda: f"event_{next(self._ids)}", to)

    def told(self):
        """To whom what was told."""
        return [(gateway, notice.to) for gateway, notice in self.posted]


@pytest.fixture
def hall():
    return Hall()


def test_who_joins_is_welcomed_and_then_hears(hall):
    assert hall.join("a")
    assert hall.host.welcomed == ["a"]
    hall.tell(EVENT)
    assert hall.posted == [], "what came before it joined is no news to it"
    hall.tell(EVENT, to="a")
    hall.tell(EVENT)
    assert hall.told() == [("gw_2", ["a"])] * 2
    assert json.loads(hall.posted[0][1].message)["type"] == "rate_limits.updated"


def test_one_gateway_is_told_once_for_all_its_sidebands(hall):
    hall.listen("a", "b")
    hall.listen("c", gateway="gw_3")
    hall.tell(EVENT)
    assert hall.told() == [("gw_2", ["a", "b"]), ("gw_3", ["c"])]


def test_what_is_for_one_is_told_to_no_other(hall):
    hall.listen("a", "b")
    hall.tell(Error.of(Refusal(None, "No.")), to="b")
    assert hall.told() == [("gw_2", ["b"])]
    hall.tell(EVENT, to="gone")
    assert len(hall.posted) == 1


def test_nobody_is_told_audio(hall):
    hall.listen("a")
    hall.tell(AudioDelta("resp_1", "item_1", 0, 0, b"\0\0"))
    assert hall.posted == []


def test_of_an_event_that_is_too_large_only_the_name_is_told(hall, monkeypatch):
    hall.listen("a")
    monkeypatch.setattr(audience, "MOST_TOLD", 10)
    hall.tell(EVENT)
    [(_, told)] = hall.posted
    error = json.loads(told.message)["error"]
    assert error["code"] == "event_too_large"
    assert "rate_limits.updated" in error["message"]


@pytest.mark.parametrize("kind", [Join, Stay, Left])
def test_another_tenant_is_told_nothing_and_changes_nothing(hall, kind):
    hall.listen("a")
    assert not hall.audience.hear("gw_2", kind("sess_1", "zen", "a"), hall.host)
    hall.tell(EVENT)
    assert hall.told() == [("gw_2", ["a"])]
    said = Said("sess_1", "zen", "a", CLEAR)
    assert not hall.audience.hear("gw_2", said, hall.host)  # and starts no task


def test_a_gateway_speaks_for_its_own_sidebands(hall):
    hall.listen("a")
    assert not hall.audience.hear("gw_9", Said("sess_1", "acme", "a", CLEAR), hall.host)
    hall.audience.hear("gw_9", Left("sess_1", "acme", "a"), hall.host)
    assert hall.audience


def test_there_are_not_more_than_so_many(hall):
    for n in range(audience.MOST):
        hall.join(f"side_{n}")
    hall.join("late")
    assert hall.posted == [("gw_2", Over("sess_1", ["late"], CROWDED))]
    assert "late" not in hall.host.welcomed
    hall.audience.hear("gw_2", Left("sess_1", "acme", "side_0"), hall.host)
    hall.join("late")
    assert hall.host.welcomed[-1] == "late"


def test_who_is_not_heard_of_for_long_is_forgotten(hall, monkeypatch):
    hall.listen("silent", "there")
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + audience.SILENT_S - 1)
    assert hall.audience.hear("gw_2", Stay("sess_1", "acme", "there"), hall.host)
    monkeypatch.setattr(time, "monotonic", lambda: now_s + audience.SILENT_S + 1)
    hall.tell(EVENT)
    assert hall.told() == [("gw_2", ["there"])]
    assert not hall.audience.hear("gw_2", Stay("sess_1", "acme", "silent"), hall.host)


@pytest.mark.parametrize(("is_last", "why"), [(True, ENDED), (False, MOVED)])
def test_at_the_end_all_are_told_how_it_ended(hall, is_last, why):
    hall.listen("a")
    hall.listen("b", gateway="gw_3")
    hall.audience.end(is_last=is_last)
    assert hall.posted == [
        ("gw_2", Over("sess_1", ["a"], why)),
        ("gw_3", Over("sess_1", ["b"], why)),
    ]
    assert not hall.audience


def test_those_whose_words_were_lost_have_to_join_again(hall):
    hall.listen("a")
    hall.listen("b", gateway="gw_3")
    hall.audience.deaf("gw_2")
    assert hall.posted == [("gw_2", Over("sess_1", ["a"], MOVED))]
    hall.tell(EVENT)
    assert isinstance(hall.posted[-1][1], Told)
    assert hall.told()[-1] == ("gw_3", ["b"])


async def test_what_is_said_is_heard_in_order(hall):
    hall.listen("a", "b")
    async with asyncio.TaskGroup() as tasks:
        hall.host = Host(tasks)
        for name, message in (("a", CLEAR), ("b", APPEND), ("a", b"nonsense")):
            assert hall.audience.hear("gw_2", Said("sess_1", "acme", name, message), hall.host)
    (clear, _), (append, _), (nonsense, _) = hall.host.events
    assert [name for _, name in hall.host.events] == ["a", "b", "a"]
    assert isinstance(clear, ce.ClearAudio)
    assert append == audience.NO_AUDIO.of("mine")
    assert nonsense.code == "invalid_json"
    assert all(isinstance(raw, OfSideband) for raw in hall.host.raw)


async def test_who_says_more_than_can_be_heard_is_dropped(hall, monkeypatch):
    monkeypatch.setattr(audience, "_MOST_UNHEARD", 2 * len(CLEAR))
    hall.listen("a")
    said = Said("sess_1", "acme", "a", CLEAR)
    async with asyncio.TaskGroup() as tasks:
        hall.host = Host(tasks)
        hall.host.gate.clear()
        for _ in range(3):
            hall.audience.hear("gw_2", said, hall.host)
        assert hall.posted == [("gw_2", Over("sess_1", ["a"], SLOW))]
        hall.host.gate.set()
    assert len(hall.host.events) == 2
    hall.listen("a")
    async with asyncio.TaskGroup() as tasks:
        hall.host = Host(tasks)
        assert hall.audience.hear("gw_2", said, hall.host)
    assert len(hall.host.events) == 1
