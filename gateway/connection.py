"""One client's WebSocket: feeds the session, and does what the session says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from aiohttp import WSCloseCode, WSMsgType, web

from gateway import metrics, reply
from gateway.allowance import Share
from gateway.conformance import Conformance
from gateway.ears import Ears
from gateway.ids import event_id
from gateway.outbox import Outbox, SlowClient
from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.codec import BINARY, encode
from gateway.realtime.dialects import Dialect
from gateway.realtime.refusals import SERVER_ERROR, Refusal
from gateway.realtime.server_events import Error, RateLimitsUpdated
from gateway.realtime.session import Session
from gateway.realtime.settings import RATE_HZ
from gateway.recorder import Facts
from gateway.reply import Stage
from gateway.stopwatch import Stopwatch
from gateway.told import told
from gateway.tools import Tools
from mesh.errors import MeshError

SEND_S = 10.0  # a client that takes nothing for so long does not read
MOST_TRANSCRIBING = 2  # recordings of one session at a time: the recognisers are everyone's
RESTART_CLOSE = 1012
_GOODBYE_S = 2.0

log = logging.getLogger(__name__)


class ClientLeft(Exception):
    """The client closed its WebSocket: the normal end of a connection."""


class Expired(Exception):
    """The session has lasted as long as it may."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may last, in seconds."""

    session_s: float
    stt_idle_s: float
    words_s: float
    """From the end of an utterance to its words."""


