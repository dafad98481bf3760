"""What the session asks of the outside world: its only outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .items import InputImage, Item
from .server_events import ServerEvent
from .settings import McpTool, NoiseReduction, Retention, Tool, TurnDetection
from .signals import ReplyEnded, ReplyFailed


@dataclass(frozen=True, slots=True)
class Send:
    """Tell the client."""

    event: ServerEvent


@dataclass(frozen=True, slots=True)
class Listening:
    """How to listen to the user."""

    turn_detection: TurnDetection | None
    """None: the client says when an utterance ends."""
    language: str | None = None
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    noise_reduction: NoiseReduction | None = None
    logprobs: bool = False
    """Whether the probabilities of the words are wanted."""
    speakers: bool = False
    """Whether it is wanted who said what."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Listen like this from now on."""

    how: Listening


@dataclass(frozen=True, slots=True)
class Hear:
    """Pass microphone audio (PCM16 LE mono 24 kHz) to speech recognition."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class HearFrom:
    """The next audio begins at this sample of the session: some of it is heard again."""

    sample: int


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
    images: tuple[InputImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    name: str
    speed: float


@dataclass(frozen=True, slots=True)
class Begun:
    """What there is of a reply that goes on in another process."""

    text: str
    """All that was written of it."""
    from_char: int
    """Where speaking goes on: before it, everything was spoken."""
    from_ms: int
    """How much audio there was by then."""
    sent_bytes: int
    """PCM behind that which the client has had already."""
    ended: ReplyEnded | ReplyFailed | None
    """How the model ended, if it has: nothing more is to be written."""


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
    truncation: Literal["auto", "disabled"] | Retention = "auto"
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    temperature: float | None = None
    begun: Begun | None = None


@dataclass(frozen=True, slots=True)
class StopReply:
    """Stop thinking and speaking at once. No report is expected."""

    response_id: str


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A response begins that the client did not ask for by itself: count it all the same."""


@dataclass(frozen=True, slots=True)
class TellLimits:
    """Tell the client what is left of its rate limits, now that so many tokens are spent."""

    tokens: int


@dataclass(frozen=True, slots=True)
class ListTools:
    """Ask an MCP server for its tools. Report back as `signals.Mcp` with this item."""

    item_id: str
    server: McpTool


@dataclass(frozen=True, slots=True)
class CallTool:
    """Call a tool of an MCP server. Report back as `signals.Mcp` with this item."""

    item_id: str
    server: McpTool
    name: str
    arguments: str  # JSON, as text


@dataclass(frozen=True, slots=True)
class DropTool:
    """Give a ListTools or CallTool up. No report is expected."""

    item_id: str


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
    Send | Listen | Hear | HearFrom | EndUtterance | ForgetAudio | Transcribe | StartReply
    | StopReply | CountRequest | TellLimits | ListTools | CallTool | DropTool | Record
)  # fmt: skip
