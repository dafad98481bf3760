"""Anything a client or a backend may send, in any order: the invariants of contract §3.6.

The ledger reads the server events as a client does. `Machine` is the world around a
session: a client that makes mistakes and backends that keep their own contract but whose
news may come late.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import KINDS, AppendAudio, ClientEvent
from gateway.realtime.codec import decode, encode
from gateway.realtime.session import Identity, Session
from tests import wire
from tests.ledger import Ledger
from tests.script import Event, only, pcm

NAMES = st.sampled_from(["a", "b", "c", "x" * 33])
PLACES = st.sampled_from([None, "", "root", "a", "b", "nope"])
TEXT = st.sampled_from(["", "hi", "one two three"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "id", "role", "content", "audio"]), inner)
    ),
    max_leaves=8,
)
PATCHES = st.fixed_dictionaries(
    {"type": st.just("realtime")},
    optional={
        "instructions": st.none() | TEXT,
        "output_modalities": st.sampled_from([["text"], ["audio"], ["audio", "text"], None]),
        "max_output_tokens": st.sampled_from([1, 4096, 4097, "inf", None]),
        "tools": st.sampled_from([[], [{"type": "function", "name": "f"}], [{"type": "mcp"}]]),
        "tool_choice": st.sampled_from(["auto", "none", {"type": "function", "name": "f"}, 1]),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "transcription": st.sampled_from([None, {"model": "m"}, {}]),
                        "turn_detection": st.none()
                        | st.fixed_dictionaries(
                            {"type": st.sampled_from(["server_vad", "server_vad", "semantic_vad"])},
                            optional={
                                "create_response": st.booleans(),
                                "interrupt_response": st.booleans(),
                            },
                        ),
                    },
                ),
                "output": st.fixed_dictionaries({"voice": st.sampled_from(["alloy", "ash"])}),
            },
        ),
    },
)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "input_text", "text": text}, TEXT),
    st.builds(lambda text: {"type": "output_text", "text": text}, TEXT),
    st.just({"type": "input_audio", "audio": "AAAA"}),
    st.just({"type": "input_audio", "audio": "AAAA", "transcript": "known"}),
)
ITEMS = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("message"),
            "role": st.sampled_from(["user", "assistant", "system"]),
            "content": st.lists(PARTS, max_size=2),
        },
        optional={"id": NAMES},
    ),
    st.fixed_dictionaries(
        {"type": st.just("function_call"), "name": st.just("f"), "arguments": TEXT},
        optional={"call_id": st.sampled_from(["call_1", "call_9"])},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("function_call_output"),
            "call_id": st.sampled_from(["call_1", "call_9"]),
            "output": TEXT,
        }
    ),
)
WORDS = "one two three"


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.n = 0
        self.ledger = Ledger()
        self.session = Session(Identity("sess_1", "m", 1), new_id=self.new_id)
        self.utterances: list[str] = []  # all that recognition has a name for
        self.wordless: set[str] = set()  # committed, words still to come
        self.running: set[str] = set()  # replies that backends work on
        self.asked: set[str] = set()
        self.calls: dict[str, str] = {}  # open call → arguments so far

    def new_id(self, prefix: str) -> str:
        self.n += 1
        return f"{prefix}_{self.n}"

    def give(self, given: ClientEvent | sig.Signal) -> list[do.Effect]:
        effects = self.session.receive(given)
        for effect in effects:
            self._see(effect)
        return effects

    def _see(self, effect: do.Effect) -> None:
        match effect:
            case do.Send(event):
                self.ledger.read(wire.check(json.loads(encode(event, "event_x"))))
            case do.StartReply(response_id=rid):
                assert rid not in self.asked
                assert rid == self.ledger.live
                self.asked.add(rid)
                self.running.add(rid)
                self.calls.clear()
            case do.StopReply(rid):
                self.running.remove(rid)
            case do.EndUtterance(utterance) | do.Transcribe(utterance=utterance):
                self.utterances.append(utterance)
                self.wordless.add(utterance)

    def client(self, type_: str, **fields: Any) -> None:
        effects = self.give(decode(json.dumps({"type": type_, "event_id": "e", **fields})))
        errors = [s for s in only(effects, do.Send) if s.event.__class__.__name__ == "Error"]
        if errors:  # I14
            assert effects == errors
            assert len(errors) == 1
            assert errors[0].event.error.event_id == "e"

    # The client.

    @initialize()
    def opens(self) -> None:
        for effect in self.session.open():
            self._see(effect)

    @rule(session=PATCHES)
    def updates(self, session: Event) -> None:
        self.client("session.update", session=session)

    @rule()
    def looks(self) -> None:
        before = self.ledger.session
        self.client("session.update", session={"type": "realtime"})
        assert self.ledger.session == before  # refused updates changed nothing

    @rule(ms=st.sampled_from([1, 60, 100, 2000]))
    def appends(self, ms: int) -> None:
        self.give(AppendAudio(pcm(ms) + b"\1"))

    @rule(what=st.sampled_from(["commit", "commit", "clear"]))
    def ends_or_clears(self, what: str) -> None:
        self.client(f"input_audio_buffer.{what}")

    @rule(item=ITEMS, place=PLACES)
    def creates(self, item: Event, place: str | None) -> None:
        self.client("conversation.item.create", item=item, previous_item_id=place)

    @rule(data=st.data(), verb=st.sampled_from(["retrieve", "delete", "truncate"]))
    def picks(self, data: st.DataObject, verb: str) -> None:
        item_id = data.draw(st.sampled_from([*self.ledger.order, "nope"]))
        more = {"content_index": 0, "audio_end_ms": data.draw(st.sampled_from([0, 20, 10**9]))}
        self.client(
            f"conversation.item.{verb}", item_id=item_id, **(more if verb == "truncate" else {})
        )

    @rule(
        response=st.sampled_from([None, {}, {"output_modalities": ["text"]}, {"conversation": "?"}])
    )
    def asks(self, response: Event | None) -> None:
        self.client("response.create", response=response)

    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        rid = data.draw(st.sampled_from([None, "nope", *sorted(self.asked)]))
        self.client("response.cancel", response_id=rid)

    @rule(
        type_=st.sampled_from([*KINDS, "nope"]),
        fields=st.dictionaries(
            st.sampled_from(["session", "audio", "item", "item_id", "response", "event_id"]), JSON
        ),
    )
    def babbles(self, type_: str, fields: Event) -> None:
        effects = self.give(decode(json.dumps({"type": type_, **fields})))
        assert effects or type_ == "input_audio_buffer.append"

    @rule(junk=JSON | st.text(max_size=9))
    def sends_junk(self, junk: Any) -> None:
        text = junk if isinstance(junk, str) else json.dumps(junk)
        assert len(self.give(decode(text))) == 1

    # Recognition.

    @rule()
    def speech_starts(self) -> None:
        name = f"u{len(self.utterances)}"
        self.utterances.append(name)
        self.give(sig.SpeechStarted(name, len(self.utterances) * 100))

    @rule(data=st.data())
    @precondition(lambda self: self.utterances)
    def speech_stops(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.utterances))
        if self.give(sig.SpeechStopped(name, len(self.utterances) * 100)):
            self.wordless.add(name)

    @rule(data=st.data(), stable=st.integers(0, len(WORDS)))
    @precondition(lambda self: self.utterances)
    def seems_to_say(self, data: st.DataObject, stable: int) -> None:
        self.give(sig.Hypothesis(data.draw(st.sampled_from(self.utterances)), WORDS, stable))

    @rule(data=st.data(), failed=st.booleans())
    @precondition(lambda self: self.utterances)
    def words_come(self, data: st.DataObject, failed: bool) -> None:
        name = data.draw(st.sampled_from(self.utterances))
        known = name in self.wordless
        self.wordless.discard(name)
        news = sig.NotTranscribed(name, "?") if failed else sig.Transcribed(name, WORDS, 900)
        effects = self.give(news)
        assert known or not effects  # late news

    @rule()
    def ears_are_lost(self) -> None:
        self.give(sig.EarsLost("away"))
        self.wordless.clear()

    # Thinking and speaking.

    @rule(data=st.data(), text=st.sampled_from(["Well", " then."]), ms=st.sampled_from([20, 500]))
    @precondition(lambda self: self.running)
    def replies(self, data: st.DataObject, text: str, ms: int) -> None:
        [rid] = self.running
        speaks = [sig.ReplyAudio(rid, pcm(ms)), sig.ReplyTiming(rid, ((2, ms),))]
        self.give(data.draw(st.sampled_from([sig.ReplyText(rid, text), *speaks])))

    @rule(call_id=st.sampled_from(["call_1", "call_2"]), ends=st.booleans())
    @precondition(lambda self: self.running)
    def calls_a_function(self, call_id: str, ends: bool) -> None:
        [rid] = self.running
        arguments = self.calls.get(call_id, "")
        if arguments is None:
            return  # done: backends say no more of it
        if ends:
            self.give(sig.ReplyCallDone(rid, call_id, "f", arguments + "}"))
            self.calls[call_id] = None
        else:
            self.calls[call_id] = arguments + "{"
            self.give(sig.ReplyCall(rid, call_id, "f", "{"))

    @rule(how=st.sampled_from(["completed", "max_output_tokens", "failed"]))
    @precondition(lambda self: self.running)
    def reply_ends(self, how: str) -> None:
        [rid] = self.running
        self.running.clear()
        if how == "failed":
            self.give(sig.ReplyFailed(rid, "llm_unavailable", "?"))
        else:
            if any(arguments is not None for arguments in self.calls.values()):
                how = "max_output_tokens"  # cut off in the middle of a call
            incomplete = None if how == "completed" else how
            self.give(sig.ReplyEnded(rid, sig.Tokens(1, 0, 1), incomplete))

    @rule(data=st.data())
    @precondition(lambda self: self.ledger.ended)
    def late_news_come(self, data: st.DataObject) -> None:
        rid = data.draw(st.sampled_from(sorted(self.ledger.ended)))
        late = [
            sig.ReplyText(rid, "late"),
            sig.ReplyAudio(rid, pcm(20)),
            sig.ReplyCall(rid, "call_1", "f", "{"),
            sig.ReplyCallDone(rid, "call_1", "f", "{}"),
            sig.ReplyEnded(rid, sig.Tokens()),
            sig.ReplyFailed(rid, "x", "y"),
        ]
        assert self.give(data.draw(st.sampled_from(late))) == []

    def teardown(self) -> None:
        """Whatever happened, a response waits for words that will come, or runs."""
        for name in sorted(self.wordless):
            self.give(sig.Transcribed(name, WORDS, 900))
        if self.ledger.live:
            assert self.running == {self.ledger.live}
            self.give(sig.ReplyEnded(self.ledger.live, sig.Tokens(), "max_output_tokens"))
        assert self.ledger.live is None
        assert self.asked <= self.ledger.ended


def test_the_invariants_hold_whatever_is_sent():
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=200, stateful_step_count=40, deadline=None, derandomize=True
        ),
    )
