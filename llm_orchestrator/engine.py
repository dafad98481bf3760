"""What a language model provider is. Everything else in this tier is written against this.

A request goes in whole, news comes out as the provider writes it and ends with one Done:

    async with aclosing(engine.generate(request)) as news:
        async for piece in news: ...

Leaving the block closes the call to the provider at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Role(Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolMode(Enum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    FUNCTION = "function"


class Finish(Enum):
    """Why a provider stopped by itself."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text to append; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a call's arguments. `name` is set on the first delta of a call only."""

    call_id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole call: its deltas put together, sent once after them."""

    call_id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counts them; 0 where it does not say."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class Done:
    """The provider's last word."""

    finish: Finish
    usage: Usage


@dataclass(frozen=True, slots=True)
class Repeated:
    """The provider is writing, but nothing that is new so far: a sign of life, not passed on."""


News = TextDelta | ToolCallDelta | ToolCall | Repeated | Done


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that the person shows."""

    url: str
    """Data URI; empty if the picture itself is no longer there."""

    detail: str = "auto"
    """How closely to look: auto, low or high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    role: Role
    text: str = ""
    images: tuple[Image, ...] = ()
    """For Role.USER: shown with the text, after it."""

    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    """For Role.TOOL: the call this answers."""


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters_json: str
    """JSON Schema of the arguments, an object; "{}" when there are none."""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    mode: ToolMode = ToolMode.AUTO
    name: str = ""
    """The tool that must be called, for ToolMode.FUNCTION."""


class TruncationMode(Enum):
    """What becomes of a conversation that is longer than the model reads."""

    AUTO = "auto"
    DISABLED = "disabled"
    RETENTION_RATIO = "retention_ratio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    mode: TruncationMode = TruncationMode.AUTO
    retention_ratio: float = 1.0
    """How much of the limit is kept by a cut, for TruncationMode.RETENTION_RATIO."""

    max_message_tokens: int = 0
    """A limit of the messages besides the model's; 0 is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One response to write."""

    messages: tuple[Message, ...]
    """Oldest first."""

    model: str = ""
    """As the provider knows it; empty takes the provider's configured model."""

    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    temperature: float | None = None
    max_output_tokens: int = 0
    """Of the whole answer, what was already written included; 0 means the model's own limit."""

    truncation: Truncation = Truncation()
    """Followed before an engine gets the request."""

    parallel_tool_calls: bool | None = None
    """Whether several tools may be called at once; None leaves it to the model. Engines whose
    provider cannot be told ignore it."""

    reasoning_effort: str = ""
    """How hard a reasoning model thinks; empty leaves it to the model. Others ignore it."""

    already_written: str = ""
    """What an earlier call wrote of this answer before it broke. The text of the news is what
    goes on right behind it, white space included; it may be nothing."""


class Engine(Protocol):
    """A provider that is set up: it has its key, or its address. One per process."""

    @property
    def available(self) -> bool:
        """Whether it could serve now, as far as is known without asking it."""

    @property
    def model(self) -> str:
        """The model it takes when a request names none; empty while it is not known."""

    @property
    def context_tokens(self) -> int:
        """How much the model reads and writes at most, in tokens."""

    @property
    def goes_on(self) -> bool:
        """Whether it can go on in the middle of another model's sentence."""

    def generate(self, request: Request) -> AsyncGenerator[News, None]:
        """Write one response.

        Raises:
            mesh.errors.Overloaded: the provider refuses us for now (rate limit, full).
            mesh.errors.Unavailable: it does not answer, breaks off, answers nonsense, or
                does not accept our key.
            mesh.errors.Rejected: it does not accept this request, whoever sends it.
        """

    async def models(self) -> tuple[str, ...]:
        """What it can be asked for, the configured model first. May ask the provider.

        Raises:
            mesh.errors.MeshError: it could not be asked.
        """

    async def refresh(self) -> None:
        """Look again whether it is there. Called at start and now and then; never raises."""

    async def close(self) -> None:
        """Give up its connections."""
