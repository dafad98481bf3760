"""Wire messages into requests, and events into wire messages."""

from __future__ import annotations

import json
import math
import re
from datetime import timedelta

from llm_orchestrator import continuation
from llm_orchestrator.engine import (
    Finish,
    Image,
    Message,
    Request,
    Role,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
    Truncation,
    TruncationMode,
    Usage,
)
from llm_orchestrator.orchestration import Ask, Switched
from llm_orchestrator.providers import Preference
from llm_orchestrator.tools import TOOL_NAME
from mesh.errors import MeshError, Overloaded, Rejected, detail_of
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb

MAX_TEMPERATURE = 2.0

_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_TOOL: Role.TOOL,
}
_MODES = {
    pb.TOOL_CHOICE_MODE_UNSPECIFIED: ToolMode.AUTO,
    pb.TOOL_CHOICE_MODE_AUTO: ToolMode.AUTO,
    pb.TOOL_CHOICE_MODE_NONE: ToolMode.NONE,
    pb.TOOL_CHOICE_MODE_REQUIRED: ToolMode.REQUIRED,
    pb.TOOL_CHOICE_MODE_FUNCTION: ToolMode.FUNCTION,
}
_FINISHES = {
    Finish.STOP: pb.FINISH_REASON_STOP,
    Finish.LENGTH: pb.FINISH_REASON_LENGTH,
    Finish.CONTENT_FILTER: pb.FINISH_REASON_CONTENT_FILTER,
}
_TRUNCATIONS = {
    pb.TRUNCATION_MODE_UNSPECIFIED: TruncationMode.AUTO,
    pb.TRUNCATION_MODE_AUTO: TruncationMode.AUTO,
    pb.TRUNCATION_MODE_DISABLED: TruncationMode.DISABLED,
    pb.TRUNCATION_MODE_RETENTION_RATIO: TruncationMode.RETENTION_RATIO,
}
_EFFORTS = ("", "none", "minimal", "low", "medium", "high", "xhigh")
_DETAILS = ("auto", "low", "high")
_PICTURE = re.compile(r"data:image/(?:png|jpe?g|webp|gif);base64,.")


def ask_of(config: pb.GenerationConfig, style_hint: str, budget_s: float | None) -> Ask:
    """
    Args:
        style_hint: Put before the instructions.
        budget_s: Seconds until the caller stops waiting.

    Raises:
        Rejected: a field has a bad value; `param` says which.
    """
    tools = tuple(_tool(i, tool) for i, tool in enumerate(config.tools))
    request = Request(
        messages=tuple(_message(i, message) for i, message in enumerate(config.messages)),
        instructions="\n\n".join(part for part in (style_hint, config.instructions) if part),
        tools=tools,
        tool_choice=_tool_choice(config.tool_choice, tools),
        temperature=_temperature(config),
        max_output_tokens=config.max_output_tokens,
        truncation=_truncation(config.truncation),
        parallel_tool_calls=(
            config.parallel_tool_calls if config.HasField("parallel_tool_calls") else None
        ),
        reasoning_effort=_reasoning_effort(config.reasoning_effort),
        already_written=config.already_written,
    )
    return Ask(
        request=continuation.resumed(request),
        preferences=tuple(Preference(wanted.provider, wanted.model) for wanted in config.models),
        first_token_s=_first_token_s(config),
        budget_s=budget_s,
    )


def _message(i: int, message: pb.Message) -> Message:
    if message.role not in _ROLES:
        raise Rejected("a message has no role", param=f"messages[{i}].role")
    return Message(
        role=_ROLES[message.role],
        text=message.text,
        tool_calls=tuple(
            ToolCall(call.call_id, call.name, call.arguments_json) for call in message.tool_calls
        ),
        call_id=message.call_id,
        images=tuple(
            _image(f"messages[{i}].images[{j}]", image) for j, image in enumerate(message.images)
        ),
    )


def _image(param: str, image: pb.Image) -> Image:
    if image.url and not _PICTURE.match(image.url):
        raise Rejected("a picture is a data URI of an image in base64", param=f"{param}.url")
    if (image.detail or "auto") not in _DETAILS:
        raise Rejected(f"detail is one of {', '.join(_DETAILS)}", param=f"{param}.detail")
    return Image(image.url, image.detail or "auto")


def _truncation(truncation: pb.Truncation) -> Truncation:
    mode = _TRUNCATIONS.get(truncation.mode, TruncationMode.AUTO)
    ratio = 1.0
    if mode is TruncationMode.RETENTION_RATIO:
        ratio = round(truncation.retention_ratio, 4)  # a wire float is 0.800000012
        if not 0 <= ratio <= 1:  # also if it is not a number
            raise Rejected("a ratio is 0 to 1", param="truncation.retention_ratio")
    return Truncation(
        mode=mode, retention_ratio=ratio, max_message_tokens=truncation.max_message_tokens
    )


