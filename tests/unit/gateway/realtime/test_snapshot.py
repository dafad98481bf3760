from __future__ import annotations

import msgspec
import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import signals as sig
from gateway.realtime import snapshot
from gateway.realtime.codec import decode
from gateway.realtime.conversation import Entry
from gateway.realtime.items import InputImage, Message, OutputAudio
from gateway.realtime.prompts import Stored
from gateway.realtime.session import Session
from gateway.realtime.snapshot import FORMAT, UnknownFormat, dump, entry_of, load, saved_entry
from tests.babble import PNG
from tests.core_state import state_of
from tests.script import Script, pcm, types
from tests.servers_of_tools import DOCS, SEARCH, SECRETS

PROMPTS = {"p": (Stored("Hi {{name}}.", "1"),)}
SESSION = {
    "type": "realtime", "instructions": "Be kind.", "output_modalities": ["audio"],
    "max_output_tokens": 99, "tracing": {"workflow_name": "w"},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
    "prompt": {"id": "p", "version": "1", "variables": {"name": "Ann"}},
    "reasoning": {"effort": "low"}, "parallel_tool_calls": False,
    "include": ["item.input_audio_transcription.logprobs"],
    "tools": [DOCS, {"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "f"},
    "audio": {
        "input": {
            "format": {"type": "audio/pcma"}, "transcription": {"model": "m", "language": "de"},
            "noise_reduction": {"type": "near_field", "strength": 0.5},
            "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "ash", "speed": 1.25},
    },
}  # fmt: skip
ITEMS = [
    {"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PNG}]},
    {"type": "message", "role": "user", "content": [
        {"type": "input_audio", "audio": "AQID" * 4800, "transcript": "known"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
    {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "be"}]},
    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1"},
    {"type": "function_call_output", "call_id": "call_1", "output": "42"},
]  # fmt: skip


def whole() -> Script:
    """A session with some of everything, and nothing that runs."""
    script = Script(prompts=PROMPTS)
    assert types(script.says("session.update", session=SESSION))[0] == "session.updated"
    asked = script.session._servers._known.values()
    for listing in list(asked):
        script.take(sig.ToolsListed(listing.entry.item.id, (SEARCH,)))
    for item in ITEMS:
        script.send("conversation.item.create", item=item, previous_item_id="root")
    script.take(ce.AppendAudio(b"\x55" * 1601))
    script.utterance("u1")
    speaks(script, script.session._replies.active.id)
    asks(script)
    return script


def speaks(script: Script, rid: str) -> None:
    """A spoken answer by a worse voice, cut off by the client."""
    script.take(sig.ReplyDegraded(rid, "a", "b"))
    script.take(sig.ReplyText(rid, "One two."))
    script.take(sig.ReplyTiming(rid, ((3, 200), (8, 500)), (8, 500)))
    [delta] = script.hears(sig.ReplyAudio(rid, pcm(400)))
    script.take(sig.ReplyEnded(rid, sig.Tokens(5, 1, 2)))
    script.send(
        "conversation.item.truncate", item_id=delta["item_id"], content_index=0, audio_end_ms=300
    )


def asks(script: Script) -> None:
    """Two calls that need approval; one is denied, one waits."""
    rid = script.respond(tool_choice="auto")
    for n in (1, 2):
        script.take(sig.ReplyCallDone(rid, f"call_{n + 1}", "search", "{}"))
    events = script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    done = next(event for event in events if event["type"] == "response.done")
    kind, first = "mcp_approval_response", done["response"]["output"][0]["id"]
    item = {"type": kind, "approval_request_id": first, "approve": False, "reason": "no"}
    script.send("conversation.item.create", item=item)


def kept(session: Session) -> bytes:
    saved = session.save()
    assert saved is not None
    return dump(saved)


def restored(data: bytes) -> Session:
    saved = load(data)
    session = Session(
        saved.identity, new_id=str, settings=saved.default, prompts=PROMPTS, kept_ms=60_000
    )
    session.restore(saved)
    return session


def test_a_session_is_the_same_elsewhere():
    script = whole()
    session = restored(kept(script.session))
    assert state_of(session) == state_of(script.session)
    assert session.wire() == script.session.wire()
    kinds = {type(entry.item).__name__ for entry in session._conversation.entries()}
    assert kinds == {
        "Message", "FunctionCall", "FunctionCallOutput", "McpTools", "McpApprovalRequest",
        "McpApprovalResponse",
    }  # fmt: skip


def test_it_can_be_kept_again():
    data = kept(whole().session)
    assert load(kept(restored(data))) == load(data)


def test_what_the_client_may_not_read_is_there():
    [server] = restored(kept(whole().session))._settings.servers
    assert (server.authorization, server.headers) == (SECRETS[0], DOCS["headers"])


def test_the_model_is_told_the_same():
    script = whole()
    session = restored(kept(script.session))
    event = decode('{"type": "response.create"}')
    assert session.receive(event)[-1].context == script.session.receive(event)[-1].context


def test_what_nobody_set_is_what_the_operator_said():
    script = whole()
    assert restored(kept(script.session))._default == script.session._default


@pytest.mark.parametrize(
    "given",
    [
        [sig.SpeechStarted("u9", 0)],
        [sig.SpeechStarted("u9", 0), sig.SpeechStopped("u9", 600)],
        [ce.CreateResponse({}, None)],
    ],
    ids=["speech", "words", "a response"],
)
def test_a_session_of_which_something_runs_is_not_kept(given):
    script = whole()
    assert script.session.is_quiet
    for one in given:
        script.take(one)
    assert not script.session.is_quiet
    assert script.session.save() is None


def test_a_buffer_that_the_client_will_commit_is_not_kept():
    script = Script()
    heard = {"turn_detection": None}
    script.send("session.update", session={"type": "realtime", "audio": {"input": heard}})
    assert script.session.save() is not None
    script.take(ce.AppendAudio(pcm(20)))
    assert script.session.save() is None
    script.send("input_audio_buffer.clear")
    assert script.session.save() is not None


def test_an_approved_call_that_runs_is_not_kept():
    script = whole()
    [request] = script.session._servers._asked
    item = {"type": "mcp_approval_response", "approval_request_id": request, "approve": True}
    script.send("conversation.item.create", item=item)
    assert script.session.save() is None


def test_every_field_of_an_item_is_kept():
    item = Message("i", "assistant", (OutputAudio("hi"),))
    entry = Entry(
        item, "hi", "hi there", (InputImage(PNG),), False, 7, response_id="r", is_speech=True,
        audio_bytes=9, words=[(2, 40)], cut_ms=30, is_read=True, is_notice=True,
        ordinal=5, version=2,
    )  # fmt: skip
    again = entry_of(saved_entry(entry))
    for name in set(Entry.__slots__) - {"recording"}:
        assert getattr(again, name) == getattr(entry, name), name
    assert not again.recording.is_kept


# Formats.


def test_what_a_newer_version_wrote_is_not_understood():
    raw = msgspec.json.decode(kept(Script().session))
    with pytest.raises(UnknownFormat):
        load(msgspec.json.encode({**raw, "format": FORMAT + 1}))


def test_what_an_older_version_wrote_is_brought_up_to_date(monkeypatch):
    def upgrade(raw: dict[str, object]) -> dict[str, object]:
        return {**raw, "losses": 7, "format": FORMAT}

    monkeypatch.setitem(snapshot._UPGRADES, FORMAT - 1, upgrade)
    raw = msgspec.json.decode(kept(Script().session))
    del raw["losses"]
    assert load(msgspec.json.encode({**raw, "format": FORMAT - 1})).losses == 7


def test_fields_that_it_does_not_know_do_not_matter():
    raw = msgspec.json.decode(kept(Script().session))
    assert load(msgspec.json.encode({**raw, "newer": 1})) == load(msgspec.json.encode(raw))


def test_junk_is_no_snapshot():
    for data in (b"", b"\xc1", msgspec.json.encode({"format": FORMAT})):
        with pytest.raises(msgspec.MsgspecError):
            load(data)
