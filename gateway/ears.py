"""A session's recognition stream, as long as there is something to hear.

The first audio opens it: a silent caller costs none. After a long silence it is given
back; the session's clock goes on, so the next stream starts where the last one ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import assert_never

from gateway.backends import Backends, Microphone
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import RATE_HZ
from gateway.told import told
from mesh.errors import MeshError, first_of

log = logging.getLogger(__name__)

Command = do.Hear | do.Listen | do.EndUtterance | do.ForgetAudio

MOST_BYTES = 2 * RATE_HZ * 2  # two seconds of audio; a client that sends faster than that waits
MOST_COMMANDS = 200


class Ears:
    """Commands wait in order; audio that waits side by side goes out as one message, so an
    unloaded stream adds no delay and a loaded one batches itself."""

    def __init__(self, backends: Backends, idle_s: float) -> None:
        self._backends, self._idle_s = backends, idle_s
        self._how = do.Listening(None)
        self._commands: deque[Command] = deque()
        self._bytes = 0
        self._sample = 0  # of the session's clock, of the next audio to be passed on
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def how(self) -> do.Listening:
        """How to listen, as it was last said."""
        return next(
            (c.how for c in reversed(self._commands) if isinstance(c, do.Listen)), self._how
        )

    def put(self, command: Command) -> None:
        self._commands.append(command)
        if isinstance(command, do.Hear):
            self._bytes += len(command.pcm)
        if self._is_full:
            self._room.clear()
        self._wake.set()

    async def room(self) -> None:
        """Wait until less than two seconds of audio are waiting."""
        await self._room.wait()

    async def run(self, report: Callable[[sig.Signal], None]) -> None:
        """Listen whenever there is something to hear, until cancelled."""
        while True:
            await self._wake.wait()
            if not self._has_sound():
                self._drop()  # settings only: they hold when the stream opens
                continue
            try:
                await self._listen(report)
            except* MeshError as lost:
                self._drop()
                error = first_of(lost)
                log.warning("recognition lost", extra={"reason": error.detail})
                report(sig.EarsLost(told(error)))

    async def _listen(self, report: Callable[[sig.Signal], None]) -> None:
        while self._commands and isinstance(self._commands[0], do.Listen):
            self._next()
        async with (
            self._backends.listen(self._how, self._sample) as microphone,
            asyncio.TaskGroup() as tasks,
        ):
            listening = tasks.create_task(_report_all(microphone, report), name="listen")
            await self._pass_on(microphone)
            listening.cancel()

    async def _pass_on(self, microphone: Microphone) -> None:
        """Until nothing has come for a long time."""
        while True:
            if not self._commands:
                try:
                    async with asyncio.timeout(self._idle_s):
                        await self._wake.wait()
                except TimeoutError:
                    return
            match self._next():
                case do.Hear(pcm):
                    await microphone.hear(pcm)
                case do.EndUtterance(utterance):
                    await microphone.end_utterance(utterance)
                case do.ForgetAudio():
                    await microphone.forget()
                case do.Listen(how):
                    await microphone.listen(how)
                case other:
                    assert_never(other)

    def _next(self) -> Command:
        """Take the next command; audio that follows audio comes with it."""
        command = self._commands.popleft()
        if isinstance(command, do.Hear):
            parts = [command.pcm]
            while self._commands and isinstance(self._commands[0], do.Hear):
                following = self._commands.popleft()
                assert isinstance(following, do.Hear)
                parts.append(following.pcm)
            command = do.Hear(b"".join(parts))
            self._sample += len(command.pcm) // 2
        elif isinstance(command, do.Listen):
            self._how = command.how
        if not self._commands:
            self._wake.clear()
        self._bytes = sum(len(c.pcm) for c in self._commands if isinstance(c, do.Hear))
        if not self._is_full:
            self._room.set()
        return command

    @property
    def _is_full(self) -> bool:
        return self._bytes > MOST_BYTES or len(self._commands) > MOST_COMMANDS

    def _has_sound(self) -> bool:
        return any(isinstance(c, do.Hear | do.EndUtterance) for c in self._commands)

    def _drop(self) -> None:
        while self._commands:
            self._next()


async def _report_all(microphone: Microphone, report: Callable[[sig.Signal], None]) -> None:
    async for signal in microphone:
        report(signal)
