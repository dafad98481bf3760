"""What the model is asked, as the language tier reads it."""

from __future__ import annotations

import json
from typing import assert_never

from gateway.backends import Profile
from gateway.realtime.effects import Line, StartReply
from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTools,
    Message,
)
from gateway.realtime.mcp_tools import safe_name
from gateway.realtime.settings import Retention, TokenLimits
from mesh import log as logs
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as llm

_ROLES = {
    "system": llm.ROLE_SYSTEM,
    "user": llm.ROLE_USER,
    "assistant": llm.ROLE_ASSISTANT,
}
_TOOL_CHOICE = {
    "none": llm.TOOL_CHOICE_MODE_NONE,
    "auto": llm.TOOL_CHOICE_MODE_AUTO,
    "required": llm.TOOL_CHOICE_MODE_REQUIRED,
}
_TRUNCATION = {
    "auto": llm.TRUNCATION_MODE_AUTO,
    "disabled": llm.TRUNCATION_MODE_DISABLED,
}


def session_ref() -> common_pb2.SessionRef:
    """Whose call this is, from the log context."""
    return common_pb2.SessionRef(
        tenant_id=logs.tenant_id.get(), session_id=logs.session_id.get(), attempt=1
    )


def generation(start: StartReply, profile: Profile) -> llm.GenerationConfig:
    return llm.GenerationConfig(
        session=session_ref(),
        response_id=start.response_id,
        models=[llm.ModelPreference(provider=p, model=m) for p, m in profile.llm],
        instructions=start.instructions,
        messages=[message for line in start.context for message in _messages(line)],
        tools=[
            llm.Tool(
                name=tool.name,
                description=tool.description or "",
                parameters_json=json.dumps(tool.parameters) if tool.parameters else "",
            )
            for tool in start.tools
        ],
        tool_choice=_tool_choice(start.tool_choice),
        max_output_tokens=start.max_output_tokens or 0,
        truncation=_truncation(start.truncation),
        parallel_tool_calls=start.parallel_tool_calls,
        reasoning_effort=start.reasoning_effort or "",
        temperature=start.temperature,
        already_written=start.begun.text if start.begun else "",
    )


def _messages(line: Line) -> list[llm.Message]:
    match line.item:
        case Message(role=role, id=item_id):
            images = [llm.Image(url=i.image_url or "", detail=i.detail) for i in line.images]
            return [llm.Message(role=_ROLES[role], text=line.text, item_id=item_id, images=images)]
        case FunctionCall() as call:
            return [_call(call.id, call.call_id, call.name, call.arguments)]
        case FunctionCallOutput() as output:
            return [_result(output.id, output.call_id, output.output)]
        case McpCall() as call:
            said = call.output if call.error is None else f"Error: {call.error['message']}"
            return _tried(call, said or "")
        case McpApprovalRequest() as asked if line.text:
            return _tried(asked, line.text)
        case McpTools() | McpApprovalRequest() | McpApprovalResponse():
            return []  # between the client and us
        case _:
            assert_never(line.item)


def _tried(call: McpCall | McpApprovalRequest, said: str) -> list[llm.Message]:
    """A call of a server's tool and what became of it."""
    return [
        _call(call.id, call.id, safe_name(call.name), call.arguments),
        _result(call.id, call.id, said),
    ]


def _call(item_id: str, call_id: str, name: str, arguments: str) -> llm.Message:
    made = llm.ToolCall(call_id=call_id, name=name, arguments_json=arguments)
    return llm.Message(role=llm.ROLE_ASSISTANT, tool_calls=[made], item_id=item_id)


def _result(item_id: str, call_id: str, output: str) -> llm.Message:
    return llm.Message(role=llm.ROLE_TOOL, text=output, call_id=call_id, item_id=item_id)


def _truncation(how: str | Retention) -> llm.Truncation:
    if not isinstance(how, Retention):
        return llm.Truncation(mode=_TRUNCATION[how])
    limits = how.token_limits
    most = limits.post_instructions if isinstance(limits, TokenLimits) else None
    return llm.Truncation(
        mode=llm.TRUNCATION_MODE_RETENTION_RATIO,
        retention_ratio=how.retention_ratio,
        max_message_tokens=most or 0,
    )


def _tool_choice(choice: str | dict[str, str]) -> llm.ToolChoice:
    if isinstance(choice, dict):
        return llm.ToolChoice(mode=llm.TOOL_CHOICE_MODE_FUNCTION, name=choice["name"])
    return llm.ToolChoice(mode=_TOOL_CHOICE[choice])
