from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisAway

from gateway import recorder as module
from gateway.recorder import Recorder
from gateway.spool import Spool, SpoolError, Waiting
from mesh.stream import RECORD, connect, fact_stream
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb
from tests.clock import Clock

SESSION = common_pb2.SessionRef(tenant_id="acme", session_id="sess_1", conversation_id="conv_1")


class FakeRedis:
    """The few calls a recorder makes; `away` fails them, `gate` holds writes back."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, bytes]] = []
        self.away = False
        self.away_streams: set[str] = set()
        self.refused: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing = asyncio.Event()
        self.tried = asyncio.Event()
        self.closed = False

    async def ping(self) -> None:
        self.tried.set()
        if self.away:
            raise RedisAway

    def pipeline(self, transaction: bool) -> _Pipeline:
        assert not transaction
        return _Pipeline(self)

    async def aclose(self) -> None:
        self.closed = True


class _Pipeline:
    def __init__(self, redis: FakeRedis) -> None:
        self._redis, self._batch = redis, []

    async def __aenter__(self) -> _Pipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def execute_command(self, command: str, stream: str, *fields: bytes) -> None:
        assert (command, *fields[:2]) == ("XADD", "*", RECORD)
        self._batch.append((stream, fields[2]))

    async def execute(self, raise_on_error: bool) -> list[object]:
        assert not raise_on_error
        self._redis.tried.set()
        self._redis.writing.set()
        await self._redis.gate.wait()
        if self._redis.away:
            raise RedisAway
        return [self._add(stream, record) for stream, record in self._batch]

    def _add(self, stream: str, record: bytes) -> object:
        number = int(pb.Record.FromString(record).record_id)
        if stream in self._redis.away_streams or number in self._redis.refused:
            self._redis.refused.discard(number)
            return RedisAway()
        self._redis.entries.append((stream, record))
        return b"1-0"


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(recorder.run(), name="recorder")
        yield
        task.cancel()


def fact(n: int, session: str = "sess_1") -> pb.Record:
    made = pb.Record(record_id=str(n), session=SESSION)
    made.session.session_id = session
    return made


def read(redis: FakeRedis) -> list[int]:
    return [int(pb.Record.FromString(record).record_id) for _, record in redis.entries]


@pytest.fixture
async def redis():
    return FakeRedis()


@pytest.fixture
async def clock():
    return Clock(asyncio.get_running_loop())


@pytest.fixture
async def recorder(redis):
    return Recorder(redis)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", 16 << 20)


@pytest.fixture
async def spooling(redis, spool):
    return Recorder(redis, spool)


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not met():
            await asyncio.sleep(0.005)


async def test_facts_go_to_their_sessions_stream_in_order(recorder, redis):
    async with running(recorder):
        for n in range(600):
            recorder.put(fact(n))
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == list(range(600))
    assert {stream for stream, _ in redis.entries} == {fact_stream("sess_1")}
    assert redis.closed


async def test_real_redis_takes_them(streams_url):
    redis = connect(streams_url)
    recorder = Recorder(redis)
    async with running(recorder):
        recorder.put(fact(1))
        assert await recorder.flush(timeout_s=5)
        [(_, fields)] = await redis.xrange(fact_stream("sess_1"))
    assert pb.Record.FromString(fields[RECORD]) == fact(1)


async def test_facts_wait_while_redis_is_away_and_none_is_lost(recorder, redis, clock):
    redis.away = True
    recorder.put(fact(1))
    async with running(recorder):
        await redis.tried.wait()
        assert not recorder.is_well
        redis.away = False
        recorder.put(fact(2))
        clock.advance(1)
        assert await recorder.flush(timeout_s=5)
        assert recorder.is_well
    assert read(redis) == [1, 2]


async def test_a_write_that_failed_is_made_again(recorder, redis, clock):
    redis.gate.clear()
    recorder.put(fact(1))
    async with running(recorder):
        await redis.writing.wait()
        redis.away = True
        redis.tried.clear()
        redis.gate.set()
        clock.advance(1)
        await redis.tried.wait()
        redis.away = False
        clock.advance(1)
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == [1]


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0


async def test_a_full_queue_drops_the_oldest_and_counts(recorder, redis):
    before = metric("gateway_facts_dropped_total")
    for n in range(module.MOST_WAITING + 5):
        recorder.put(fact(n))
    async with running(recorder):
        assert await recorder.flush(timeout_s=5)
    assert metric("gateway_facts_dropped_total") == before + 5
    assert read(redis) == list(range(5, module.MOST_WAITING + 5))


async def test_dropping_while_a_write_is_on_its_way_loses_nothing_else(recorder, redis):
    redis.gate.clear()
    for n in range(module.MOST_WAITING):
        recorder.put(fact(n))
    async with running(recorder):
        await redis.writing.wait()  # the first batch is on its way
        for n in range(10):
            recorder.put(fact(module.MOST_WAITING + n))
        redis.gate.set()
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == list(range(module.MOST_WAITING + 10))


async def test_flushing_gives_up_in_time(recorder, redis):
    redis.away = True
    recorder.put(fact(1))
    async with running(recorder):
        assert not await recorder.flush(timeout_s=0.01)


async def test_a_part_that_failed_is_written_again_and_what_follows_it_too(recorder, redis, clock):
    redis.away_streams = {fact_stream("sess_1")}
    async with running(recorder):
        for n in range(10):
            recorder.put(fact(n, session=f"sess_{n % 2 + 1}"))
        await until(lambda: bool(redis.entries))
        assert not recorder.is_well
        redis.away_streams = set()
        clock.advance(1)
        assert await recorder.flush(timeout_s=5)
    assert fact_stream("sess_1") != fact_stream("sess_2")
    assert read(redis) == [1, 3, 5, 7, 9, 0, 2, 4, 6, 8]


async def test_what_follows_a_fact_that_failed_is_written_again_behind_it(recorder, redis, clock):
    redis.refused = {1}
    for n in range(4):
        recorder.put(fact(n))
    async with running(recorder):
        await until(lambda: not redis.refused)
        clock.advance(1)
        assert await recorder.flush(timeout_s=5)
    assert read(redis) == [0, 2, 3, 1, 2, 3]


async def test_how_long_redis_was_away_is_told_once(recorder, redis, clock, caplog):
    redis.away = True
    with caplog.at_level(logging.INFO):
        async with running(recorder):
            for _ in range(3):
                redis.tried.clear()
                clock.advance(1)
                await redis.tried.wait()
            assert metric("gateway_redis_away") == 1
            redis.away = False
            clock.advance(1)
            await until(lambda: recorder.is_well)
            assert metric("gateway_redis_away") == 0
    assert [record.getMessage() for record in caplog.records] == ["redis away", "redis is back"]


class TestSpool:
    async def test_facts_of_an_outage_go_to_the_disk_and_then_to_redis_before_newer_ones(
        self, spooling, spool, redis, clock, caplog
    ):
        redis.away = True
        with caplog.at_level(logging.INFO):
            async with running(spooling):
                for n in range(1000):
                    spooling.put(fact(n))
                await until(lambda: spool.facts == 1000)
                for n in range(1000, 2000):
                    spooling.put(fact(n))
                await until(lambda: spool.facts == 2000)
                assert metric("gateway_facts_spooled_bytes") == spool.size_bytes > 0
                redis.away = False
                spooling.put(fact(2000))
                clock.advance(1)
                assert await spooling.flush(timeout_s=5)
        assert read(redis) == list(range(2001))
        assert metric("gateway_facts_spooled_bytes") == 0
        told = [record.getMessage() for record in caplog.records]
        assert told == ["redis away", "redis is back", "spool replayed"]

    async def test_memory_holds_little_while_redis_is_away(self, spooling, spool, redis):
        redis.away = True
        async with running(spooling):
            spooling.put(fact(0))
            await until(lambda: spool.facts == 1)
            for n in range(1, 3):
                for _ in range(module.MOST_WAITING):
                    spooling.put(fact(n))
                await until(lambda n=n: spool.facts == 1 + n * module.MOST_WAITING)

    async def test_facts_that_come_during_a_long_replay_go_behind_it(
        self, spooling, spool, redis, clock
    ):
        redis.away = True
        async with running(spooling):
            spooling.put(fact(0))
            await until(lambda: spool.facts == 1)
            redis.away = False
            redis.gate.clear()
            redis.writing.clear()
            clock.advance(1)
            await redis.writing.wait()
            for n in range(1, module.MOST_WAITING):
                spooling.put(fact(n))
            redis.gate.set()
            await until(lambda: spool.facts > module.MOST_WAITING // 2)
            assert await spooling.flush(timeout_s=10)
        assert read(redis) == list(range(module.MOST_WAITING))

    async def test_redis_going_away_in_the_middle_of_a_replay_loses_nothing(
        self, spooling, spool, redis, clock
    ):
        redis.away = True
        async with running(spooling):
            for n in range(1000):
                spooling.put(fact(n))
            await until(lambda: spool.facts == 1000)
            redis.away = False
            clock.advance(1)
            await until(lambda: len(redis.entries) >= 256)
            redis.away = True
            spooling.put(fact(1000))
            await until(lambda: not spooling.is_well)
            redis.away = False
            clock.advance(1)
            assert await spooling.flush(timeout_s=5)
        assert read(redis) == list(range(1001))

    async def test_what_is_left_at_the_end_is_found_by_the_next_life(
        self, spooling, redis, tmp_path, caplog
    ):
        redis.away = True
        async with running(spooling):
            await redis.tried.wait()
            for n in range(10):
                spooling.put(fact(n))
            assert not await spooling.flush(timeout_s=0.01)
        assert caplog.records[-1].getMessage() == "facts spooled at exit"
        redis.away = False
        again = Recorder(redis, Spool(tmp_path / "spool", 16 << 20))
        again.put(fact(10))
        async with running(again):
            assert await again.flush(timeout_s=5)
        assert read(redis) == list(range(11))

    async def test_a_write_that_hangs_at_the_end_is_not_lost(self, spooling, redis, tmp_path):
        redis.gate.clear()
        spooling.put(fact(1))
        async with running(spooling):
            await redis.writing.wait()
        left = Spool(tmp_path / "spool", 16 << 20)
        left.open()
        assert left.facts == 1
        left.close()

    async def test_a_disk_that_takes_nothing_leaves_it_in_memory(
        self, redis, tmp_path, clock, caplog
    ):
        spool = FullDisk(tmp_path / "spool", 16 << 20)
        recorder = Recorder(redis, spool)
        before = metric("gateway_facts_dropped_total")
        redis.away = True
        async with running(recorder):
            for n in range(module.MOST_WAITING):
                recorder.put(fact(n))
            await spool.tried.wait()
            for n in range(5):
                recorder.put(fact(module.MOST_WAITING + n))
            await until(lambda: metric("gateway_facts_dropped_total") == before + 5)
            redis.away = False
            clock.advance(1)
            assert await recorder.flush(timeout_s=5)
        assert read(redis) == list(range(5, module.MOST_WAITING + 5))
        told = [record.getMessage() for record in caplog.records]
        assert told.count("spool does not take facts") == 1

    async def test_a_folder_that_cannot_be_used_ends_the_process(self, redis, tmp_path):
        (tmp_path / "file").touch()
        recorder = Recorder(redis, Spool(tmp_path / "file", 16 << 20))
        with pytest.raises(SpoolError):
            await recorder.run()
        assert redis.closed


class FullDisk(Spool):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._loop = asyncio.get_running_loop()
        self.tried = asyncio.Event()

    def append(self, facts: Sequence[Waiting]) -> None:
        self._loop.call_soon_threadsafe(self.tried.set)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
