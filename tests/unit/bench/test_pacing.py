from __future__ import annotations

import pytest

from bench.pacing import FRAME_S, Reply, off_grid_ms, wrong

LATE_ID = b"event_2ec55141_161.1056000x44c"  # of the 1100th frame
FRAME = b'{"event_id":"%s","type":"response.output_audio.delta","delta":"AAAA"}' % LATE_ID


def even(n: int, late_s: dict[int, float] | None = None) -> list[float]:
    return [5.0 + k * FRAME_S + (late_s or {}).get(k, 0.0) for k in range(n)]


def test_frames_are_measured_against_the_grid_that_fits_them():
    assert off_grid_ms(even(50)) == pytest.approx([0] * 50, abs=1e-6)
    off = off_grid_ms(even(50, {7: 0.004}))
    assert (off[7], off[8]) == (pytest.approx(4), pytest.approx(0, abs=1e-6))


def test_a_reply_hears_frames_and_its_end():
    reply = Reply()
    reply.hear(1.0, b'{"event_id":"event_1","type":"response.output_audio_transcript.delta"}')
    reply.hear(2.0, FRAME)
    assert (reply.came_s, reply.done_s) == ([2.0], None)
    reply.hear(3.0, b'{"event_id":"event_2","type":"response.done","response":{}}')
    assert reply.done_s == 3.0


def test_what_must_not_be_is_told():
    assert wrong([Reply(even(50)) for _ in range(3)], 1.0) == []
    assert "jitter" in wrong([Reply(even(50, {3: 0.006, 9: 0.007}))], 1.0)[0]
    assert "less audio" in wrong([Reply(even(40))], 1.0)[0]
    assert "too early" in wrong([Reply(even(50), done_s=6.0)], 1.0)[0]
