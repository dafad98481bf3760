"""The transcripts of the Realtime contract (§12), played against the core line by line.

What the client sends goes through the codec. Where a line of the server implies that a
backend reported something, that signal is given to the session just before. Ids are dealt
out in the order of the transcript, so they are compared as they stand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio, ClientEvent
from gateway.realtime.codec import BINARY, decode, encode
from gateway.realtime.identity import Identity
from gateway.realtime.session import Session
from gateway.realtime.settings import Kind, Settings
from tests import wire
from tests.script import Event, event_of, pcm

GOLDEN = wire.DATA / "golden"

EXCEPTIONS = {
    "event_id": "ours; that every event has one, and its own, is checked",
    "obfuscation": "random padding, may be omitted for every client (§3.4)",
    "usage": "numbers are the provider's; the keys are compared",
    "input_audio_transcription.completed usage": "by duration: our recognition has no tokens",
    "audio": "the transcripts' is a placeholder; that each delta has some is compared",
    "rate_limits.updated": "it follows each response.done at once, which the captures leave open",
    "retrieved audio": "the transcripts are shown without audio bytes",
    "input_audio_transcription.*": "floats freely after item.done (§3.7); order per item holds",
    "status_details.error.type": "server_error for all that fails behind us",
    "session_expired": "told by the connection, not by the core: see test_app",
}
"""What may differ from the transcripts, and why."""

PLAYED = ["01", "02", "03", "04a", "04b", "05", "06", "07", "08", "10", "11", "12"]
VARIANT = "variant: require_approval=always — the response ends with an approval request item"
THE_CALL = (
    "then the mcp_call item + response.mcp_call.in_progress/completed as above,"
    " then the client's response.create"
)
SERVER = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example/sse"}
FLOATING = "conversation.item.input_audio_transcription."


def lines_of(number: str) -> list[Event]:
    [file] = GOLDEN.glob(f"{number}_*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


class Player:
    """Plays one transcript; `got` is what the session said."""

    def __init__(self, lines: list[Event], first_ids: dict[str, list[str]]) -> None:
        self.lines = lines
        self.got: list[Event] = []
        self.started: set[str] = set()  # responses that were asked of the model
        self._numbers = itertools.count(1)
        self._heard: dict[str, str] = {}  # item → words of its transcript so far
        self._calls: dict[str, str] = {}  # call → function
        self._utterance = ""  # item of the utterance that waits for its words
        self._ids = {kind: iter(ids) for kind, ids in self._all_ids(first_ids).items()}
        session = self._first_session() or {"id": "sess_A1", "expires_at": 1_790_003_600}
        kind: Kind = session.get("type", "realtime")
        identity = Identity(session["id"], "gpt-realtime", session["expires_at"], kind)
        settings = Settings(instructions="You are a helpful assistant.")
        self.session = Session(identity, new_id=self._new_id, settings=settings)
        if self._first_session():
            self._keep(self.session.open())

    def _first_session(self) -> Event | None:
        """The session of `session.created`, if the transcript begins at the beginning."""
        events = [line["event"] for line in self.lines if line["dir"] == "s2c"]
        return events[0]["session"] if events[0]["type"] == "session.created" else None

    def _all_ids(self, first: dict[str, list[str]]) -> dict[str, list[str]]:
        """Of each kind, the ids the server gives, in order."""
        ids = {"conv": ["conv_A1"], **first}
        for line in self.lines:
            if line["dir"] != "s2c":
                continue
            event = line["event"]
            for kind, found in (
                _named(event.get("item_id") or event.get("item", {}).get("id", "")),
                ("resp", event.get("response", {}).get("id", "")),
            ):
                known = ids.setdefault(kind, [])
                if found and found not in known and not found.startswith("item_client"):
                    known.append(found)
        return ids

    def _new_id(self, prefix: str) -> str:
        return next(self._ids[prefix]) if prefix in self._ids else prefix

    def give(self, given: ClientEvent | sig.Signal) -> None:
        self._keep(self.session.receive(given))

    def client(self, type_: str, **fields: Any) -> None:
        self.give(decode(json.dumps({"type": type_, **fields})))

    def _keep(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, do.StartReply):
                self.started.add(effect.response_id)
            if (sent := event_of(effect)) is not None:
                event = json.loads(encode(sent, f"event_{next(self._numbers)}"))
                self.got.append(wire.check(event))

    def play(self, before: dict[str, Callable[[Player], None]]) -> None:
        """
        Args:
            before: Steps that the transcript leaves out, by the event or note they come before.
        """
        for line in self.lines:
            match line["dir"]:
                case "c2s":
                    event = line["event"]
                    self._leave_out(before.get(event.get("event_id")))
                    if event["type"] == "input_audio_buffer.commit" and not before:
                        self.give(AppendAudio(pcm(200)))  # "… more appends …"
                    self.give(decode(json.dumps(event)))
                case "c2s_raw":
                    binary = "BINARY" in line["text"]
                    self.give(BINARY if binary else decode(line["text"]))
                case "note":
                    self._leave_out(before.get(line["text"]))
                case "s2c":
                    for signal in self._signals(line["event"]):
                        self.give(signal)

    def _leave_out(self, step: Callable[[Player], None] | None) -> None:
        """Take a step that the transcript leaves out, with what the server says to it."""
        kept = len(self.got)
        if step is not None:
            step(self)
        del self.got[kept:]

    def _signals(self, event: Event) -> Iterator[sig.Signal]:  # noqa: C901 - a table
        """What backends must have reported for the server to say this."""
        yield from _of_mcp(event)
        match event:
            case {"type": "input_audio_buffer.speech_started", "item_id": item, **rest}:
                yield sig.SpeechStarted(item, rest["audio_start_ms"])
            case {"type": "input_audio_buffer.speech_stopped", "item_id": item, **rest}:
                yield sig.SpeechStopped(item, rest["audio_end_ms"])
            case {"type": "input_audio_buffer.committed", "item_id": item}:
                self._utterance = item
            case {"type": type_} if self._utterance and _needs_words(type_):
                yield from self._words(self._utterance)  # no reply starts without them
                self._utterance = ""
            case {"response_id": rid, "delta": delta, "type": type_, **rest}:
                if type_ == "response.output_audio.delta":
                    yield sig.ReplyAudio(rid, pcm(1000))
                elif type_ == "response.function_call_arguments.delta":
                    yield sig.ReplyCall(rid, rest["call_id"], self._calls[rest["item_id"]], delta)
                elif type_ == "response.mcp_call_arguments.delta":
                    yield sig.ReplyCall(rid, "call_1", "search", delta)
                else:
                    assert rid in self.started
                    yield sig.ReplyText(rid, delta)
            case {"type": "response.function_call_arguments.done", "response_id": rid, **rest}:
                yield sig.ReplyCallDone(rid, rest["call_id"], rest["name"], rest["arguments"])
            case {"type": "response.done", "response": response}:
                yield from _ending(response)
        if event.get("item", {}).get("type") == "function_call":
            self._calls[event["item"]["id"]] = event["item"]["name"]

    def _words(self, item_id: str) -> Iterator[sig.Signal]:
        """All that recognition reports of an utterance, as the transcript has it."""
        text = ""
        for line in self.lines:
            event = line.get("event", {})
            if event.get("item_id") == item_id and event["type"].startswith(FLOATING):
                text = event.get("transcript", text + event.get("delta", ""))
                if "delta" in event:
                    yield sig.Hypothesis(item_id, text, len(text))
        yield sig.Transcribed(item_id, text or "hello", 1500)


def _named(item_id: str) -> tuple[str, str]:
    """The id with its kind. Those of MCP have kinds of their own."""
    kind = item_id.partition("_")[0]
    return (kind if kind.startswith("mcp") else "item", item_id)


def _of_mcp(event: Event) -> Iterator[sig.Signal]:
    """What MCP servers, and the model of their tools, must have reported for this."""
    match event:
        case {"type": "response.mcp_call_arguments.done", "response_id": rid, **rest}:
            yield sig.ReplyCallDone(rid, "call_1", "search", rest["arguments"])
        case {"type": "response.output_item.added", "item": {"type": "mcp_approval_request"}}:
            yield sig.ReplyCall(event["response_id"], "call_1", "search", "{")
        case {"type": "conversation.item.done", "item": {"tools": tools, "id": item}}:
            yield sig.ToolsListed(item, tuple(tools))
        case {"type": "response.mcp_call.completed", "item_id": item}:
            yield sig.ToolReturned(item, "3 hits")


def _needs_words(type_: str) -> bool:
    return type_ == "response.output_item.added" or type_.startswith(FLOATING)


def _ending(response: Event) -> Iterator[sig.Signal]:
    rid, details = response["id"], response["status_details"] or {}
    match response["status"]:
        case "completed":
            yield sig.ReplyEnded(rid, sig.Tokens(120, 64, 7))
        case "incomplete":
            yield sig.ReplyEnded(rid, sig.Tokens(40, 0, 4), details["reason"])
        case "failed":
            error = details["error"]
            yield sig.ReplyFailed(rid, error["code"], error["message"])


# What came before a transcript that begins in the middle, and what it leaves out.


def _nothing(player: Player) -> None:
    pass


def _a_spoken_turn(player: Player) -> None:
    player.give(sig.SpeechStarted("item_U1", 100))
    player.give(sig.SpeechStopped("item_U1", 900))
    player.got = [e for e in player.got if e["type"] == "response.created"]
    player.give(sig.Transcribed("item_U1", "tell me about bridges", 800))


def _a_written_message(player: Player) -> None:
    content = [{"type": "input_text", "text": "count"}]
    item = {"id": "item_U1", "type": "message", "role": "user", "content": content}
    player.client("conversation.item.create", item=item)


def _a_written_turn(player: Player) -> None:
    _a_written_message(player)
    player.got.clear()


def _a_written_turn_and_a_response(player: Player) -> None:
    vad_off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    player.client("session.update", session=vad_off)
    _a_written_turn(player)
    player.client("response.create")


def _two_items(player: Player) -> None:
    for item_id, role, type_ in (
        ("item_U1", "user", "input_text"), ("item_A1", "assistant", "output_text"),
    ):  # fmt: skip
        content = [{"type": type_, "text": "hello"}]
        item = {"id": item_id, "type": "message", "role": role, "content": content}
        player.client("conversation.item.create", item=item)
    player.got.clear()


def _an_answer_and_6016_ms_of_silence(player: Player) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    audio = {"input": {"turn_detection": detection}}
    player.client("session.update", session={"type": "realtime", "audio": audio})
    player.client("response.create")
    player.give(sig.ReplyText("resp_2", "Hi."))
    player.give(sig.ReplyAudio("resp_2", pcm(1000)))
    player.give(AppendAudio(pcm(12_800)))
    player.give(sig.ReplyEnded("resp_2", sig.Tokens()))
    player.give(AppendAudio(pcm(16)))  # the user has 400 ms still to hear
    player.got.clear()
    player.give(AppendAudio(pcm(6416)))


def _an_answer_of_3700_ms(player: Player) -> None:
    _a_written_turn(player)
    player.client("response.create")
    player.give(sig.ReplyText("resp_0", "One, two, three."))
    player.give(sig.ReplyAudio("resp_0", pcm(3700)))
    player.give(sig.ReplyEnded("resp_0", sig.Tokens()))
    player.got.clear()


def _a_response_runs(player: Player) -> None:
    player.client("response.create")


def _it_has_ended(player: Player) -> None:
    player.give(sig.ReplyEnded("resp_1", sig.Tokens()))


def _approval_is_needed(player: Player) -> None:
    tools = [{**SERVER, "require_approval": "always"}]
    player.client("session.update", session={"type": "realtime", "tools": tools})
    player.client("response.create")


def _an_approved_call(player: Player) -> None:
    """The transcript ends with a note about what follows."""
    assert [event["type"] for event in player.got[-2:]] == [
        "conversation.item.added",
        "response.mcp_call.in_progress",
    ]
    del player.got[-2:]


PRELUDES: dict[str, Callable[[Player], None]] = {
    "04a": _a_spoken_turn,
    "04b": _a_written_turn_and_a_response,
    "06": _two_items,
    "11": _an_answer_and_6016_ms_of_silence,
    "08": _an_answer_of_3700_ms,
    "10": _a_written_turn,
}
FIRST_IDS: dict[str, dict[str, list[str]]] = {
    "04a": {"item": ["item_U1"]},
    "08": {"item": ["item_A1"], "resp": ["resp_0", "resp_1"]},
    "11": {"item": ["item_A2"], "resp": ["resp_2"]},
    "12": {"mcp": ["mcp_1", "mcp_2"]},
}
BEFORE: dict[str, dict[str, Callable[[Player], None]]] = {
    "08": {"e17": _a_response_runs, "e19": _it_has_ended},
    "12": {"c2": _a_written_message, VARIANT: _approval_is_needed, THE_CALL: _an_approved_call},
}


def normal(event: Event) -> Event:
    """The event without what may differ (EXCEPTIONS)."""
    event = json.loads(json.dumps(event))
    event.pop("event_id")
    event.pop("obfuscation", None)
    if event["type"].endswith("input_audio_transcription.completed"):
        del event["usage"]
    if event["type"] == "response.output_audio.delta":
        assert event["delta"]
        event["delta"] = "AAAA…"
    if event["type"] == "conversation.item.retrieved":
        for part in event["item"]["content"]:
            part.pop("audio", None)
    if response := event.get("response"):
        response["usage"] = _keys(response["usage"])
        ((response["status_details"] or {}).get("error") or {}).pop("type", None)
    return event


def _keys(value: Any) -> Any:
    return {k: _keys(v) for k, v in value.items()} if isinstance(value, dict) else value is None


def _of_core(events: list[Event]) -> Iterator[Event]:
    for event in events:
        expired = event.get("error", {}).get("code") == "session_expired"
        if not expired and event["type"] != "rate_limits.updated":
            yield normal(event)


def _floats(event: Event) -> bool:
    return event["type"].startswith(FLOATING)


@pytest.mark.parametrize("number", PLAYED)
def test_the_core_says_what_the_transcript_says(number):
    player = Player(lines_of(number), FIRST_IDS.get(number, {}))
    PRELUDES.get(number, _nothing)(player)
    player.play(BEFORE.get(number, {}))
    got = list(_of_core(player.got))
    expected = list(_of_core([line["event"] for line in player.lines if line["dir"] == "s2c"]))
    for floats in (False, True):
        ours = [e for e in got if _floats(e) is floats]
        assert ours == [e for e in expected if _floats(e) is floats]


@pytest.mark.parametrize("number", PLAYED)
def test_every_event_has_an_id_of_its_own(number):
    player = Player(lines_of(number), FIRST_IDS.get(number, {}))
    PRELUDES.get(number, _nothing)(player)
    player.play(BEFORE.get(number, {}))
    ids = [event["event_id"] for event in player.got]
    assert ids
    assert len(set(ids)) == len(ids)


def test_rate_limits_follow_each_response_at_once():
    player = Player(lines_of("05"), {})
    player.play({})
    types = [event["type"] for event in player.got]
    after = [types[n + 1] for n, type_ in enumerate(types) if type_ == "response.done"]
    assert after == ["rate_limits.updated"] * 2
