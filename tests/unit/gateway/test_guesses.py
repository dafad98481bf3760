from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from gateway.guesses import Guesses
from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from mesh.errors import Unavailable
from tests.fakes.backends import FakeBackends
from tests.script import Script, only, pcm

WORDS = "hello there"
ANSWER = [
    sig.ReplyText("resp", "Hi "), sig.ReplyText("resp", "there."),
    sig.ReplyEnded("resp", sig.Tokens(10, 0, 2)),
]  # fmt: skip


def seems(text: str = WORDS) -> sig.Hypothesis:
    return sig.Hypothesis("u1", text, len(text))


class Room:
    """A session whose user is speaking, and the guesses at it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.script, self.backends = Script(), FakeBackends()
        self.guesses = Guesses(self.backends)
        self._tasks = tasks
        self.script.take(ce.AppendAudio(pcm(1000)))
        self.see(sig.SpeechStarted("u1", 100))

    def see(self, *news: sig.Signal) -> list[do.Effect]:
        effects = []
        for one in news:
            self.guesses.see(one, self.script.session, self._tasks)
            effects += self.script.take(one)
        return effects

    def says(self, text: str) -> do.StartReply:
        effects = self.see(sig.SpeechStopped("u1", 900), sig.Transcribed("u1", text, 800))
        [start] = only(effects, do.StartReply)
        return start

    async def idle(self) -> None:
        """Until no model is at work."""
        async with asyncio.timeout(20):
            while self.backends.open_streams:
                await asyncio.sleep(0)

    async def asked(self) -> list[str]:
        """What the models were asked, when the first is at work."""
        async with asyncio.timeout(20):
            while not self.backends.asked:
                await asyncio.sleep(0)
        return [start.context[-1].text for start in self.backends.asked]


@pytest.fixture
async def room():
    async with asyncio.TaskGroup() as tasks:
        room = Room(tasks)
        yield room
        room.guesses.drop()


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("gateway_guesses_total", {"result": result}) or 0


async def thoughts_of(guess, start) -> list[sig.Reply]:
    async with asyncio.timeout(20), guess.adopt(start) as thoughts:
        return [thought async for thought in thoughts]


async def test_a_right_guess_is_the_answer(room):
    before = counted("right")
    room.see(seems())
    assert await room.asked() == [WORDS]
    start = room.says("Hello there.")
    guess = room.guesses.take(start)
    assert guess is not None
    assert [t.response_id for t in await thoughts_of(guess, start)] == [start.response_id] * 3
    assert len(room.backends.asked) == 1
    assert counted("right") == before + 1


async def test_it_is_the_answer_as_the_model_gave_it(room):
    room.see(seems())
    start = room.says(WORDS)
    guess = room.guesses.take(start)
    rid = start.response_id
    wanted = [type(t)(rid, *_rest(t)) for t in ANSWER]
    assert await thoughts_of(guess, start) == wanted


def _rest(thought):
    return [getattr(thought, name) for name in list(thought.__slots__)[1:]]


async def test_a_wrong_guess_is_stopped_and_never_used(room):
    before = counted("wrong")
    room.backends.gate = asyncio.Event()  # which nobody opens
    room.see(seems())
    await room.asked()
    assert room.guesses.take(room.says("hello there my friend")) is None
    await room.idle()
    assert counted("wrong") == before + 1


async def test_the_same_words_again_are_one_guess(room):
    room.see(seems(), seems(), seems("Hello there!"))
    assert await room.asked() == [WORDS]
    assert room.backends.open_streams <= 1


async def test_who_goes_on_speaking_was_guessed_at_too_early(room):
    room.backends.gate = asyncio.Event()
    room.see(seems())
    await room.asked()
    room.see(sig.Hypothesis("u1", "hello there my", 11))
    await room.idle()
    room.see(seems("hello there my friend"))
    start = room.says("hello there my friend")
    room.backends.gate.set()
    assert room.guesses.take(start) is not None


@pytest.mark.parametrize(
    "news", [sig.SpeechStarted("u2", 950), sig.NotTranscribed("u1", "?"), sig.EarsLost("away")]
)
async def test_what_will_not_be_said_is_not_thought_of(room, news):
    room.backends.gate = asyncio.Event()
    room.see(seems())
    await room.asked()
    room.see(news)
    await room.idle()


async def test_a_guess_that_failed_is_no_answer(room):
    room.backends.fail = Unavailable("no provider", tier="llm")
    room.see(seems())
    await room.asked()
    await room.idle()
    room.backends.fail = None
    assert room.guesses.take(room.says(WORDS)) is None


async def test_one_that_fails_later_fails_its_reply(room):
    room.backends.gate = asyncio.Event()

    async def fails(start):
        await room.backends.gate.wait()
        raise Unavailable("gone", tier="llm")
        yield

    room.backends._thoughts = fails
    room.see(seems())
    await room.asked()
    start = room.says(WORDS)
    guess = room.guesses.take(start)
    room.backends.gate.set()
    with pytest.raises(Unavailable):
        await thoughts_of(guess, start)


async def test_a_reply_that_is_stopped_stops_its_guess(room):
    room.backends.gate = asyncio.Event()
    room.see(seems())
    await room.asked()
    start = room.says(WORDS)
    guess = room.guesses.take(start)
    async with guess.adopt(start) as thoughts:
        await anext(thoughts)
    await room.idle()


# In a whole gateway.


class Seems(FakeBackends):
    """Guesses at the words as soon as somebody speaks."""

    def __init__(self, seems: str, words: str) -> None:
        super().__init__(words)
        self.seems = seems

    @asynccontextmanager
    async def listen(self, how, from_sample, epoch=1):
        async with super().listen(how, from_sample) as microphone:
            put = microphone._signals.put_nowait

            def and_guess(news):
                put(news)
                if isinstance(news, sig.SpeechStarted):
                    put(sig.Hypothesis(news.utterance, self.seems, len(self.seems)))

            microphone._signals.put_nowait = and_guess
            yield microphone


class TestWhole:
    @pytest.fixture
    def backends(self):
        return Seems("hello", "Hello.")

    @pytest.fixture
    async def http(self, gateway):
        return await gateway(speculative=True)

    @pytest.mark.parametrize(("words", "n_asked"), [("Hello.", 1), ("hello again", 2)])
    async def test_a_guess_leaves_no_trace(self, client, backends, words, n_asked):
        backends.words = words
        await client.append(b"\x01\x02" * 24_00)
        async with asyncio.timeout(20):
            while not backends.asked:
                await asyncio.sleep(0.001)
        await client.append(bytes(24_00))
        done = await client.until("response.done")
        assert len(backends.asked) == n_asked
        assert backends.asked[-1].context[-1].text.casefold().rstrip(".") == words.lower().rstrip(
            "."
        )
        assert done["response"]["status"] == "completed"
        kinds = [event["type"] for event in client.got]
        assert kinds.count("response.created") == kinds.count("response.done") == 1
        deltas = [e["delta"] for e in client.got if e["type"].endswith("transcript.delta")]
        assert "".join(deltas) == "Hi there."
        assert done["response"]["usage"]["output_token_details"]["text_tokens"] == 2
        assert "guess" not in str(client.got)
