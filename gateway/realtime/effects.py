"""What the session asks of the outside world: its only outputs."""

from __future__ import annotations

from dataclasses import dataclass

from .items import Item
from .server_events import ServerEvent
from .settings import ServerVad, Tool


@dataclass(frozen=True, slots=True)
class Send:
    """Tell the client."""

    event: ServerEvent


@dataclass(frozen=True, slots=True)
class Listening:
    """How to listen to the user."""

    turn_detection: ServerVad | None
    """None: the client says when an utterance ends."""
    language: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Listen like this from now on."""

    how: Listening


@dataclass(frozen=True, slots=True)
class Hear:
    """Pass microphone audio (PCM16 LE mono 24 kHz) to speech recognition."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class EndUtterance:
    """What was heard since the last utterance is one; its words come under this name."""

    utterance: str


@dataclass(frozen=True, slots=True)
class ForgetAudio:
    """Drop what was heard and is not part of an utterance yet."""


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Recognise a whole recording (PCM16 LE mono 24 kHz); its words come under this name."""

    utterance: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One item of the context a reply is made from, with the words the model may know."""

    item: Item
    text: str


@dataclass(frozen=True, slots=True)
class Voice:
    name: str
    speed: float


@dataclass(frozen=True, slots=True)
class StartReply:
    """Think and, with a voice, speak. Report back as `signals.Reply` with this id."""

    response_id: str
    instructions: str
    context: tuple[Line, ...]  # oldest first
    tools: tuple[Tool, ...] = ()
    tool_choice: str | dict[str, str] = "auto"
    max_output_tokens: int | None = None
    voice: Voice | None = None
    """None: text only."""


@dataclass(frozen=True, slots=True)
class StopReply:
    """Stop thinking and speaking at once. No report is expected."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ItemKept:
    """An item is new or has changed; a higher version replaces a lower one."""

    item: Item
    text: str  # as spoken or written; of an interrupted answer, what was heard
    ordinal: int
    version: int
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class ItemDropped:
    item_id: str


@dataclass(frozen=True, slots=True)
class ResponseKept:
    response_id: str
    status: str
    reason: str
    item_ids: tuple[str, ...]
    input_tokens: int
    output_tokens: int


Fact = ItemKept | ItemDropped | ResponseKept


@dataclass(frozen=True, slots=True)
class Record:
    """Keep this for history. Never delays a turn."""

    fact: Fact


Effect = (
    Send | Listen | Hear | EndUtterance | ForgetAudio | Transcribe | StartReply | StopReply | Record
)
