from __future__ import annotations

from bench.slow_voice import CHAR_S, PIECE_S, SlowVoice
from tts_service.engine import Halt, Manner

TEXT = "Hello."


def test_hums_for_as_long_as_people_speak():
    voice = SlowVoice(share=0)
    pieces = list(voice.synthesize(TEXT, Manner("ash"), Halt()))
    assert len(pieces) == round(len(TEXT) * CHAR_S / PIECE_S)
    assert (voice.at_work, list(voice.ended_s)) == (set(), ["ash"])


def test_tells_for_whom_it_is_at_work():
    voice = SlowVoice(share=0)
    speech = voice.synthesize(TEXT, Manner("ash"), Halt())
    next(speech)
    assert (voice.at_work, voice.ended_s) == ({"ash"}, {})


def test_stops_when_it_is_told():
    voice, halt = SlowVoice(share=0), Halt()
    speech = voice.synthesize(TEXT, Manner("ash"), halt)
    next(speech)
    halt.stop()
    assert list(speech) == []
    assert list(voice.ended_s) == ["ash"]
