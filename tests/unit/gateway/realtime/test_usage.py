from __future__ import annotations

from gateway.realtime.effects import Line
from gateway.realtime.items import Message
from gateway.realtime.signals import Tokens
from gateway.realtime.usage import counted, heard_tokens, usage


def test_audio_counts_by_its_length():
    cost = usage(Tokens(10, 4, 2), heard_tokens=3, audio_ms=101)
    assert (cost["input_tokens"], cost["output_tokens"], cost["total_tokens"]) == (13, 5, 18)
    assert cost["output_token_details"] == {"text_tokens": 2, "audio_tokens": 3}
    came = cost["input_token_details"]
    assert (came["text_tokens"], came["audio_tokens"], came["cached_tokens"]) == (10, 3, 4)
    assert came["cached_tokens_details"]["text_tokens"] == 4


def test_each_recording_is_rounded_up():
    assert heard_tokens([0, 1, 100, 101]) == 0 + 1 + 1 + 2


def test_what_was_cut_off_is_estimated_from_its_text():
    line = Line(Message("i", "user"), "x" * 40)
    assert counted(Tokens(), (line,), "y" * 9) == Tokens(10, 0, 3)
    assert counted(Tokens(5, 1, 2), (line,), "y" * 9) == Tokens(5, 1, 2)
    assert counted(Tokens(), (line,), "") == Tokens()
