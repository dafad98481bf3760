from __future__ import annotations

import os
import stat

import pytest

from gateway import spool_files as files
from gateway.spool_files import SpoolError

FACTS = [("ovos:facts:3", b"one"), ("ovos:facts:15", b""), ("ovos:facts:0", bytes(70_000))]


@pytest.fixture
def data():
    return b"".join(files.frame(stream, record) for stream, record in FACTS)


def test_what_was_framed_is_found_again(data):
    found = list(files.frames(data))
    assert [fact for fact, _ in found] == FACTS
    assert found[-1][1] == len(data)


@pytest.mark.parametrize("lost", [1, 7, 70_000, 70_020])
def test_a_record_torn_at_the_end_is_left_out(data, lost):
    assert [fact for fact, _ in files.frames(data[:-lost])] == FACTS[:2]


@pytest.mark.parametrize("at", [0, 5, 9, 14, 22])
def test_a_flipped_bit_is_noticed_and_nothing_after_it_is_believed(data, at):
    damaged = bytearray(data)
    damaged[at] ^= 4
    assert list(files.frames(bytes(damaged))) == []


def test_zeros_that_a_power_cut_left_are_no_record(data):
    assert [fact for fact, _ in files.frames(data + bytes(4096))] == FACTS


def test_reading_gives_whole_records_however_long(tmp_path, data):
    path = tmp_path / "1.v1"
    path.write_bytes(data)
    last = len(files.frame(*FACTS[2]))
    start = len(data) - last
    assert len(files.read(path, start, len(data), at_once=100)) == last
    assert files.read(path, 0, len(data), at_once=100) == data[:100]
    assert files.read(path, 0, 5, at_once=100) == data[:5]


def test_nobody_else_may_read_it(tmp_path):
    before = os.umask(0)
    try:
        folder, lock = files.take_slot(tmp_path / "spool")
        fd = files.create(files.segment(folder, 1))
    finally:
        os.umask(before)
    files.append(fd, b"what somebody said")
    os.close(fd)
    os.close(lock)
    made = [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]
    assert len(made) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700, 0o600}


def test_a_slot_is_one_process_s(tmp_path):
    first, lock = files.take_slot(tmp_path)
    second, other = files.take_slot(tmp_path)
    assert first != second
    os.close(lock)
    again, lock = files.take_slot(tmp_path)
    assert again == first
    os.close(lock)
    os.close(other)


def test_there_are_only_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_SLOTS", 1)
    _, lock = files.take_slot(tmp_path)
    with pytest.raises(SpoolError, match="1 slots are taken"):
        files.take_slot(tmp_path)
    os.close(lock)


def test_what_is_in_slots_of_the_living_is_theirs(tmp_path):
    own, lock = files.take_slot(tmp_path)
    theirs, other = files.take_slot(tmp_path)
    files.segment(theirs, 10).touch()
    files.segment(theirs, 9).touch()
    files.segment(own, 1).touch()
    (theirs / "notes.txt").touch()
    with files.abandoned(tmp_path, own) as found:
        assert found == []
    os.close(other)  # it dies
    with files.abandoned(tmp_path, own) as found:
        assert found == [files.segment(theirs, 9), files.segment(theirs, 10)]
        third, third_lock = files.take_slot(tmp_path)  # meanwhile nobody gets theirs
        assert third not in (own, theirs)
    os.close(third_lock)
    os.close(lock)
