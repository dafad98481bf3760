from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.conversation import Entry
from gateway.realtime.items import Message
from gateway.realtime.resumption import begun

TEXT = "One two. Three four. Five."
ENDED = sig.ReplyEnded("r", sig.Tokens(1, 0, 2))


def entry(sent_ms: float) -> Entry:
    pieces, words = [(8, 800), (20, 1900)], [(3, 350), (8, 750), (14, 1300), (20, 1850)]
    return Entry(
        Message("i", "assistant", ()),
        audio_bytes=int(sent_ms * 48),
        words=list(words),
        pieces=list(pieces),
    )


@pytest.mark.parametrize(
    ("sent_ms", "from_char", "from_ms"),
    [(0, 0, 0), (799, 0, 0), (800, 8, 800), (1000, 8, 800), (1900, 20, 1900), (2500, 20, 1900)],
)
def test_speech_goes_on_behind_the_last_piece_that_was_sent_whole(sent_ms, from_char, from_ms):
    made = begun(TEXT, entry(sent_ms), None)
    sent_bytes = (sent_ms - from_ms) * 48
    assert made == do.Begun(TEXT, from_char, from_ms, sent_bytes, None)


def test_what_is_known_of_the_rest_will_come_again():
    message = entry(1000)
    begun(TEXT, message, None)
    assert message.pieces == [(8, 800)]
    assert message.words == [(3, 350), (8, 750)]


def test_a_reply_that_has_said_nothing_begins_at_its_beginning():
    assert begun("", None, None) == do.Begun("", 0, 0, 0, None)


def test_how_the_model_ended_is_passed_on():
    assert begun(TEXT, entry(0), ENDED).ended is ENDED
    assert begun(TEXT, None, ENDED).ended is ENDED
