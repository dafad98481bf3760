from __future__ import annotations

import msgspec
import pytest

from gateway import notices
from gateway.notices import (
    ENDED,
    Batch,
    Close,
    Join,
    Left,
    Moved,
    Over,
    Said,
    Stay,
    Told,
)
from mesh.turns import Heard

OF_SIDEBAND = ("sess_1", "acme", "side_1")
ALL = [
    Join(*OF_SIDEBAND),
    Stay(*OF_SIDEBAND),
    Said(*OF_SIDEBAND, b'{"type":"x"}'),
    Left(*OF_SIDEBAND),
    Told("sess_1", ["side_1", "side_2"], b"{}"),
    Over("sess_1", ["side_1"], ENDED),
]


@pytest.mark.parametrize(
    "message",
    [
        Moved("sess_1", 3),
        Close("sess_1"),
        Batch("gw_1", 7, ALL),
        Heard("sess_1", "acme", "u1", b"result", 1),
    ],
)
def test_what_is_told_is_what_was_meant(message):
    assert notices.decode(notices.encode(message)) == message


@pytest.mark.parametrize("packed", [b"", b"nonsense", notices.encode({"kind": "other"})])
def test_what_is_none_is_refused(packed):
    with pytest.raises(msgspec.MsgspecError):
        notices.decode(packed)


def test_a_notice_takes_at_least_what_its_message_does():
    for notice in ALL:
        assert notices.size(notice) >= len(notices.encode(notice))
