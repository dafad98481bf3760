"""Makes session_<format>.msgpack: a session as it is kept in the format of today. See README.md."""

from pathlib import Path

import msgspec

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.snapshot import FORMAT
from tests.unit.gateway.sessions.telling import Told

FILE = Path(__file__).parent / f"session_{FORMAT}.msgpack"

FRAME = b"\x01\x00" * 480  # 20 ms
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)
DOCS = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example/mcp"}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
SEARCH = {"name": "search", "description": "", "input_schema": {"type": "object"}}
SETTINGS = {
    "type": "realtime",
    "instructions": "Be kind.",
    "tools": [DOCS, WEATHER],
    "audio": {"input": {"transcription": {"model": "whisper-1"}}, "output": {"voice": "marin"}},
}


def asked(effects: list[do.Effect], kind: type) -> do.Effect:
    [effect] = [effect for effect in effects if isinstance(effect, kind)]
    return effect


def message(told: Told, role: str, *content: dict[str, str]) -> None:
    told.item(type="message", role=role, content=list(content))


def spoken(told: Told, *news: sig.Reply | type) -> str:
    """A response of which that is told, and its end."""
    rid = told.respond()
    for make in news:
        told.give(make(rid))
    told.give(sig.ReplyEnded(rid, sig.Tokens(12, 3, 4)))
    return rid


def all_kinds(told: Told) -> None:
    """Items of every kind, until nothing of the session runs."""
    listing = asked(told.send("session.update", session=SETTINGS), do.ListTools)
    told.give(sig.ToolsListed(listing.item_id, (SEARCH,)))
    message(told, "system", {"type": "input_text", "text": "It is Monday."})
    image = {"type": "input_image", "image_url": PIXEL}
    message(told, "user", {"type": "input_text", "text": "What is this?"}, image)
    message(told, "assistant", {"type": "output_text", "text": "A pixel."})
    told.append(FRAME * 50)
    told.signals(sig.SpeechStarted("u1", 500), sig.SpeechStopped("u1", 1000))
    told.give(sig.Transcribed("u1", "tell me a story", 500))
    [start] = [e for e in told.effects if isinstance(e, do.StartReply)]
    rid = start.response_id
    told.give(sig.ReplyText(rid, "Once upon a time."))
    told.give(sig.ReplyTiming(rid, ((4, 200), (17, 400)), (17, 400)))
    for _ in range(20):
        told.give(sig.ReplyAudio(rid, FRAME))
    told.give(sig.ReplyEnded(rid, sig.Tokens(12, 3, 4)))
    item_id = next(e.fact.item_ids[0] for e in reversed(told.effects)
                   if isinstance(e, do.Record) and isinstance(e.fact, do.ResponseKept))  # fmt: skip
    told.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=250)
    spoken(told, lambda rid: sig.ReplyCall(rid, "call_1", "weather", "{}"),
           lambda rid: sig.ReplyCallDone(rid, "call_1", "weather", "{}"))  # fmt: skip
    told.item(type="function_call_output", call_id="call_1", output="21 degrees")
    spoken(told, lambda rid: sig.ReplyCall(rid, "call_2", "search", '{"q":"vad"}'),
           lambda rid: sig.ReplyCallDone(rid, "call_2", "search", '{"q":"vad"}'))  # fmt: skip
    request = next(e.event.item for e in reversed(told.effects)
                   if isinstance(e, do.Send) and hasattr(e.event, "item"))  # fmt: skip
    approved = told.item(type="mcp_approval_response", approval_request_id=request.id, approve=True)
    call = asked(approved, do.CallTool)
    told.give(sig.ToolReturned(call.item_id, "3 hits"))


def and_on(told: Told) -> None:
    """Inputs of every kind, and a reply that still runs."""
    message(told, "user", {"type": "input_text", "text": "And then?"})
    told.send("nonsense")
    told.append(FRAME * 10)
    told.signals(sig.SpeechStarted("u2", 1000), sig.SpeechStopped("u2", 1200))
    told.give(sig.Transcribed("u2", "go on", 200))
    rid = [e for e in told.effects if isinstance(e, do.StartReply)][-1].response_id
    told.give(sig.ReplyText(rid, "And they lived "))
    told.give(sig.ReplyTiming(rid, ((3, 20),), (3, 20)))
    told.give(sig.ReplyAudio(rid, FRAME))
    told.give(sig.ReplyText(rid, "happily."))


def made() -> Told:
    """The session, with a snapshot in the middle."""
    told = Told().opened()
    all_kinds(told)
    told.snapshot()
    and_on(told)
    return told


if __name__ == "__main__":
    told = made()
    kept = {"state": told.state, "first": told.first, "entries": told.journal.take()}
    with FILE.open("xb") as file:  # never a second time
        file.write(msgspec.msgpack.encode(kept))
