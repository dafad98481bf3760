from __future__ import annotations

import base64

import pytest

from gateway.realtime import g711
from gateway.realtime.conversation import Entry
from gateway.realtime.items import InputAudio, InputText, Message, OutputAudio
from gateway.realtime.retrieval import retrieved
from gateway.realtime.settings import Audio, AudioInput, AudioOutput, Pcm, Pcmu

SOUND = b"\x00\x10" * 2400


def entry(role: str, *content: object, pcm: bytes = SOUND) -> Entry:
    made = Entry(Message("item_1", role, content))
    made.recording.pcm.extend(pcm)
    return made


@pytest.mark.parametrize(
    ("role", "part"), [("user", InputAudio("hi")), ("assistant", OutputAudio("hi"))]
)
@pytest.mark.parametrize("format_", [Pcm(), Pcmu()])
def test_an_item_comes_with_its_audio_in_the_sessions_format(role, part, format_):
    audio = Audio(AudioInput(format=format_), AudioOutput(format=format_))
    [got] = retrieved(entry(role, part), audio)["content"]
    expected = SOUND if isinstance(format_, Pcm) else g711.encode(SOUND, "audio/pcmu")
    assert base64.b64decode(got["audio"]) == expected
    assert got["transcript"] == "hi"


def test_what_is_not_kept_or_no_audio_is_left_out():
    [got] = retrieved(entry("user", InputAudio("hi"), pcm=b""), Audio())["content"]
    assert "audio" not in got
    [got] = retrieved(entry("user", InputText("hi")), Audio())["content"]
    assert got == {"type": "input_text", "text": "hi"}
