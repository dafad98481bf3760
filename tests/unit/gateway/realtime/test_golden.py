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
from gateway.realtime.session import Identity, Session
from gateway.realtime.settings import Settings
from tests import wire
from tests.script import Event, pcm

GOLDEN = wire.DATA / "golden"

EXCEPTIONS = {
    "event_id": "ours; that every event has one, and its own, is checked",
    "obfuscation": "random padding, may be omitted for every client (§3.4)",
    "usage": "numbers are the provider's; the keys are compared",
    "input_audio_transcription.completed usage": "by duration: our recognition has no tokens",
    "audio": "the transcripts' is a placeholder; that each delta has some is compared",
    "rate_limits.updated": "ours holds no limits; it follows each response.done at once, which"
    " the captures leave open and transcript 10 leaves out after a failure",
    "input_audio_transcription.*": "floats freely after item.done (§3.7); order per item holds",
    "status_details.error.type": "server_error for all that fails behind us",
    "session_expired": "told by the connection, not by the core: see test_app",
}
"""What may differ from the transcripts, and why."""

PLAYED = ["01", "02", "03", "04a", "04b", "05", "08", "10"]
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
        identity = Identity("sess_A1", "gpt-realtime", 1_790_003_600)
        settings = Settings(instructions="You are a helpful assistant.")
        self.session = Session(identity, new_id=self._new_id, settings=settings)
        if lines[0].get("event", {}).get("type") == "session.created":
            self._keep(self.session.open())

    def _all_ids(self, first: dict[str, list[str]]) -> dict[str, list[str]]:
        """Of each kind, the ids the server gives, in order."""
        ids = {"conv": ["conv_A1"], **first}
        for line in self.lines:
            if line["dir"] != "s2c":
                continue
            event = line["event"]
            for kind, found in (
                ("item", event.get("item_id") or event.get("item", {}).get("id", "")),
                ("resp", event.get("response", {}).get("id", "")),
            ):
                known = ids.setdefault(kind, [])
                if found and found not in known and not found.startswith("item_client"):
                    known.append(found)
        return ids

    def _new_id(self, prefix: str) -> str:
        return next(self._ids[prefix])

    def give(self, given: ClientEvent | sig.Signal) -> None:
        self._keep(self.session.receive(given))

    def client(self, type_: str, **fields: Any) -> None:
        self.give(decode(json.dumps({"type": type_, **fields})))

    def _keep(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, do.StartReply):
                self.started.add(effect.response_id)
            if isinstance(effect, do.Send):
                event = json.loads(encode(effect.event, f"event_{next(self._numbers)}"))
                self.got.append(wire.check(event))

    def play(self, before: dict[str, Callable[[Player], None]]) -> None:
        """
        Args:
            before: Steps that the transcript leaves out, by the event they come before.
        """
        for line in self.lines:
            match line["dir"]:
                case "c2s":
                    event = line["event"]
                    if event.get("event_id") in before:
                        kept = list(self.got)
                        before[event["event_id"]](self)
                        self.got = kept
                    if event["type"] == "input_audio_buffer.commit" and not before:
                        self.give(AppendAudio(pcm(200)))  # "… more appends …"
                    self.give(decode(json.dumps(event)))
                case "c2s_raw":
                    binary = "BINARY" in line["text"]
                    self.give(BINARY if binary else decode(line["text"]))
                case "s2c":
                    for signal in self._signals(line["event"]):
                        self.give(signal)

    def _signals(self, event: Event) -> Iterator[sig.Signal]:  # noqa: C901 - a table
        """What backends must have reported for the server to say this."""
        match event:
            case {"type": "input_audio_buffer.speech_started", "item_id": item, **rest}:
                yield sig.SpeechStarted(item, rest["audio_start_ms"])
            case {"type": "input_audio_buffer.speech_stopped", "item_id": item, **rest}:
                yield sig.SpeechStopped(item, rest["audio_end_ms"])
            case {"type": "input_audio_buffer.committed", "item_id": item}:
                self._utterance = item
            case {"type": "response.output_item.added"} if self._utterance:
                yield from self._words(self._utterance)  # no reply starts without them
                self._utterance = ""
            case {"response_id": rid, "delta": delta, "type": type_, **rest}:
                if type_ == "response.output_audio.delta":
                    yield sig.ReplyAudio(rid, pcm(1000))
                elif type_ == "response.function_call_arguments.delta":
                    yield sig.ReplyCall(rid, rest["call_id"], self._calls[rest["item_id"]], delta)
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


def _a_written_turn(player: Player) -> None:
    content = [{"type": "input_text", "text": "count"}]
    item = {"id": "item_U1", "type": "message", "role": "user", "content": content}
    player.client("conversation.item.create", item=item)
    player.got.clear()


def _a_written_turn_and_a_response(player: Player) -> None:
    vad_off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    player.client("session.update", session=vad_off)
    _a_written_turn(player)
    player.client("response.create")


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


PRELUDES: dict[str, Callable[[Player], None]] = {
    "04a": _a_spoken_turn,
    "04b": _a_written_turn_and_a_response,
    "08": _an_answer_of_3700_ms,
    "10": _a_written_turn,
}
FIRST_IDS: dict[str, dict[str, list[str]]] = {
    "04a": {"item": ["item_U1"]},
    "08": {"item": ["item_A1"], "resp": ["resp_0", "resp_1"]},
}
BEFORE: dict[str, dict[str, Callable[[Player], None]]] = {
    "08": {"e17": _a_response_runs, "e19": _it_has_ended}
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


LATER = {
    "06": ("response.create", "response.conversation"),
    "07": ("session.update", "session.type"),
    "12": ("session.update", "session.tools[0].type"),
    "13": ("session.update", "session.type"),
}
"""Transcripts of what is not served yet → its first client event and what is wrong with it."""


@pytest.mark.parametrize("number", LATER)
def test_what_is_not_served_yet_gets_one_clear_error(script, number):
    sent = [line["event"] for line in lines_of(number) if line["dir"] == "c2s"]
    type_, param = LATER[number]
    event = next(e for e in sent if e["type"] == type_)
    given = {key: value for key, value in event.items() if key not in ("type", "event_id")}
    error = script.error(event["type"], **given)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_an_idle_timeout_is_refused(script):
    """Transcript 11 has no client event; its note says what was asked for."""
    vad = {"type": "server_vad", "idle_timeout_ms": 6000}
    error = script.error(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": vad}}}
    )
    assert error["param"] == "session.audio.input.turn_detection.idle_timeout_ms"
