"""What the measurement of recognition says, on a model and recordings too small to measure."""

import pytest

from bench import stt
from tests.contract import whisper_model


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(stt, "SIZES", {"tiny": whisper_model.SMALLEST})
    monkeypatch.setattr(stt, "AT_ONCE", (1, 3))


def test_both_engines_hear_so_many_at_once(small, tmp_path):
    rows = list(stt.throughput(tmp_path, "tiny", rounds=2))
    assert [(row.at_once, len(row.alone_s), len(row.together_s)) for row in rows] == [
        (1, 2, 2),
        (3, 2, 2),
    ]


def test_other_transcripts_are_a_failure(small, tmp_path, monkeypatch):
    heard = stt._heard

    async def wrong(engine, at_once):
        took_s, cpu_s, texts = await heard(engine, at_once)
        return took_s, cpu_s, texts if engine.threads == 1 else texts[1:]

    monkeypatch.setattr(stt, "_heard", wrong)
    with pytest.raises(SystemExit, match="tiny: transcripts differ with 1 at once"):
        next(stt.throughput(tmp_path, "tiny", rounds=1))


def test_the_ratio_is_of_rounds_side_by_side():
    row = stt.Row(10, alone_s=[2.0, 4.0, 8.0], together_s=[1.0, 1.0, 4.0])
    row.alone_cpu_s, row.together_cpu_s = [5.0, 6.0, 7.0], [3.0, 3.0, 9.0]
    speed, cpu = ["2.50", "10.00", "2.00", "(2.00", "to", "4.00)"], ["0.60", "0.30"]
    assert row.text().split() == ["10", *speed, *cpu]


def test_streams_a_core_are_told_for_each_piece_of_audio(monkeypatch):
    monkeypatch.setattr(stt, "VAD_SECONDS", 1)
    lines = [line.split() for line in stt.voice_activity()]
    assert [line[0] for line in lines] == ["32", "96", "320"]
    assert all(float(streams) > 0 for *_, streams in lines)
