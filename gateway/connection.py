"""One client's WebSocket: feeds the session, and does what the session says.

What the client is told, other than audio, has been kept before (`gateway/sessions`): whatever
dies, another gateway knows all that the client knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, assert_never

from aiohttp import WSMsgType, web

from gateway import curfew, endings, garbage, metered, metrics
from gateway.allowance import Share
from gateway.audience import Audience
from gateway.conformance import Conformance
from gateway.delivery import ClientGone, Delivery
from gateway.ears import Command, Ears
from gateway.endings import ClientLeft, Ending, Expired, Limits
from gateway.facts import Facts
from gateway.flag import Flag
from gateway.notices import ToOwner
from gateway.outbox import Coming, Outbox, Parcel, SlowClient
from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.codec import BINARY
from gateway.realtime.dialects import Dialect
from gateway.realtime.server_events import Error, RateLimitsUpdated, ServerEvent, SessionCreated
from gateway.reply import Stage
from gateway.sessions.journal import Opened
from gateway.sessions.kept import Kept, Lost
from gateway.sessions.resume import Restored
from gateway.sessions.store import Outcome
from gateway.speaking import Replies
from gateway.stopwatch import Stopwatch
from gateway.tools import Tools
from gateway.words import Words

FLUSH_S = 1.0  # for what is on its way when a session moves


class Connection:
    """Everything that lives exactly as long as one WebSocket."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        kept: Kept,
        *,
        dialect: Dialect,
        stage: Stage,
        meter: Share,
        facts: Facts,
        audience: Audience,
        limits: Limits,
        hang_up: Callable[[], None],
        unsent: Callable[[], int] = int,
        conformance: Conformance | None = None,
    ) -> None:
        """
        Args:
            kept: The session.
            hang_up: Drops the TCP connection at once.
            unsent: How many bytes wait for the client's socket.
            conformance: Checks every message that is sent.
        """
        self.kept, self._session, self._journal = kept, kept.session, kept.journal
        self._dialect, self._meter, self.audience = dialect, meter, audience
        self._delivery = Delivery(ws, kept, dialect, audience, conformance, unsent)
        self._ws, self._facts, self._limits, self.hang_up = ws, facts, limits, hang_up
        kept.keep_fact, kept.lost = facts.keep, self._lost
        self._outbox = Outbox(self._delivery.sent)
        self._ears = Ears(stage.backends, limits.stt_idle_s, kept.epoch)
        self._tools = Tools(stage.backends)
        self._words = Words(stage.backends, stage.queue, self.take, self.start)
        self._replies = Replies(stage)
        self._listening: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._watch = Stopwatch(time.monotonic)
        self._why: Ending | None = None
        self._is_leaving, self._has_read_all = False, Flag()
        self._tasks: asyncio.TaskGroup
        self._scope = asyncio.timeout(None)
        self.has_left = Flag()
        """Set when all that was to be kept of the session is."""

    @property
    def is_quiet(self) -> bool:
        """Whether the session is between two turns, and the client knows all of it."""
        return not (self._outbox or self._replies) and self._session.is_quiet

    async def run(self, restored: Restored | None = None) -> Ending:
        """Serve the client until it leaves, its time is over, or something breaks. The session
        may have begun elsewhere."""
        metrics.SESSIONS.inc()
        why: Ending = Ending()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    async with self._scope:
                        curfew.within(self._scope, 0 if self._why else self._limits.session_s)
                        self._begin(restored)
                        await self._read()
                except TimeoutError:
                    raise self._why or Expired() from None
        except ExceptionGroup as group:  # the very one, which except* would not give
            why = endings.found_in(group)
        finally:
            self._why = why
            metrics.SESSIONS.dec()
            # Frames hold on to us, and so do the words we wait for.
            del self._tasks, self._scope, self._listening, self._writing, self._words
        return why

    def end(self, why: Ending) -> None:
        """The connection ends now."""
        if self._why is None:
            self._why = why
            with suppress(RuntimeError):  # it has not begun, or ends already
                self._scope.reschedule(0)

    async def moved(self) -> None:
        self.end(endings.Superseded())
        with suppress(TimeoutError):  # it can be claimed from a connection that hangs, too
            async with asyncio.timeout(FLUSH_S):
                await self.has_left.wait()

    async def drain(self) -> None:
        """Stop what runs; what is on its way to the client goes out. Then the connection ends."""
        self._replies.stop_all()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FLUSH_S):
                await self._outbox.emptied()
                # What the client says until it has read this is kept, and done elsewhere.
                self._is_leaving = True
                await self._ws.send_frame(endings.RESTART_FRAME, WSMsgType.CLOSE)
                await self._has_read_all.wait()
        self.end(endings.Drained())

    def _begin(self, restored: Restored | None) -> None:
        if restored is None:
            effects = self._session.open()
            after = self.kept.note(Opened(), effects)
            for effect in effects:
                self._do(effect, after)
            return
        for fact in restored.facts:
            self._facts.keep(fact, again=True)
        created = SessionCreated(self._session.wire())
        self._put(Parcel(created, self._journal.beside(restored.sent), seq=restored.sent))
        self._outbox.expect(len(restored.unsent))
        for n, event in restored.unsent:
            self._put(Parcel(event, self._journal.id_of(n), seq=n))
        self.take(self.kept.resumed())

    def take(
        self, event: ce.ClientEvent | sig.Signal, raw: str | bytes = "", sideband_id: str = ""
    ) -> None:
        """Decide on one input and set its effects going.

        No await: nothing can come between a decision and its effects.

        Args:
            raw: The message that a client's event was read from.
            sideband_id: Who sent that, if not the client.
        """
        if self._why is not None:
            return  # news on its way while everything ends
        if not isinstance(event, ce.ClientEvent):
            self._watch.see(event)
            self._replies.see(event, self._session, self._tasks)
            if isinstance(event, sig.SpeechStopped):
                self._await_words(event.utterance)
        effects = self._session.receive(event)
        self._replies.start(() if self._is_leaving else effects, self._tasks, self)
        after = self.kept.note(event, effects, raw)
        for effect in effects:
            if not self._is_leaving:
                self._do(effect, after, sideband_id)
            elif isinstance(effect, do.Send):
                self._journal.stamp(effect.event)  # it is told elsewhere

    async def room(self) -> None:
        await self._outbox.room()

    def _do(self, effect: do.Effect, after: int, to: str = "") -> None:  # noqa: C901
        match effect:
            case do.Send(event):
                to = to if isinstance(event, Error) else ""
                self._send(event, self._journal.stamp(event), after, to)
            case do.Hear() | do.HearFrom() | do.Listen() | do.ForgetAudio():
                self._hear(effect)
            case do.EndUtterance():
                self._watch.spoken()
                self._await_words(effect.utterance)
                self._hear(effect)
            case do.Transcribe():
                self._words.transcribe(effect, self._ears.how)
            case do.StartReply():
                self._watch.replying(effect.response_id)  # it has started
            case do.StopReply(response_id):
                self._replies.stop(response_id)
                self._outbox.drop_audio(response_id)
            case do.CountRequest() | do.TellLimits():
                self._count(effect)
            case do.ListTools() | do.CallTool() | do.DropTool():
                self._tools.start(effect, self._tasks, self.take)
            case do.Record(fact):
                if isinstance(fact, do.ResponseKept):
                    self._watch.ended(fact.response_id)
                self.kept.fact(fact, after)
            case _:
                assert_never(effect)

    def _send(self, event: Coming, event_id: str, after: int = 0, to: str = "") -> None:
        told = self._journal.seq, to, self._journal.played_with(event)
        self._put(Parcel(event, event_id, after, *told))

    def _put(self, parcel: Parcel) -> None:
        self._outbox.put(parcel)
        if self._writing is None:
            self._writing = self._tasks.create_task(self._write(), name="write")

    def _hear(self, command: Command) -> None:
        self._ears.put(command)
        if self._listening is None and self._ears.has_sound:
            hearing = self._ears.run(self.take, self._words)
            self._listening = self._tasks.create_task(hearing, name="ears")
            self._listening.add_done_callback(garbage.forget_cancelled)

    def _await_words(self, utterance: str) -> None:
        self._words.overdue(utterance, self._ears.behind_s + self._limits.words_s)

    async def _read(self) -> None:
        async for message in self._ws:
            began_s = time.perf_counter()
            metrics.EVENTS.labels("in").inc()
            if message.type is WSMsgType.TEXT:
                await self.said(self._dialect.decode(message.data), message.data)
            else:
                self.take(BINARY)
            metrics.MESSAGE.observe(time.perf_counter() - began_s)
            del message  # the next one may be long in coming
            await self._ears.room()
            await self._outbox.room()
        self._has_read_all.set()
        raise self._over(endings.Drained() if self._is_leaving else ClientLeft(self._ws.close_code))

    async def said(self, event: ce.ClientEvent, raw: str | bytes, sideband_id: str = "") -> None:
        """Somebody's event, which may be refused beyond the tenant's limits."""
        self.take(await metered.checked(self._meter, event), raw, sideband_id)

    async def _write(self) -> None:
        try:
            while self._outbox or self._replies or self._listening:
                await self._delivery.send(await self._outbox.get())
                self._outbox.delivered()
        except SlowClient:
            metrics.SLOW_CLIENTS.inc()
            raise self._over(endings.Slow()) from None
        except ClientGone:
            raise self._over(ClientLeft()) from None
        except Lost:
            return  # `_lost` has been told
        self._writing = None  # an idle connection has no use for it

    def hear(self, sender: str, notice: ToOwner) -> bool:
        """Something of a sideband; see Audience."""
        if self._why is not None or self._is_leaving:
            return False
        return self.audience.hear(sender, notice, self)

    def welcome(self, sideband_id: str) -> None:
        self._send(SessionCreated(self._session.wire()), self._journal.beside(), to=sideband_id)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.create_task(work, name=name)

    def _count(self, what: do.CountRequest | do.TellLimits) -> None:
        if isinstance(what, do.CountRequest):
            self._tasks.create_task(self._meter.count_request(), name="count")
        else:
            left = self._tasks.create_task(self._left_after(what.tokens), name="limits")
            self._send(left, self._journal.beside())

    async def _left_after(self, tokens: int) -> ServerEvent:
        return RateLimitsUpdated(await self._meter.spend_tokens(tokens))

    def _lost(self, outcome: Outcome) -> None:
        self.end(endings.Closed() if outcome is Outcome.GONE else endings.Moved())

    def _over(self, why: Ending) -> Ending:
        self._why = why  # no new task can start any more
        return why
