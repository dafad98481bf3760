"""The world around one session: a client that makes mistakes, and backends that keep their
own contract but whose news may come late. What happens is read from a tape (`babble.py`).

The ledger reads the server events as a client does; here is checked what only the server
sees: that a refused event changes nothing, and that all work that is begun ends once.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.realtime import effects as do
from gateway.realtime import server_events as ev
from gateway.realtime import signals as sig
from gateway.realtime.client_events import KINDS, ClientEvent
from gateway.realtime.dialects import Beta, Dialect, Ga
from gateway.realtime.guessing import guess
from gateway.realtime.identity import Identity
from gateway.realtime.session import Session
from gateway.realtime.settings import Kind
from tests import babble, shapes
from tests.babble import HTTP_ERROR, LOOK, PROMPTS, Tape
from tests.ledger import Ledger
from tests.script import event_of, pcm
from tests.talker import NOTICE, Talker

WORDS = "one two three"


class Ids:
    """Unique ids. They are no part of the session's state."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, prefix: str = "event") -> str:
        self.n += 1
        return f"{prefix}_{self.n}"

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (Ids, ())


class World:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.kind: Kind = tape.pick(["realtime", "realtime", "realtime", "transcription"])
        self.new_id = Ids()
        self.session = self.new_session()
        self.beta = Beta(self.session.conversation.id)
        self.ga: Dialect = Ga()
        dialects: list[Dialect] = [self.ga, self.ga, Ga(strict=True), self.beta]
        self.dialect = tape.pick(dialects)
        self.ledger = Ledger()
        self.steps = 0
        self.rejected = 0
        self.ms = 0  # of audio appended, about
        self.raw: bytes | str = b""  # the client's last message
        self.n_spoken = 0
        self.spoken: list[str] = []  # utterances that recognition found
        self.wordless: set[str] = set()  # utterances whose words will come
        self.stale: list[str] = []  # utterances whose words came
        self.talker = Talker(tape, lambda news: self.give(news))
        self.asked: set[str] = set()
        self.tools: dict[str, do.ListTools | do.CallTool] = {}
        self.late_tools: list[str] = []
        self.open()

    def new_session(self) -> Session:
        identity = Identity("sess_1", "gpt-realtime", 1, self.kind)
        return Session(identity, new_id=self.new_id, prompts=PROMPTS, kept_ms=300)

    def open(self) -> None:
        self.see(self.session.open())

    @property
    def names(self) -> list[str]:
        """Ids that the client knows, those of late first."""
        return self.ledger.order[-6:][::-1]

    # What the session does.

    def give(self, given: ClientEvent | sig.Signal) -> list[do.Effect]:
        effects = self.session.receive(given)
        self.see(effects)
        return effects

    def see(self, effects: list[do.Effect]) -> None:
        for n, effect in enumerate(effects):
            event = event_of(effect)
            if event is not None:
                self._tell(event)
            if isinstance(event, ev.ResponseDone):
                self._is_over(event.response, effects[n + 1 : n + 2])
            elif isinstance(effect, do.TellLimits):
                assert isinstance(event_of(effects[n - 1]), ev.ResponseDone)
            else:
                self._work(effect)

    def _tell(self, event: ev.ServerEvent) -> None:
        [message] = self.ga.encode(event, self.new_id)
        shapes.check(message)
        if not isinstance(event, ev.RateLimitsUpdated):
            self.ledger.read(json.loads(message))
        if self.dialect is self.beta:
            for message in self.beta.encode(event, self.new_id):
                shapes.check_beta(message)

    def _is_over(self, response: dict[str, Any], after: list[do.Effect]) -> None:
        """Whoever works on a response that is over has ended, or was told to stop."""
        assert response["id"] not in self.talker.running, "nobody stopped it"
        if response["status"] == "failed":
            assert not any(isinstance(effect, do.TellLimits) for effect in after)
        else:
            assert after == [do.TellLimits(response["usage"]["total_tokens"])]

    def _work(self, effect: do.Effect) -> None:
        match effect:
            case do.StartReply(response_id=rid):
                assert rid not in self.asked
                assert rid in self.ledger.live
                lines = [line.item for line in effect.context]
                assert all(getattr(item, "status", "") != "in_progress" for item in lines)
                assert NOTICE not in [line.text for line in effect.context]
                assert rid not in self.talker.muted or effect.voice is None
                self.asked.add(rid)
                self.talker.start(effect)
            case do.StopReply(rid):
                del self.talker.running[rid]
            case do.EndUtterance(name) | do.Transcribe(utterance=name):
                assert name not in self.wordless, "two recordings under one name"
                self.wordless.add(name)
            case do.ListTools(item_id=item_id) | do.CallTool(item_id=item_id):
                assert item_id not in self.tools
                self.tools[item_id] = effect
            case do.DropTool(item_id):
                del self.tools[item_id]
                self.late_tools.append(item_id)
            case do.Hear(data):
                assert len(data) % 2 == 0

    def client(self, type_: str, **fields: Any) -> list[do.Effect]:
        message = msgspec.json.encode({"type": type_, "event_id": "e", **fields})
        return self._from_client(message, "e")

    def _from_client(self, message: bytes | str, event_id: str | None) -> list[do.Effect]:
        self.raw = message
        given = self.dialect.decode(message)
        before = self._state() if self.tape.byte() % 4 == 0 else None
        effects = self.give(given)
        events = [event_of(effect) for effect in effects]
        errors = [e.error.event_id for e in events if isinstance(e, ev.Error)]
        if event_id in errors and (event_id or len(effects) == 1):  # I14
            self.rejected += 1
            assert (len(effects), errors) == (1, [event_id])
            assert before is None or before == self._state(), "a refused event changed something"
        return effects

    def _state(self) -> bytes:
        return pickle.dumps(self.session)

    # What may happen.

    def step(self) -> None:
        n = self.tape.byte()
        if n:
            self.steps += 1
            ACTIONS[n % len(ACTIONS)](self)

    def updates(self) -> None:
        beta = self.dialect is self.beta
        type_ = "session.update"
        if beta and self.kind == "transcription":
            type_ = "transcription_session.update"
        self.client(type_, session=babble.session(self.tape, self.kind, beta=beta))

    def listens_otherwise(self) -> None:
        """A plain update of what decides most about turns."""
        heard = {
            "turn_detection": babble.vad(self.tape),
            "transcription": self.tape.pick([{"model": "whisper-1"}, None]),
        }
        self.client("session.update", session={"type": self.kind, "audio": {"input": heard}})

    def appends(self) -> None:
        self._append(self.tape.pick([20, 1, 100, 100, 500]), self.tape.pick([0, 0, 1]))

    def is_silent_for_long(self) -> None:
        self._append(20)
        self._append(5200)

    def _append(self, ms: int, extra_bytes: int = 0) -> None:
        self.ms += ms
        is_pcm = self.ledger.session["audio"]["input"]["format"]["type"] == "audio/pcm"
        sound = babble.audio(ms * (48 if is_pcm else 8) + extra_bytes)
        self.client("input_audio_buffer.append", audio=sound)

    def ends_or_clears(self) -> None:
        self.client(f"input_audio_buffer.{self.tape.pick(['commit', 'commit', 'clear'])}")

    def creates(self) -> None:
        place = self.tape.pick([None, None, "", "root", "nope", *self.names])
        item = babble.item(self.tape, self.names)
        self.client("conversation.item.create", item=item, previous_item_id=place)

    def picks(self) -> None:
        verb = self.tape.pick(["truncate", "delete", "retrieve"])
        item_id = self.tape.pick([*self.names, "nope", *self.ledger.outputs])
        more = {"content_index": 0, "audio_end_ms": self.tape.pick([0, 20, 100, 10**9])}
        self.client(
            f"conversation.item.{verb}", item_id=item_id, **(more if verb == "truncate" else {})
        )

    def asks(self) -> None:
        ids = [*self.names, *list(self.ledger.speech)[-2:]]
        wanted = babble.response(self.tape, ids, beta=self.dialect is self.beta)
        self.client("response.create", response=wanted)

    def cancels(self) -> None:
        rid = self.tape.pick([None, "nope", *list(self.ledger.live), *list(self.asked)[-2:]])
        aside = self.ledger.aside
        self.client("response.cancel", response_id=rid)
        if rid is None:
            assert self.ledger.aside == aside

    def babbles(self) -> None:
        type_ = self.tape.pick([*KINDS, "nope"])
        keys = ("session", "audio", "item", "item_id", "response", "previous_item_id")
        fields = {self.tape.pick(keys): babble.junk(self.tape) for _ in range(self.tape.byte() % 3)}
        assert self.client(type_, **fields)

    def sends_junk(self) -> None:
        assert len(self._from_client(babble.raw(self.tape), None)) == 1

    # Recognition.

    def speech_starts(self) -> None:
        name = f"u{self.n_spoken}/1"
        self.n_spoken += 1
        self.spoken.append(name)
        live, aside = self.ledger.active, self.ledger.aside
        effects = self.give(sig.SpeechStarted(name, max(0, self.ms - 300)))
        assert self.ledger.aside == aside
        assert effects or self.ledger.active == live

    def speech_stops(self) -> None:
        if self.spoken:
            name = self.tape.pick(self.spoken[-3:][::-1])
            if self.give(sig.SpeechStopped(name, self.ms)):
                self.wordless.add(name)

    def seems_to_say(self) -> None:
        names = sorted(self.wordless) + self.spoken[-1:] + self.stale[-1:]
        if names:
            stable = self.tape.byte() % (len(WORDS) + 1)
            news = sig.Hypothesis(self.tape.pick(names), WORDS, stable)
            asked = guess(self.session, news)
            assert asked is None or self.ledger.active is None
            self.give(news)

    def words_come(self) -> None:
        if self.wordless:
            self._words(self.tape.pick(sorted(self.wordless)))
        elif self.stale:
            name = self.tape.pick(self.stale[-3:])
            assert self.give(sig.Transcribed(name, "again", 900)) == []

    def _words(self, name: str) -> None:
        self.wordless.remove(name)
        self.stale.append(name)
        if self.tape.byte() % 4 == 3:
            self.give(sig.NotTranscribed(name, "?"))
            return
        probable, parts = (("one", -0.1), (" two", -0.2)), (sig.Spoken("one", "speaker_0", 0, 500),)
        news = self.tape.pick(
            [
                sig.Transcribed(name, WORDS, 900),
                sig.Transcribed(name, WORDS, 900, probable),
                sig.Transcribed(name, WORDS, 900, (), parts),
            ]
        )
        self.give(news)

    def ears_are_lost(self) -> None:
        if self.tape.byte() % 4 == 0:
            lost = sorted(self.wordless)
            self.wordless.clear()
            self.give(sig.EarsLost("away"))  # recordings that are kept are heard once more
            self.stale += [name for name in lost if name not in self.wordless]

    # Thinking and speaking.

    def late_news_come(self) -> None:
        if not self.ledger.ended:
            return
        rid = self.tape.pick(sorted(self.ledger.ended)[-4:])
        late: list[sig.Reply] = [
            sig.ReplyText(rid, "late"), sig.ReplyAudio(rid, pcm(20)),
            sig.ReplyCall(rid, "f_1", "f", "{"), sig.ReplyCallDone(rid, "f_1", "f", "{}"),
            sig.ReplyEnded(rid, sig.Tokens()), sig.ReplyFailed(rid, "x", "y"),
        ]  # fmt: skip
        assert self.give(self.tape.pick(late)) == []

    # Servers of tools.

    def tools_answer(self) -> None:
        if self.tools:
            self._answer(self.tape.pick(list(self.tools)))
        elif self.late_tools:
            item_id = self.tape.pick(self.late_tools[-4:])
            late: list[sig.Mcp] = [sig.ToolReturned(item_id, "late")]
            if item_id.startswith("mcpl"):
                late = [sig.ToolsListed(item_id, (LOOK,)), sig.ToolsNotListed(item_id, "late")]
            assert self.give(self.tape.pick(late)) == []

    def _answer(self, item_id: str) -> None:
        asked = self.tools.pop(item_id)
        is_well = self.tape.byte() % 4 != 3
        self.late_tools.append(item_id)
        if isinstance(asked, do.ListTools):
            listed = sig.ToolsListed(item_id, (LOOK,))
            self.give(listed if is_well else sig.ToolsNotListed(item_id, "no"))
        else:
            returned = sig.ToolReturned(item_id, "42")
            self.give(returned if is_well else sig.ToolFailed(item_id, HTTP_ERROR))

    # The end.

    def settle(self) -> None:
        """Whatever happened, all that was begun ends when the backends have their say."""
        while self.tools or self.wordless:
            for item_id in list(self.tools):
                if item_id in self.tools:
                    self._answer(item_id)
            for name in sorted(self.wordless):
                self._words(name)
        for rid in list(self.talker.running):
            self.talker.end(rid, None)
        while self.tools:
            self._answer(next(iter(self.tools)))
        assert not self.ledger.live, "a response waits for nobody"
        assert self.asked <= self.ledger.ended


TALKS = (
    Talker.replies, Talker.replies, Talker.replies, Talker.thinks_no_more, Talker.calls,
    Talker.calls, Talker.reply_ends, Talker.cannot_think,
)  # fmt: skip
ACTIONS: list[Callable[[World], None]] = [
    *(lambda world, talk=talk: talk(world.talker) for talk in TALKS),
    World.asks, World.asks, World.creates, World.creates, World.picks, World.picks, World.cancels,
    World.updates, World.updates, World.listens_otherwise, World.appends, World.ends_or_clears,
    World.is_silent_for_long, World.babbles, World.sends_junk, World.speech_starts,
    World.speech_stops, World.seems_to_say, World.words_come, World.words_come,
    World.ears_are_lost, World.late_news_come, World.tools_answer, World.tools_answer,
]  # fmt: skip