def _reasoning_effort(effort: str) -> str:
    if effort not in _EFFORTS:
        raise Rejected(f"effort is one of {', '.join(_EFFORTS[1:])}", param="reasoning_effort")
    return effort


def _tool(i: int, tool: pb.Tool) -> Tool:
    param = f"tools[{i}]"
    if not TOOL_NAME.fullmatch(tool.name):
        raise Rejected("a tool's name is 1 to 64 of a-z A-Z 0-9 _ -", param=f"{param}.name")
    try:
        schema = json.loads(tool.parameters_json or "{}")
    except ValueError as error:
        raise Rejected("parameters are not JSON", param=f"{param}.parameters_json") from error
    if not isinstance(schema, dict):
        raise Rejected("parameters are not a JSON Schema", param=f"{param}.parameters_json")
    if not schema:
        schema = {"type": "object", "properties": {}}  # OpenAI takes no empty schema
    return Tool(tool.name, tool.description, json.dumps(schema))


def _tool_choice(choice: pb.ToolChoice, tools: tuple[Tool, ...]) -> ToolChoice:
    mode = _MODES.get(choice.mode, ToolMode.AUTO)
    if mode is ToolMode.FUNCTION and choice.name not in {tool.name for tool in tools}:
        raise Rejected("tool_choice names no tool of this request", param="tool_choice.name")
    if mode is ToolMode.REQUIRED and not tools:
        raise Rejected("tool_choice needs tools", param="tool_choice.mode")
    return ToolChoice(mode, choice.name if mode is ToolMode.FUNCTION else "")


def _temperature(config: pb.GenerationConfig) -> float | None:
    if not config.HasField("temperature"):
        return None
    if math.isnan(config.temperature) or not 0 <= config.temperature <= MAX_TEMPERATURE:
        raise Rejected(f"temperature is 0 to {MAX_TEMPERATURE:g}", param="temperature")
    return round(config.temperature, 4)  # a wire float is 0.800000012


def _first_token_s(config: pb.GenerationConfig) -> float | None:
    if not config.HasField("first_token_timeout"):
        return None
    limit_s = config.first_token_timeout.ToTimedelta().total_seconds()
    if limit_s <= 0:
        raise Rejected("a timeout is more than 0", param="first_token_timeout")
    return limit_s


def preference(wanted: Preference) -> pb.ModelPreference:
    return pb.ModelPreference(provider=wanted.provider, model=wanted.model)


def started(worker_id: str, model: Preference) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        started=pb.GenerationStarted(worker_id=worker_id, model=preference(model))
    )


def text(text: str, sequence: int) -> pb.GenerateResponse:
    return pb.GenerateResponse(text_delta=pb.TextDelta(text=text, sequence=sequence))


def tool_call_delta(delta: ToolCallDelta) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        tool_call_delta=pb.ToolCallDelta(
            call_id=delta.call_id, name=delta.name, arguments_json=delta.arguments_json
        )
    )


def tool_call(call: ToolCall) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        tool_call=pb.ToolCall(
            call_id=call.call_id, name=call.name, arguments_json=call.arguments_json
        )
    )


def switched(event: Switched) -> pb.GenerateResponse:
    response = failed(event.provider, event.error)
    response.error.retryable = True
    response.error.metadata["next_provider"] = event.to
    return response


def failed(provider: str, error: MeshError) -> pb.GenerateResponse:
    detail = detail_of(error)
    detail.metadata["provider"] = provider
    if isinstance(error, Overloaded):
        detail.code = common_pb2.ERROR_CODE_RATE_LIMITED
    return pb.GenerateResponse(error=detail)


def finish_reason(finish: Finish) -> pb.FinishReason.ValueType:
    return _FINISHES[finish]


def completed(
    finish: pb.FinishReason.ValueType,
    *,
    whole: str,
    usage: Usage,
    model: Preference | None,
    first_token_s: float | None,
) -> pb.GenerateResponse:
    message = pb.GenerationCompleted(
        finish_reason=finish,
        text=whole,
        usage=common_pb2.Usage(
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
        ),
    )
    if model is not None:
        message.model.CopyFrom(preference(model))
    if first_token_s is not None:
        message.time_to_first_token.FromTimedelta(timedelta(seconds=first_token_s))
    return pb.GenerateResponse(completed=message)
