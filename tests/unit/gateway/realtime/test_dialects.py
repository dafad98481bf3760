from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.realtime import effects as do
from gateway.realtime import server_events as ev
from gateway.realtime import signals as sig
from gateway.realtime.client_events import ClientEvent
from gateway.realtime.codec import decode, encode
from gateway.realtime.dialects import Beta, Dialect, Ga
from gateway.realtime.identity import Identity
from gateway.realtime.refusals import Refusal
from gateway.realtime.session import Session
from gateway.realtime.settings import Settings
from tests import beta_wire, wire
from tests.script import pcm

Event = dict[str, Any]

GOLDEN = wire.DATA / "golden"


def lines_of(number: str) -> list[Event]:
    [file] = GOLDEN.glob(f"{number}_*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


class Player:
    """A client of one dialect and the pure session at the other end."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.got: list[Event] = []
        self._numbers = itertools.count(1)
        ids: dict[str, Iterator[str]] = {
            "conv": iter(["conv_B1"]),
            "item": iter(["item_U1", "item_A1"]),
            "resp": iter(["resp_1"]),
        }
        identity = Identity("sess_B1", "gpt-4o-realtime-preview", 1_790_003_600)
        settings = Settings(instructions="You are a helpful assistant.")
        self.session = Session(identity, new_id=lambda kind: next(ids[kind]), settings=settings)
        self._keep(self.session.open())

    def client(self, event: Event) -> None:
        self.give(self.dialect.decode(json.dumps(event)))

    def give(self, given: ClientEvent | sig.Signal) -> None:
        self._keep(self.session.receive(given))

    def _keep(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, do.Send):
                self.got += map(json.loads, self.dialect.encode(effect.event, self._event_id))

    def _event_id(self) -> str:
        return f"event_{next(self._numbers)}"


def normal(event: Event) -> Event:
    """Without what is ours to choose: ids of events, audio, usage, figures of limits."""
    event = json.loads(json.dumps(event))
    assert event.pop("event_id")
    if event["type"] == "response.audio.delta":
        assert event.pop("delta")
    if event["type"] == "rate_limits.updated":
        del event["rate_limits"]
    if "response" in event:
        event["response"]["usage"] = event["response"]["usage"] is not None
    return event


def test_the_beta_says_what_the_transcript_says():
    lines = lines_of("13")
    player = Player(Beta("conv_B1"))
    for line in lines:
        if line["dir"] == "c2s":
            player.client(line["event"])
    player.give(sig.ReplyText("resp_1", "Hello!"))
    player.give(sig.ReplyAudio("resp_1", pcm(100)))
    player.give(sig.ReplyEnded("resp_1", sig.Tokens(120, 0, 10)))
    expected = [normal(line["event"]) for line in lines if line["dir"] == "s2c"]
    assert [normal(event) for event in player.got] == expected
    for event in player.got:
        beta_wire.check(event)


def test_a_voice_that_is_fixed_is_refused_in_the_words_of_the_beta():
    player = Player(Beta("conv_B1"))
    player.client({"type": "response.create"})
    player.give(sig.ReplyText("resp_1", "Hello!"))
    player.give(sig.ReplyAudio("resp_1", pcm(100)))
    player.client({"type": "session.update", "event_id": "e", "session": {"voice": "sage"}})
    error = player.got[-1]["error"]
    assert (error["code"], error["param"]) == ("cannot_update_voice", "session.voice")
    assert error["event_id"] == "e"


def test_the_temperature_of_a_beta_session_is_kept_and_shown():
    player = Player(Beta("conv_B1"))
    player.client({"type": "session.update", "session": {"temperature": 1.1}})
    assert player.got[-1]["session"]["temperature"] == 1.1
    player.client({"type": "session.update", "session": {"temperature": None}})
    assert player.got[-1]["session"]["temperature"] == 0.8


def test_a_lenient_ga_answers_a_beta_update_in_ga():
    player = Player(Ga())
    player.client(
        {
            "type": "session.update",
            "session": {"modalities": ["text"], "voice": "sage", "turn_detection": None},
        }
    )
    updated = wire.check(player.got[-1])
    assert updated["type"] == "session.updated"
    assert updated["session"]["output_modalities"] == ["text"]
    assert updated["session"]["audio"]["output"]["voice"] == "sage"
    assert updated["session"]["audio"]["input"]["turn_detection"] is None


def test_a_temperature_is_taken_but_ga_has_no_place_to_show_it():
    player = Player(Ga())
    player.client({"type": "session.update", "session": {"temperature": 1.1}})
    assert "temperature" not in player.got[-1]["session"]
    given = {"output": [], "temperature": 1.1}
    for event in (ev.ResponseCreated(given), ev.ResponseDone(given)):
        [message] = Ga().encode(event, lambda: "event_1")
        assert json.loads(message)["response"] == {"output": []}


def test_a_lenient_ga_shows_a_beta_item_as_one_of_ga():
    content = [{"type": "text", "text": "Hi"}]
    item = {"type": "message", "role": "assistant", "content": content}
    player = Player(Ga())
    player.client({"type": "conversation.item.create", "item": item})
    added, done = (wire.check(event) for event in player.got[-2:])
    assert added["item"]["content"] == [{"type": "output_text", "text": "Hi"}]
    assert done["type"] == "conversation.item.done"


def errors_of_the_transcript() -> list[tuple[Event, Event]]:
    """The client events of transcript 08 that are refused before the session sees them."""
    events = [line.get("event") for line in lines_of("08")]
    return [
        (sent, answer["error"])
        for sent, answer in itertools.pairwise(events)
        if sent and answer and answer["type"] == "error" and sent["type"] != "error"
        if isinstance(decode(json.dumps(sent)), Refusal)
    ]


@pytest.mark.parametrize(
    ("sent", "error"), errors_of_the_transcript(), ids=lambda e: e.get("event_id")
)
def test_the_errors_of_the_live_service(sent, error):
    """Transcript 08. All but e18, which only a beta client sends, are the same if lenient."""
    of_beta = sent.get("event_id") == "e18"
    for dialect in [Ga(strict=True)] if of_beta else [Ga(strict=True), Ga()]:
        refusal = dialect.decode(json.dumps(sent))
        assert isinstance(refusal, Refusal)
        assert json.loads(encode(ev.Error.of(refusal), "event_1"))["error"] == error


def test_only_the_lenient_understands_a_beta_response():
    sent = '{"type":"response.create","response":{"modalities":["text"]}}'
    assert isinstance(Ga(strict=True).decode(sent), Refusal)
    assert not isinstance(Ga().decode(sent), Refusal)


@pytest.mark.parametrize("dialect", [Ga(), Ga(strict=True), Beta("conv_1")])
def test_audio_is_what_the_codec_makes_of_it(dialect):
    """Byte for byte; the beta's frames only have another name."""
    frame = bytes(range(256)) * 3
    text = json.dumps(
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(frame).decode()}
    )
    assert dialect.decode(text) == decode(text)
    event = ev.AudioDelta("resp_1", "item_1", 0, 0, frame)
    [message] = dialect.encode(event, lambda: "event_1")
    plain = encode(event, "event_1")
    if isinstance(dialect, Beta):
        plain = plain.replace(b"output_audio", b"audio")
    assert message == plain
