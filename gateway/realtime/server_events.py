"""What we tell a client. Source: realtime contract §3.

`event_id` is stamped by `codec.encode`. Audio is `bytes` here, base64 on the wire.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from .items import Item
from .refusals import Refusal


class ServerEvent(msgspec.Struct, frozen=True, tag_field="type"):
    """One event. The type tag is the event's name on the wire."""


class SessionCreated(ServerEvent, frozen=True, tag="session.created"):
    session: dict[str, Any]


class SessionUpdated(ServerEvent, frozen=True, tag="session.updated"):
    session: dict[str, Any]


class ErrorBody(msgspec.Struct, frozen=True):
    type: str
    code: str | None
    message: str
    param: str | None
    event_id: str | None  # the client's own


class Error(ServerEvent, frozen=True, tag="error"):
    error: ErrorBody

    @staticmethod
    def of(refusal: Refusal) -> Error:
        r = refusal
        return Error(ErrorBody(r.type, r.code, r.message, r.param, r.event_id))


class SpeechStarted(ServerEvent, frozen=True, tag="input_audio_buffer.speech_started"):
    audio_start_ms: int  # of all audio of the session; the prefix padding is included
    item_id: str


class SpeechStopped(ServerEvent, frozen=True, tag="input_audio_buffer.speech_stopped"):
    audio_end_ms: int  # the silence that ended it is included
    item_id: str


class AudioCommitted(ServerEvent, frozen=True, tag="input_audio_buffer.committed"):
    previous_item_id: str | None
    item_id: str


class TimeoutTriggered(ServerEvent, frozen=True, tag="input_audio_buffer.timeout_triggered"):
    """The user was silent for the session's idle timeout."""

    audio_start_ms: int  # of all audio of the session
    audio_end_ms: int
    item_id: str


class AudioCleared(ServerEvent, frozen=True, tag="input_audio_buffer.cleared"):
    pass


class ItemAdded(ServerEvent, frozen=True, tag="conversation.item.added"):
    previous_item_id: str | None
    item: Item


class ItemDone(ServerEvent, frozen=True, tag="conversation.item.done"):
    previous_item_id: str | None
    item: Item


class ItemRetrieved(ServerEvent, frozen=True, tag="conversation.item.retrieved"):
    item: dict[str, Any]  # an Item with its audio


class ItemDeleted(ServerEvent, frozen=True, tag="conversation.item.deleted"):
    item_id: str


class ItemTruncated(ServerEvent, frozen=True, tag="conversation.item.truncated"):
    item_id: str
    content_index: int
    audio_end_ms: int


class Logprob(msgspec.Struct, frozen=True):
    """How sure the recogniser is of a token."""

    token: str
    logprob: float
    bytes: tuple[int, ...]  # of the token in UTF-8


class TranscriptionDelta(
    ServerEvent, frozen=True, tag="conversation.item.input_audio_transcription.delta"
):
    item_id: str
    delta: str
    content_index: int = 0
    logprobs: tuple[Logprob, ...] | UnsetType = UNSET


class Duration(msgspec.Struct, frozen=True, tag_field="type", tag="duration"):
    """What a transcription cost, as models that are not paid by token say it."""

    seconds: float


class TranscriptionCompleted(
    ServerEvent, frozen=True, tag="conversation.item.input_audio_transcription.completed"
):
    item_id: str
    transcript: str
    usage: Duration
    content_index: int = 0
    logprobs: tuple[Logprob, ...] | UnsetType = UNSET


class TranscriptionSegment(
    ServerEvent, frozen=True, tag="conversation.item.input_audio_transcription.segment"
):
    """What one speaker said; only for models that tell speakers apart."""

    item_id: str
    id: str
    text: str
    speaker: str
    start: float  # seconds since the utterance began
    end: float
    content_index: int = 0


class TranscriptionFailed(
    ServerEvent, frozen=True, tag="conversation.item.input_audio_transcription.failed"
):
    item_id: str
    error: dict[str, str | None]  # type, code, message, param
    content_index: int = 0


Response = dict[str, Any]
"""The response object of §6.2, all eleven keys."""


class ResponseCreated(ServerEvent, frozen=True, tag="response.created"):
    response: Response


class ResponseDone(ServerEvent, frozen=True, tag="response.done"):
    response: Response


class OutputItemAdded(ServerEvent, frozen=True, tag="response.output_item.added"):
    response_id: str
    output_index: int
    item: Item


class OutputItemDone(ServerEvent, frozen=True, tag="response.output_item.done"):
    response_id: str
    output_index: int
    item: Item


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str = ""


class AudioPart(msgspec.Struct, frozen=True, tag_field="type", tag="audio"):
    transcript: str = ""


class _OfPart(ServerEvent, frozen=True):
    """An event about one content part of one output item."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


class PartAdded(_OfPart, frozen=True, tag="response.content_part.added"):
    part: TextPart | AudioPart


class PartDone(_OfPart, frozen=True, tag="response.content_part.done"):
    part: TextPart | AudioPart


class TextDelta(_OfPart, frozen=True, tag="response.output_text.delta"):
    delta: str


class TextDone(_OfPart, frozen=True, tag="response.output_text.done"):
    text: str


class TranscriptDelta(_OfPart, frozen=True, tag="response.output_audio_transcript.delta"):
    delta: str


class TranscriptDone(_OfPart, frozen=True, tag="response.output_audio_transcript.done"):
    transcript: str


class AudioDelta(_OfPart, frozen=True, tag="response.output_audio.delta"):
    delta: bytes


class AudioDone(_OfPart, frozen=True, tag="response.output_audio.done"):
    pass


class ArgumentsDelta(ServerEvent, frozen=True, tag="response.function_call_arguments.delta"):
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class ArgumentsDone(ServerEvent, frozen=True, tag="response.function_call_arguments.done"):
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class McpListing(ServerEvent, frozen=True, tag="mcp_list_tools.in_progress"):
    item_id: str


class McpListed(ServerEvent, frozen=True, tag="mcp_list_tools.completed"):
    item_id: str


class McpNotListed(ServerEvent, frozen=True, tag="mcp_list_tools.failed"):
    item_id: str


class McpArgumentsDelta(ServerEvent, frozen=True, tag="response.mcp_call_arguments.delta"):
    response_id: str
    item_id: str
    output_index: int
    delta: str
    obfuscation: str = ""  # agents-js cannot do without it


class McpArgumentsDone(ServerEvent, frozen=True, tag="response.mcp_call_arguments.done"):
    response_id: str
    item_id: str
    output_index: int
    arguments: str


class _OfMcpCall(ServerEvent, frozen=True):
    item_id: str
    output_index: int


class McpCalling(_OfMcpCall, frozen=True, tag="response.mcp_call.in_progress"):
    pass


class McpCalled(_OfMcpCall, frozen=True, tag="response.mcp_call.completed"):
    pass


class McpNotCalled(_OfMcpCall, frozen=True, tag="response.mcp_call.failed"):
    pass


class RateLimit(msgspec.Struct, frozen=True):
    name: Literal["requests", "tokens"]
    limit: int
    remaining: int
    reset_seconds: float


class RateLimitsUpdated(ServerEvent, frozen=True, tag="rate_limits.updated"):
    rate_limits: tuple[RateLimit, ...]
    """Empty: no limit applies."""
