from __future__ import annotations

import errno
import logging
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway import spool_files as files
from gateway.spool import Spool, SpoolError

MB = 1 << 20


def facts(first: int, last: int, size: int = 300) -> list[tuple[str, bytes]]:
    return [(f"ovos:facts:{n % 16}", f"{n} ".encode().ljust(size)) for n in range(first, last)]


def numbers(found: list[tuple[str, bytes]]) -> list[int]:
    return [int(record.split()[0]) for _, record in found]


def drain(spool: Spool, at_once: int = 256) -> list[int]:
    found: list[int] = []
    while batch := spool.read(at_once):
        found += numbers(batch)
        spool.forget()
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def reopened(folder):
    """Opens it as the next life of a process would."""
    opened: list[Spool] = []

    def reopen(most_bytes: int = 16 * MB) -> Spool:
        for spool in opened:
            spool.close()
        opened.append(Spool(folder, most_bytes))
        opened[-1].open()
        return opened[-1]

    yield reopen
    opened[-1].close()


@pytest.fixture
def spool(reopened):
    return reopened()


def segments(folder):
    return sorted(folder.rglob("*.v1"))


def test_what_goes_in_comes_out_in_order_and_is_gone(spool, folder):
    for n in range(0, 5000, 500):
        spool.append(facts(n, n + 500))
    assert (spool.facts, spool.is_empty) == (5000, False)
    assert spool.read(1) == facts(0, 1)
    assert drain(spool) == list(range(5000))
    assert (spool.facts, spool.size_bytes, spool.is_empty) == (0, 0, True)
    assert segments(folder) == []


def test_it_reads_the_same_again_until_that_is_forgotten(spool):
    spool.append(facts(0, 10))
    assert spool.read(4) == spool.read(4) == facts(0, 4)
    spool.forget()
    spool.forget()  # nothing was read meanwhile
    assert spool.read(4) == facts(4, 8)


def test_what_comes_while_it_is_read_comes_after(spool):
    spool.append(facts(0, 300))
    assert len(spool.read(256)) == 256
    spool.append(facts(300, 310))
    spool.forget()
    assert drain(spool) == list(range(256, 310))
    spool.append(facts(310, 320))
    assert drain(spool) == list(range(310, 320))


def test_the_next_life_finds_it(spool, reopened, caplog):
    spool.append(facts(0, 1000))
    with caplog.at_level(logging.WARNING):
        again = reopened()
    assert again.facts == 1000
    assert [(record.getMessage(), record.facts) for record in caplog.records] == [
        ("spool found", 1000)
    ]
    again.append(facts(1000, 1010))
    assert drain(again) == list(range(1010))


def test_a_life_that_ends_while_it_reads_repeats_and_loses_nothing(spool, reopened):
    spool.append(facts(0, 1000))
    spool.read(256)
    spool.forget()
    assert drain(reopened()) == list(range(1000))


def test_a_record_torn_by_a_crash_is_skipped(spool, reopened, folder):
    spool.append(facts(0, 10))
    [segment] = segments(folder)
    os.truncate(segment, segment.stat().st_size - 100)
    again = reopened()
    again.append(facts(10, 12))
    assert drain(again) == [*range(9), 10, 11]


def test_full_it_drops_the_oldest_and_counts(reopened, folder, caplog):
    spool = reopened(MB)
    with caplog.at_level(logging.ERROR):
        for n in range(0, 10_000, 100):
            spool.append(facts(n, n + 100))
    on_disk = sum(path.stat().st_size for path in segments(folder))
    assert MB * 0.8 < on_disk <= MB
    assert on_disk == spool.size_bytes
    left = drain(spool)
    assert left == list(range(10_000 - len(left), 10_000))
    assert spool.dropped == 10_000 - len(left)
    assert [record.getMessage() for record in caplog.records] == ["spool full"]


def test_it_may_drop_what_is_being_read(reopened):
    spool = reopened(MB)
    spool.append(facts(0, 3000))
    assert len(spool.read(3000)) < 3000  # a segment, to its end
    spool.append(facts(3000, 6000))
    spool.forget()
    left = drain(spool)
    assert left == list(range(6000 - len(left), 6000))
    assert spool.dropped + len(left) == 6000


def test_one_batch_may_be_more_than_fits(reopened):
    spool = reopened(MB)
    spool.append(facts(0, 10_000))
    assert spool.size_bytes <= MB
    left = drain(spool)
    assert left == list(range(10_000 - len(left), 10_000))


def test_a_fact_may_be_longer_than_what_is_read_at_once(spool):
    spool.append(facts(0, 3, size=MB))
    assert drain(spool) == [0, 1, 2]


def test_damage_in_the_middle_costs_one_segment(reopened, folder):
    spool = reopened(MB)
    spool.append(facts(0, 2000))
    first = segments(folder)[0]
    with first.open("r+b") as file:
        file.seek(30)
        file.write(b"\xff")
    left = drain(spool)
    assert left == list(range(left[0], 2000))
    assert spool.dropped == left[0] > 0
    assert segments(folder) == []


def test_a_segment_that_cannot_be_read_is_left_for_another_process(reopened, folder, caplog):
    spool = reopened(MB)
    spool.append(facts(0, 2000))
    first = segments(folder)[0]
    hidden = first.rename(first.with_suffix(".hidden"))
    first.mkdir()  # it cannot be read, for root neither
    with caplog.at_level(logging.ERROR):
        left = drain(spool)
    assert left == list(range(left[0], 2000))
    assert first.exists()
    first.rmdir()
    hidden.rename(first)
    assert drain(reopened()) == list(range(left[0]))


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """What a full disk does: a write goes through in part, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_fails_says_so_and_leaves_nothing_behind(spool, folder):
    spool.append(facts(0, 10))
    with files_of_at_most(5000):
        for _ in range(3):
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                spool.append(facts(10, 110))
    assert len(segments(folder)) == 1
    assert sum(path.stat().st_size for path in segments(folder)) == spool.size_bytes
    spool.append(facts(10, 20))
    assert drain(spool) == list(range(20))


def test_processes_that_share_a_folder_keep_apart(spool, folder):
    other = Spool(folder, 16 * MB)
    other.open()
    spool.append(facts(0, 10))
    other.append(facts(10, 20))
    assert (drain(spool), drain(other)) == (list(range(10)), list(range(10, 20)))
    other.close()


def test_what_a_process_left_that_is_not_started_again_is_taken_over(spool, reopened, folder):
    other = Spool(folder, 16 * MB)
    other.open()
    spool.append(facts(0, 10))
    other.append(facts(10, 20))
    other.close()
    assert drain(reopened()) == list(range(20))
    assert segments(folder) == []


def test_a_folder_that_cannot_be_used_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file", MB)
    with pytest.raises(SpoolError, match="file"):
        spool.open()
    assert not spool.is_open


def test_closed_it_takes_nothing(folder):
    with pytest.raises(OSError, match="not open"):
        Spool(folder, MB).append(facts(0, 1))


def test_versions_to_come_are_left_alone(spool, reopened, folder):
    later = files.segment(folder / "0", 7).with_suffix(".v2")
    later.touch()
    assert reopened().is_empty
    assert later.exists()
