"""The mesh as the gateway sees it. `clients.py` speaks to the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.signals import (
    Hearing,
    ReplyAudio,
    ReplyCall,
    ReplyCallDone,
    ReplyDegraded,
    ReplyEnded,
    ReplyText,
    ReplyTiming,
)

Thought = ReplyText | ReplyCall | ReplyCallDone | ReplyEnded
Sound = ReplyAudio | ReplyTiming | ReplyDegraded


class Microphone(Protocol):
    """Speech recognition on one session's audio. Iterate it for what the user does.

    Iterating raises MeshError when recognition has been away for too long.
    """

    async def hear(self, pcm: bytes) -> None:
        """Pass on audio (PCM16 LE mono 24 kHz). Waits while recognition is behind."""

    async def end_utterance(self, utterance: str) -> None:
        """What was heard since the last utterance is one; its words come under this name."""

    async def forget(self) -> None:
        """Drop what was heard and is not part of an utterance yet."""

    async def listen(self, how: Listening) -> None:
        """Listen like this from now on."""

    def __aiter__(self) -> AsyncIterator[Hearing]: ...


class Speech(Protocol):
    """One reply being spoken. Iterate it for audio and which words are in it."""

    async def say(self, text: str) -> None:
        """More text, cut anywhere."""

    async def finish(self) -> None:
        """No more text will come."""

    def __aiter__(self) -> AsyncIterator[Sound]: ...


class Backends(Protocol):
    """Leaving a context manager stops the work behind it."""

    def listen(self, how: Listening, from_sample: int) -> AbstractAsyncContextManager[Microphone]:
        """Open recognition. `from_sample`: the session's clock, 24 kHz, at the first audio."""

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        """The words of a whole recording (PCM16 LE mono 24 kHz)."""

    def think(self, start: StartReply) -> AbstractAsyncContextManager[AsyncIterator[Thought]]:
        """Ask the model. The last thought is ReplyEnded."""

    def speak(self, start: StartReply) -> AbstractAsyncContextManager[Speech]:
        """Open synthesis with the reply's voice."""
