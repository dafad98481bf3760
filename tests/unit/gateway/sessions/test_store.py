from __future__ import annotations

import msgspec

from gateway.sessions.store import Meta, meta_of

META = Meta("acme", "hash", "gpt-realtime", 1_790_000_000, "conv_1", beta=True)


def test_what_is_packed_comes_back():
    assert meta_of("sess_1", msgspec.msgpack.encode(META)) == META


def test_what_is_not_ours_is_said_and_harms_nobody(caplog):
    for packed in (b"", b"\xc1", msgspec.msgpack.encode({"tenant": 1})):
        assert meta_of("sess_1", packed) is None
    assert "session not understood" in caplog.text
