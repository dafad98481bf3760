"""What a reply is started with."""

from __future__ import annotations

from msgspec import UNSET

from . import effects as do
from .mcp_tools import Offer
from .settings import Settings


def start_of(
    response_id: str,
    settings: Settings,
    instructions: str,
    offer: Offer,
    lines: tuple[do.Line, ...],
) -> do.StartReply:
    """
    Args:
        settings: With the response's own overrides.
        offer: The tools that it can call.
        lines: What it is made from, oldest first.
    """
    s, output = settings, settings.audio.output
    return do.StartReply(
        response_id,
        "\n\n".join(filter(None, (instructions, offer.notes))),
        lines,
        offer.tools,
        offer.choice,
        s.max_output_tokens if isinstance(s.max_output_tokens, int) else None,
        do.Voice(output.voice, output.speed) if s.speaks else None,
        truncation=s.truncation,
        parallel_tool_calls=None if s.parallel_tool_calls is UNSET else s.parallel_tool_calls,
        reasoning_effort=s.reasoning.effort if s.reasoning else None,
        temperature=None if s.temperature is UNSET else s.temperature,
    )
