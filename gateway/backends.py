"""The mesh as the gateway sees it. `clients.py` speaks to the real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.settings import McpTool
from gateway.realtime.signals import (
    Hearing,
    NotTranscribed,
    ReplyAudio,
    ReplyCall,
    ReplyCallDone,
    ReplyDegraded,
    ReplyEnded,
    ReplyText,
    ReplyTiming,
    Transcribed,
)

Thought = ReplyText | ReplyCall | ReplyCallDone | ReplyEnded
Sound = ReplyAudio | ReplyTiming | ReplyDegraded
Words = Transcribed | NotTranscribed


@dataclass(frozen=True, slots=True)
class Profile:
    """What serves a model name. What is empty is left to the tier or to the settings."""

    name: str = ""
    llm: tuple[tuple[str, str], ...] = ()
    """Provider and model of each choice, best first; an empty model takes the provider's."""
    stt: str = ""
    """The model that recognises speech, as the stt tier lists it."""
    tts: tuple[str, ...] = ()
    """Engines that speak, best first."""
    voice: str = ""
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class Unheard:
    """An utterance that could not be recognised, and may be later."""

    utterance: str
    pcm: bytes
    """PCM16 LE mono 24 kHz."""


News = Hearing | Unheard


class Microphone(Protocol):
    """Speech recognition on one session's audio. Iterate it for what the user does.

    Iterating raises MeshError when recognition has been away for too long. What it has of
    utterances without words comes before that.
    """

    async def hear(self, pcm: bytes) -> None:
        """Pass on audio (PCM16 LE mono 24 kHz). Waits while recognition is behind."""

    async def end_utterance(self, utterance: str) -> None:
        """What was heard since the last utterance is one; its words come under this name."""

    async def forget(self) -> None:
        """Drop what was heard and is not part of an utterance yet."""

    async def listen(self, how: Listening) -> None:
        """Listen like this from now on."""

    def __aiter__(self) -> AsyncIterator[News]: ...


class Speech(Protocol):
    """One reply being spoken. Iterate it for audio and which words are in it, from where it was
    begun and without what the client has had. Positions are those of the reply."""

    async def say(self, text: str) -> None:
        """More text, cut anywhere."""

    async def finish(self) -> None:
        """No more text will come."""

    def __aiter__(self) -> AsyncGenerator[Sound]:
        """Closing it stops speaking."""


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A word or a run of words of a recording, and where it is."""

    text: str
    start_ms: int
    end_ms: int
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """What was said in a recording between two pauses."""

    text: str
    start_ms: int
    end_ms: int
    language: str = ""
    words: tuple[PlacedWord, ...] = ()
    """If they were asked for."""
    logprobs: tuple[tuple[str, float], ...] = ()
    """Of each token, if they were asked for and the recogniser knows."""
    speakers: tuple[PlacedWord, ...] = ()
    """Who said what, if that was asked for."""


@dataclass(frozen=True, slots=True)
class ToolFault:
    """Why a tool of an MCP server returned nothing."""

    error: dict[str, Any]
    """As on the wire: type, message and, of protocol and HTTP errors, code."""


class Dictation(Protocol):
    """A recording of any length being recognised. Iterate it while you write to it."""

    async def hear(self, pcm: bytes) -> None:
        """Pass on audio (PCM16 LE mono 16 kHz). Waits while recognition is behind."""

    async def finish(self) -> None:
        """No more audio will come."""

    def __aiter__(self) -> AsyncIterator[Passage]:
        """Passages in their order, to the last one."""


class Backends(Protocol):
    """Leaving a context manager stops the work behind it."""

    def with_profile(self, profile: Profile) -> Self:
        """The same mesh, asked for what the profile says."""

    def listen(
        self, how: Listening, from_sample: int, epoch: int = 1
    ) -> AbstractAsyncContextManager[Microphone]:
        """Open recognition.

        Args:
            from_sample: The session's clock, 24 kHz, at the first audio.
            epoch: Of the session's owner: what an earlier one has left open gives way.
        """

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        """The words of a whole recording (PCM16 LE mono 24 kHz)."""

    def dictate(self, how: Listening, *, words: bool) -> AbstractAsyncContextManager[Dictation]:
        """Open recognition of a recording.

        Args:
            how: With turn detection, which finds the pauses.
            words: Whether it is wanted where each word is.
        """

    def think(self, start: StartReply) -> AbstractAsyncContextManager[AsyncIterator[Thought]]:
        """Ask the model. The last thought is ReplyEnded."""

    def speak(self, start: StartReply) -> AbstractAsyncContextManager[Speech]:
        """Open synthesis with the reply's voice."""

    async def list_tools(self, server: McpTool) -> tuple[dict[str, Any], ...]:
        """The tools of an MCP server: name, description, input_schema and annotations.

        Raises:
            MeshError: it did not answer, or may not be asked.
        """

    async def call_tool(self, server: McpTool, name: str, arguments: str) -> str | ToolFault:
        """What a tool of an MCP server returns, as text.

        Args:
            arguments: A JSON object, as text.

        Raises:
            MeshError: it could not be called.
        """


class TurnQueue(Protocol):
    """Where utterances wait for recognition."""

    @property
    def patience_s(self) -> float:
        """How long one may wait."""

    def with_model(self, model: str) -> Self:
        """The same queue, for a session that this model recognises; empty leaves it open."""

    async def put(self, utterance: str, pcm: bytes, how: Listening) -> Words | None:
        """Queue an utterance (PCM16 LE mono 24 kHz) of the session that is being served.

        Returns:
            What became of it, if that is known already.

        Raises:
            Overloaded: there is no room.
            Unavailable: the queue is away.
        """
