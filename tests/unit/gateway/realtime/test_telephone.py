"""Sessions that speak G.711: 8 bytes a millisecond on the wire, PCM at 24 kHz inside."""

from __future__ import annotations

import base64

import pytest

from gateway.realtime import effects as do
from gateway.realtime import g711
from gateway.realtime import signals as sig
from tests.script import Event, Script, only, pcm, types

BUFFER, ITEM = "input_audio_buffer", "conversation.item"
LAWS = ["audio/pcmu", "audio/pcma"]


def speak(script: Script, **formats: str) -> None:
    """Change the format of `input`, `output` or both."""
    audio = {side: {"format": {"type": type_}} for side, type_ in formats.items()}
    script.send("session.update", session={"type": "realtime", "audio": audio})


def append(script: Script, sound: bytes) -> list[do.Effect]:
    return script.send(f"{BUFFER}.append", audio=base64.b64encode(sound).decode())


def heard(effects: list[do.Effect]) -> bytes:
    return b"".join(effect.pcm for effect in only(effects, do.Hear))


def said(events: list[Event]) -> bytes:
    deltas = [e["delta"] for e in events if e["type"] == "response.output_audio.delta"]
    return b"".join(base64.b64decode(delta) for delta in deltas)


@pytest.mark.parametrize("law", LAWS)
def test_recognition_hears_pcm(script, law):
    speak(script, input=law)
    sound = g711.encode(pcm(100), law)
    assert heard(append(script, sound[:333])) + heard(append(script, sound[333:])) == (
        g711.decode(sound, law)
    )


@pytest.mark.parametrize("law", LAWS)
def test_a_commit_needs_800_bytes(script, law):
    speak(script, input=law)
    append(script, bytes(799))
    error = script.error(f"{BUFFER}.commit")
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "99.88ms" in error["message"]
    append(script, bytes(1))
    assert types(script.says(f"{BUFFER}.commit"))[0] == f"{BUFFER}.committed"


@pytest.mark.parametrize("law", LAWS)
def test_the_client_hears_its_format(script, law):
    speak(script, output=law)
    rid = script.respond()
    events = script.hears(
        sig.ReplyText(rid, "hi"),
        sig.ReplyAudio(rid, pcm(20)),
        sig.ReplyAudio(rid, pcm(41)),
        sig.ReplyEnded(rid, sig.Tokens()),
    )
    assert said(events) == g711.encode(pcm(61), law)
    assert len(said(events)) == 61 * 8


def test_the_rest_of_the_audio_comes_before_its_end(script):
    speak(script, output="audio/pcmu")
    rid = script.respond()
    events = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(20) + bytes(2)))
    assert len(said(events)) == 160
    events = script.says("response.cancel")
    assert types(events)[:2] == ["response.output_audio.delta", "response.output_audio.done"]
    assert len(said(events)) == 1


def test_truncation_counts_milliseconds_and_not_bytes(script):
    speak(script, output="audio/pcmu")
    rid = script.respond()
    [added, *_] = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(500)))
    script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    fields = {"item_id": added["item"]["id"], "content_index": 0}
    error = script.error(f"{ITEM}.truncate", audio_end_ms=501, **fields)
    assert "500ms is already shorter than 501ms" in error["message"]
    assert types(script.says(f"{ITEM}.truncate", audio_end_ms=500, **fields)) == [
        f"{ITEM}.truncated"
    ]


def test_an_item_comes_in_the_format_of_the_session(script):
    speak(script, input="audio/pcma")
    sound = g711.encode(pcm(30), "audio/pcma")
    part = {"type": "input_audio", "audio": base64.b64encode(sound).decode()}
    item = {"type": "message", "role": "user", "content": [part]}
    [recognise] = only(script.send(f"{ITEM}.create", item=item), do.Transcribe)
    assert recognise.pcm == g711.decode(sound, "audio/pcma")


def test_input_and_output_are_independent(script):
    speak(script, input="audio/pcmu")
    rid = script.respond()
    events = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(20)))
    assert said(events) == pcm(20)


def test_the_format_may_change_in_mid_session(script):
    """The clock goes on; half a sample of the old format is dropped."""
    append(script, pcm(50) + b"\1")
    speak(script, input="audio/pcmu")
    assert len(heard(append(script, bytes(400)))) == 50 * 48
    speak(script, input="audio/pcm")
    assert heard(append(script, b"\2\3")) == b"\2\3"
    committed = script.says(f"{BUFFER}.commit")[0]
    [item] = script.says(f"{ITEM}.retrieve", item_id=committed["item_id"])
    sound = base64.b64decode(item["item"]["content"][0]["audio"])
    assert len(sound) == 100 * 48


def test_a_response_keeps_the_format_that_it_began_with(script):
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(20)))
    speak(script, output="audio/pcmu")
    assert said(script.hears(sig.ReplyAudio(rid, pcm(20)))) == pcm(20)
    script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    rid = script.respond()
    assert len(said(script.hears(sig.ReplyText(rid, "a"), sig.ReplyAudio(rid, pcm(20))))) == 160


def test_the_same_format_again_changes_nothing(script):
    speak(script, input="audio/pcm")
    append(script, b"\1")
    speak(script, input="audio/pcm")
    assert heard(append(script, b"\2")) == b"\1\2"


def test_what_the_client_got_can_be_truncated_to_its_end(script):
    """The last byte is filled up: the client counts 100 ms where 99.9 were said."""
    speak(script, output="audio/pcmu")
    rid = script.respond()
    events = script.hears(
        sig.ReplyText(rid, "hi"),
        sig.ReplyAudio(rid, bytes(2 * 2398)),
        sig.ReplyEnded(rid, sig.Tokens()),
    )
    assert len(said(events)) == 800
    fields = {"item_id": events[0]["item"]["id"], "content_index": 0, "audio_end_ms": 100}
    assert types(script.says(f"{ITEM}.truncate", **fields)) == [f"{ITEM}.truncated"]
