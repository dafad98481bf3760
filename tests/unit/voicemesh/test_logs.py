import json

import pytest

from voicemesh import logs


@pytest.fixture
def log(tmp_path):
    log = logs.Log(tmp_path / "stt.log")
    yield log
    log.close()


def line(**fields):
    return json.dumps({"level": "INFO", "event": "ready", "logger": "x", "time": "now", **fields})


def test_pieces_become_lines(log):
    assert log.write(b"one\ntw") == ["one"]
    assert log.write(b"o\n") == ["two"]
    assert log.path.read_bytes() == b"one\ntwo\n"


def test_the_last_lines_are_at_hand(log):
    log.write("".join(f"{n}\n" for n in range(20)).encode())
    assert list(log.last) == ["15", "16", "17", "18", "19"]


def test_a_start_begins_a_new_file_and_keeps_the_last_ones(tmp_path):
    for n in range(6):
        log = logs.Log(tmp_path / "stt.log")
        log.write(f"{n}\n".encode())
        log.close()
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"stt.log": "5\n", "stt.log.1": "4\n", "stt.log.2": "3\n", "stt.log.3": "2\n"}


def test_a_file_does_not_grow_for_ever(log, monkeypatch):
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 100)
    for _ in range(50):
        log.write(b"0123456789012345678901234567890123456789\n")
    assert all(path.stat().st_size <= 100 for path in log.path.parent.iterdir())
    assert len(list(log.path.parent.iterdir())) == 1 + logs.KEPT_FILES


def test_a_person_sees_warnings_and_errors_only():
    assert logs.is_loud(line(level="WARNING"))
    assert not logs.is_loud(line())
    assert logs.is_loud("2026-11-23 LOG FATAL:  out of memory")
    assert not logs.is_loud("2026-11-23 LOG:  ready")


def test_a_line_is_shortened_to_what_matters():
    assert logs.short(line(engine="espeak")) == "ready: engine=espeak"
    failed = line(event="handler failed", exc_info="Traceback…\nValueError: no")
    assert logs.short(failed) == "handler failed: ValueError: no"
    assert logs.short("plain") == "plain"
    assert logs.short("2026-11-23 02:34 UTC [1] FATAL:  no room") == "FATAL:  no room"
    assert logs.event('{"no": "event"}') is None
    assert logs.event("{broken") is None
