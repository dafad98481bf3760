"""The fuzzer's frames: repeatable, many kinds, and some of them valid."""

from __future__ import annotations

from collections import Counter

from bench.fuzz_frames import Frames
from gateway.realtime.client_events import KINDS
from gateway.realtime.codec import decode
from gateway.realtime.refusals import Refusal

N = 3000


def drawn(seed):
    frames = Frames(seed)
    frames.learn("item_1")
    return [frames.next() for _ in range(N)]


def test_a_seed_gives_the_same_frames():
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_frames_are_of_every_kind():
    """Every event that we take comes up, and so does everything that can be wrong with one."""
    frames = drawn(3)
    read = [decode(frame) for frame in frames if isinstance(frame, str)]
    taken = Counter(type(event).__name__ for event in read)
    refused = {event.code for event in read if isinstance(event, Refusal)}
    assert len(taken) == len(KINDS) + 1, "some event never passes its checks"
    assert min(taken.values()) >= 10
    assert N // 5 < taken["Refusal"] < N * 4 // 5
    assert refused >= {
        "invalid_json", "invalid_event", "invalid_value", "invalid_type", "unknown_parameter",
        "missing_required_parameter", "string_above_max_length",
    }  # fmt: skip
    assert sum(isinstance(frame, bytes) for frame in frames) > N // 100


def test_text_frames_are_text():
    for frame in drawn(4):
        if isinstance(frame, str):
            frame.encode()  # no half surrogates: a client library could not send them


def test_a_few_hundred_ids_are_remembered():
    frames = Frames(5)
    for n in range(1000):
        frames.learn(f"item_{n}")
    assert len(frames.ids) == 300
    assert "item_999" in frames.ids