class Connection:
    """Everything that lives exactly as long as one WebSocket."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        session: Session,
        *,
        dialect: Dialect,
        stage: Stage,
        meter: Share,
        facts: Facts,
        limits: Limits,
        hang_up: Callable[[], None],
        conformance: Conformance | None = None,
    ) -> None:
        """
        Args:
            hang_up: Drops the TCP connection at once.
            conformance: Checks every message that is sent.
        """
        self._dialect, self._meter, self._conformance = dialect, meter, conformance
        self._hang_up = hang_up
        self._ws, self._session, self._facts, self._limits = ws, session, facts, limits
        self._outbox = Outbox()
        self._stage = stage
        self._ears = Ears(stage.backends, limits.stt_idle_s)
        self._tools = Tools(stage.backends, self.take)
        self._replies: dict[str, asyncio.Task[None]] = {}
        self._watch = Stopwatch(time.monotonic)
        self._transcribing = asyncio.Semaphore(MOST_TRANSCRIBING)
        self._is_over = False
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Serve the client until it leaves, its time is over, or something breaks."""
        reason = "failed"
        metrics.SESSIONS.inc()
        self._facts.opened(self._session.identity.model)
        log.info("session opened", extra={"model": self._session.identity.model})
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for effect in self._session.open():
                    self._do(effect)
                self._tasks.create_task(self._read(), name="read")
                self._tasks.create_task(self._write(), name="write")
                self._tasks.create_task(self._ears.run(self.take), name="ears")
                self._tasks.create_task(self._expire(), name="expire")
        except* ClientLeft:
            reason = "drain" if self._ws.close_code == RESTART_CLOSE else "client_left"
        except* Expired:
            reason = "expired"
            await self._say_expired()
        except* SlowClient:
            reason = "slow_client"
            metrics.SLOW_CLIENTS.inc()
            self._hang_up()  # a close frame would wait behind what the client does not read
        except* Exception:  # a bug: it ends this session and no other
            log.exception("session failed")
            await self._say_broken()
        finally:
            metrics.SESSIONS.dec()
            self._facts.closed(reason)
            log.info("session closed", extra={"reason": reason})

    def take(self, event: ce.ClientEvent | sig.Signal) -> None:
        """Decide on one input and set its effects going.

        No await: nothing can come between a decision and its effects.
        """
        if self._is_over:
            return  # news on its way while everything ends
        if not isinstance(event, ce.ClientEvent):
            self._watch.see(event)
            if isinstance(event, sig.SpeechStopped):
                self._await_words(event.utterance)
        for effect in self._session.receive(event):
            self._do(effect)

    async def room(self) -> None:
        """Wait until the client has read enough of what it was sent."""
        await self._outbox.room()

    def _do(self, effect: do.Effect) -> None:  # noqa: C901 - a table
        match effect:
            case do.Send(event):
                self._outbox.put(event)
            case do.Hear() | do.Listen() | do.ForgetAudio():
                self._ears.put(effect)
            case do.EndUtterance():
                self._watch.spoken()
                self._await_words(effect.utterance)
                self._ears.put(effect)
            case do.Transcribe():
                name = f"transcribe {effect.utterance}"
                self._tasks.create_task(self._transcribe(effect), name=name)
            case do.StartReply():
                self._reply(effect)
            case do.StopReply(response_id):
                if response_id in self._replies:
                    self._replies.pop(response_id).cancel()
                self._outbox.drop_audio(response_id)
            case do.CountRequest():
                self._meter.take_request()
            case do.TellLimits(tokens):
                self._outbox.put(RateLimitsUpdated(self._meter.spend_tokens(tokens)))
            case do.ListTools() | do.CallTool() | do.DropTool():
                self._tools.start(effect, self._tasks)
            case do.Record(fact):
                if isinstance(fact, do.ResponseKept):
                    self._ended(fact)
                self._facts.keep(fact)
            case _:
                assert_never(effect)

    def _reply(self, start: do.StartReply) -> None:
        rid = start.response_id
        self._watch.replying(rid)
        task = self._tasks.create_task(reply.run(start, self._stage, self), name=rid)
        self._replies[rid] = task
        task.add_done_callback(self._forget)

    def _ended(self, fact: do.ResponseKept) -> None:
        self._watch.ended(fact.response_id)
        metrics.REPLIES.labels(fact.status).inc()
        ids = {"response_id": fact.response_id, "status": fact.status, "reason": fact.reason}
        log.info("reply finished", extra=ids)

    def _await_words(self, utterance: str) -> None:
        overdue = self._words_overdue(utterance, self._ears.behind_s + self._limits.words_s)
        self._tasks.create_task(overdue, name=f"words of {utterance}")

    async def _words_overdue(self, utterance: str, after_s: float) -> None:
        """Give an utterance up whose words do not come: a response may wait for them."""
        await asyncio.sleep(after_s)
        self.take(sig.NotTranscribed(utterance, "Speech recognition took too long."))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._replies = {rid: live for rid, live in self._replies.items() if live is not task}

    async def _read(self) -> None:
        async for message in self._ws:
            began_s = time.perf_counter()
            metrics.EVENTS.labels("in").inc()
            text = message.type is WSMsgType.TEXT
            self._hear(self._dialect.decode(message.data) if text else BINARY)
            metrics.MESSAGE.observe(time.perf_counter() - began_s)
            await self._ears.room()
            await self._outbox.room()
        raise self._over(ClientLeft())

    def _hear(self, event: ce.ClientEvent) -> None:
        """An event of the client. Responses it asks for are counted, and refused beyond the
        tenant's limit."""
        if isinstance(event, ce.CreateResponse):
            wait_s = self._meter.take_request()
            if wait_s is not None:
                event = _too_many(wait_s).of(event.event_id)
        self.take(event)

    async def _write(self) -> None:
        out = metrics.EVENTS.labels("out")
        while True:
            event = await self._outbox.get()
            for message in self._dialect.encode(event, event_id):
                if self._conformance is not None:
                    self._conformance.check(message)
                await self._send(message)
                out.inc()

    async def _send(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._ws.send_str(message.decode())
        except TimeoutError:
            raise self._over(SlowClient()) from None
        except ConnectionError:
            raise self._over(ClientLeft()) from None

    async def _expire(self) -> None:
        await asyncio.sleep(self._limits.session_s)
        raise self._over(Expired())

    def _over(self, why: Exception) -> Exception:
        """The connection ends: no new task can start any more."""
        self._is_over = True
        return why

    async def _say_expired(self) -> None:
        minutes = round(self._limits.session_s / 60)
        sentence = f"Your session hit the maximum duration of {minutes} minutes."
        await say_fatal(self._ws, Refusal("session_expired", sentence), 1001, sentence)

    async def _say_broken(self) -> None:
        sentence = (
            "The server had an error while processing your request. Sorry about that! "
            f"(include session ID in your message: {self._session.identity.session_id}). "
            "We recommend you retry your request."
        )
        refusal = Refusal(None, sentence, type=SERVER_ERROR)
        await say_fatal(self._ws, refusal, WSCloseCode.INTERNAL_ERROR, SERVER_ERROR)

    async def _transcribe(self, wanted: do.Transcribe) -> None:
        """Recognise a recording that came with an item."""
        try:
            async with self._transcribing:
                text = await self._stage.backends.transcribe(wanted.pcm, self._ears.how)
        except MeshError as error:
            log.warning("recording not transcribed", extra={"reason": error.detail})
            self.take(sig.NotTranscribed(wanted.utterance, told(error)))
        else:
            audio_ms = len(wanted.pcm) * 1000 // (RATE_HZ * 2)
            self.take(sig.Transcribed(wanted.utterance, text, audio_ms))


def _too_many(wait_s: float) -> Refusal:
    message = f"Rate limit reached. Please try again in {wait_s:.3f}s."
    return Refusal("rate_limit_exceeded", message, type="rate_limit_error")


async def say_fatal(ws: web.WebSocketResponse, refusal: Refusal, code: int, reason: str) -> None:
    """One error event, then the end of the connection (contract §1.3, §1.5)."""
    message = encode(Error.of(refusal), event_id())
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await ws.send_str(message.decode())
            await ws.close(code=code, message=reason.encode())
    except (ConnectionError, TimeoutError):
        return  # it is not there, or does not read
