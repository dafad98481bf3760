"""What the backends report to the session: the inputs that are not the client's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user speaks."""

    utterance: str  # the listener's name for it
    audio_ms: int  # since the first sample of the session, prefix padding included


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user has spoken; the utterance is committed and its words will follow."""

    utterance: str
    audio_ms: int  # the silence that ended it is included


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the user seems to be saying; a later one replaces it."""

    utterance: str
    text: str
    stable_chars: int = 0  # leading characters that will not change any more


@dataclass(frozen=True, slots=True)
class Spoken:
    """A run of words of one speaker; milliseconds since the utterance began."""

    text: str
    speaker: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What the user said, or what an item's recording says."""

    utterance: str
    text: str
    audio_ms: int  # length of the utterance
    logprobs: tuple[tuple[str, float], ...] = ()
    """Of each token, if that was asked for and the recogniser knows."""
    segments: tuple[Spoken, ...] = ()
    """Who said what, if that was asked for."""


@dataclass(frozen=True, slots=True)
class NotTranscribed:
    utterance: str
    reason: str


@dataclass(frozen=True, slots=True)
class EarsLost:
    """Recognition is away for longer than the session can wait; its audio is dropped."""

    reason: str


@dataclass(frozen=True, slots=True)
class AudioPassed:
    """So much audio was appended: `AppendAudio` again, when a session is restored."""

    n_samples: int
    pcm: bytes = b""
    """The audio, if it may have to be heard again."""
    odd: bytes = b""
    """Half a sample that is left of it."""


@dataclass(frozen=True, slots=True)
class AudioKept:
    """The last of what was appended, when a session is restored: it has to be heard again."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Resumed:
    """Another process goes on with the session: nothing that the last one did is still done."""

    seed: bytes = b""
    """Of the ids from now on: what was not kept of the last process may have used the others."""


Hearing = SpeechStarted | SpeechStopped | Hypothesis | Transcribed | NotTranscribed | EarsLost

Restored = AudioPassed | AudioKept | Resumed


@dataclass(frozen=True, slots=True)
class ReplyText:
    response_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ReplyCall:
    """The model calls a function; `arguments` (JSON text) grows call by call."""

    response_id: str
    call_id: str
    name: str
    delta: str


@dataclass(frozen=True, slots=True)
class ReplyCallDone:
    response_id: str
    call_id: str
    name: str
    arguments: str  # whole, JSON text


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """Audio that goes to the client now: the pacing has been done."""

    response_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class ReplyPlayed:
    """So much audio went to the client: `ReplyAudio` again, when a session is restored."""

    response_id: str
    n_bytes: int  # of PCM


@dataclass(frozen=True, slots=True)
class ReplyTiming:
    """Which text has been spoken when: `(end_char, end_ms)` of each word, in order.

    Characters count in all text of the reply, milliseconds in all its audio.
    """

    response_id: str
    words: tuple[tuple[int, int], ...]
    piece: tuple[int, int] | None = None
    """A piece of the text has been spoken whole: its `(end_char, end_ms)`. What follows it can be
    spoken by another voice as well as by this one."""


@dataclass(frozen=True, slots=True)
class ReplyDegraded:
    """A worse engine speaks from here on."""

    response_id: str
    failed: str
    serving: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a reply cost, as its provider counts."""

    input: int = 0
    cached: int = 0  # of `input`
    output: int = 0


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    response_id: str
    tokens: Tokens
    incomplete: str | None = None  # "max_output_tokens" or "content_filter"


@dataclass(frozen=True, slots=True)
class ReplyThought:
    """The model has ended so; what it said is still being spoken."""

    response_id: str
    ended: ReplyEnded


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    response_id: str
    code: str
    message: str
    type: str = "server_error"


@dataclass(frozen=True, slots=True)
class ReplyFailing:
    """The model has failed so; what it said until then, or the notice, is still being spoken."""

    response_id: str
    failed: ReplyFailed
    notice: str = ""
    """Our words for the user, if the model had said nothing. No model reads them."""


@dataclass(frozen=True, slots=True)
class ReplyMuted:
    """Nobody can speak from here on: what follows is only read, as is what was not spoken yet."""

    response_id: str


Reply = (
    ReplyText | ReplyCall | ReplyCallDone | ReplyAudio | ReplyPlayed | ReplyTiming | ReplyDegraded
    | ReplyThought | ReplyEnded | ReplyFailed | ReplyFailing | ReplyMuted
)  # fmt: skip
"""News of the reply with that `response_id`."""


@dataclass(frozen=True, slots=True)
class ToolsListed:
    """An MCP server's tools, as they stand on the wire."""

    item_id: str
    tools: tuple[dict[str, Any], ...]  # name, description, input_schema, annotations


@dataclass(frozen=True, slots=True)
class ToolsNotListed:
    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolReturned:
    item_id: str
    output: str


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """`error` is the wire's: type, message and, of protocol and HTTP errors, code."""

    item_id: str
    error: dict[str, Any]


Mcp = ToolsListed | ToolsNotListed | ToolReturned | ToolFailed
"""News of MCP servers."""

Signal = Hearing | Reply | Mcp | Restored
