"""A session's recognition stream, as long as there is something to hear.

The first audio opens it: a silent caller costs none. After a long silence it is given
back; the session's clock goes on, so the next stream starts where the last one ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, assert_never

from gateway import metrics
from gateway.backends import Backends, Microphone, Unheard
from gateway.flag import Flag
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import RATE_HZ
from gateway.told import told
from mesh.errors import MeshError, first_of

log = logging.getLogger(__name__)

Command = do.Hear | do.HearFrom | do.Listen | do.EndUtterance | do.ForgetAudio

MOST_BYTES = (
    8 << 20
)  # three minutes of audio: who uploads a recording can still cancel and is ponged
MOST_COMMANDS = 200  # besides audio
PIECE_BYTES = 2 * RATE_HZ * 2  # two seconds of audio go on together


class Later(Protocol):
    """Whoever has words that could not be had found later."""

    @property
    def names(self) -> tuple[str, ...]:
        """Utterances whose words come from there, if at all."""

    def take(self, unheard: Unheard, how: do.Listening) -> None:
        """Do so with this utterance."""


class Ears:
    """Commands wait in order; audio that waits side by side goes out as one message, so an
    unloaded stream adds no delay and a loaded one batches itself."""

    __slots__ = (
        "_backends", "_bytes", "_commands", "_epoch", "_how", "_idle_s", "_others", "_room",
        "_sample", "_wake",
    )  # fmt: skip

    def __init__(self, backends: Backends, idle_s: float, epoch: int = 1) -> None:
        """`epoch`: of the session's owner, which we are."""
        self._backends, self._idle_s, self._epoch = backends, idle_s, epoch
        self._how = do.Listening(None)
        self._commands: deque[Command] | tuple[()] = ()
        """Those that wait; () before the first sound, since an empty deque takes 760 bytes."""
        self._bytes = self._others = 0  # what waits: audio, and commands besides
        self._sample = 0  # of the session's clock, of the next audio to be passed on
        self._wake, self._room = Flag(), Flag(is_set=True)

    @property
    def how(self) -> do.Listening:
        """How to listen, as it was last said."""
        return next(
            (c.how for c in reversed(self._commands) if isinstance(c, do.Listen)), self._how
        )

    def put(self, command: Command) -> None:
        if isinstance(self._commands, tuple):
            if not isinstance(command, do.Hear | do.EndUtterance):
                return self._note(command)  # it holds when the stream opens
            self._commands = deque()
        if isinstance(command, do.Hear):
            self._bytes += len(command.pcm)
            self._commands += _pieces(command)
        else:
            self._others += 1
            self._commands.append(command)
        if self._is_full:
            self._room.clear()
        self._wake.set()

    @property
    def behind_s(self) -> float:
        """How much audio waits."""
        return self._bytes / (RATE_HZ * 2)

    async def room(self) -> None:
        """Wait until less than MOST_BYTES of audio are waiting."""
        await self._room.wait()

    async def run(self, report: Callable[[sig.Signal], None], later: Later) -> None:
        """Listen whenever there is something to hear, until cancelled."""
        while True:
            await self._wake.wait()
            if not self.has_sound:
                self._drop()  # settings only: they hold when the stream opens
                continue
            try:
                await self._listen(report, later)
            except* MeshError as lost:
                self._drop()
                error = first_of(lost)
                log.warning("recognition lost", extra={"reason": error.detail})
                metrics.EARS_LOST.inc()
                report(sig.EarsLost(told(error), later.names))

    async def _listen(self, report: Callable[[sig.Signal], None], later: Later) -> None:
        while self._commands and isinstance(self._commands[0], do.Listen | do.HearFrom):
            self._next()
        async with (
            self._backends.listen(self._how, self._sample, self._epoch) as microphone,
            asyncio.TaskGroup() as tasks,
        ):
            listening = tasks.create_task(self._hear(microphone, report, later), name="listen")
            await self._pass_on(microphone)
            listening.cancel()

    async def _hear(
        self, microphone: Microphone, report: Callable[[sig.Signal], None], later: Later
    ) -> None:
        async for news in microphone:
            if isinstance(news, Unheard):
                later.take(news, self._how)
            else:
                report(news)

    async def _pass_on(self, microphone: Microphone) -> None:
        """Until nothing has come for a long time."""
        while True:
            if not self._commands:
                try:
                    async with asyncio.timeout(self._idle_s):
                        await self._wake.wait()
                except TimeoutError:
                    return
            command = self._next()
            if isinstance(command, do.HearFrom):
                return  # another clock: another stream
            await _pass_to(microphone, command)

    def _next(self) -> Command:
        """Take the next command; audio that follows audio comes with it, up to a piece."""
        assert isinstance(self._commands, deque)
        command = self._commands.popleft()
        if isinstance(command, do.Hear):
            parts, size = [command.pcm], len(command.pcm)
            while self._commands and size < PIECE_BYTES:
                following = self._commands[0]
                if not isinstance(following, do.Hear):
                    break
                parts.append(following.pcm)
                size += len(following.pcm)
                self._commands.popleft()
            command = do.Hear(b"".join(parts))
            self._sample += len(command.pcm) // 2
            self._bytes -= len(command.pcm)
        else:
            self._others -= 1
        self._note(command)
        if not self._commands:
            self._wake.clear()
        if not self._is_full:
            self._room.set()
        return command

    def _note(self, command: Command) -> None:
        if isinstance(command, do.Listen):
            self._how = command.how
        if isinstance(command, do.HearFrom):
            self._sample = command.sample

    @property
    def _is_full(self) -> bool:
        return self._bytes > MOST_BYTES or self._others > MOST_COMMANDS

    @property
    def has_sound(self) -> bool:
        """Whether there is something to hear."""
        return any(isinstance(c, do.Hear | do.EndUtterance) for c in self._commands)

    def _drop(self) -> None:
        while self._commands:
            self._next()


def _pieces(command: do.Hear) -> list[do.Hear]:
    pcm = command.pcm
    if len(pcm) <= PIECE_BYTES:
        return [command]
    return [do.Hear(pcm[at : at + PIECE_BYTES]) for at in range(0, len(pcm), PIECE_BYTES)]


async def _pass_to(
    microphone: Microphone, command: do.Hear | do.Listen | do.EndUtterance | do.ForgetAudio
) -> None:
    match command:
        case do.Hear(pcm):
            await microphone.hear(pcm)
        case do.EndUtterance(utterance):
            await microphone.end_utterance(utterance)
        case do.ForgetAudio():
            await microphone.forget()
        case do.Listen(how):
            await microphone.listen(how)
        case _:
            assert_never(command)
