from __future__ import annotations

import pytest

from gateway import replay as module
from gateway.replay import Replay
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb

FRAME = bytes(960)  # 480 samples


def audio(n: int) -> pb.StreamingRecognizeRequest:
    """The frame number `n`."""
    chunk = common_pb2.AudioChunk(data=FRAME, first_sample=480 * n)
    return pb.StreamingRecognizeRequest(audio=chunk)


COMMIT = pb.StreamingRecognizeRequest(commit=pb.CommitUtterance(utterance_id="u1"))


@pytest.fixture
def replay():
    """Two frames, a commit, a frame."""
    replay = Replay(0)
    for sample, request in ((480, audio(0)), (960, audio(1)), (960, COMMIT), (1440, audio(2))):
        replay.add(sample, request)
    return replay


def taken(replay, credit=10_000):
    return list(iter(lambda: replay.take(credit), None))


def firsts(replay):
    return [chunk.first_sample for chunk in replay.audio()]


def test_messages_are_sent_in_order_as_far_as_the_credit_goes(replay):
    assert taken(replay, 960) == [audio(0), audio(1), COMMIT]
    assert (replay.sent, replay.n_unsent) == (960, 1)
    assert taken(replay, 1440) == [audio(2)]


def test_what_was_not_acknowledged_is_sent_again(replay):
    taken(replay)
    replay.acknowledged(480)
    replay.rewind()
    assert (replay.first_sample, replay.sent) == (480, 480)
    assert taken(replay) == [audio(1), COMMIT, audio(2)]


def test_what_was_not_sent_is_not_dropped_whatever_is_acknowledged(replay):
    replay.take(480)
    replay.acknowledged(10_000)
    assert taken(replay) == [audio(1), COMMIT, audio(2)]


def test_audio_that_is_too_old_is_given_up_and_commands_are_not(replay, monkeypatch):
    taken(replay)
    monkeypatch.setattr(module, "KEPT_BYTES", len(FRAME))
    replay.add(1920, audio(3))
    assert firsts(replay) == [1440]
    replay.rewind()
    assert taken(replay) == [COMMIT, audio(3)]
