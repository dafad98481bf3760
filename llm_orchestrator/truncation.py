"""Makes a conversation fit the model: the oldest messages go first.

What is never left out: the instructions, system messages, and all from the person's last
message on. A call and its result stay or go together. Where that alone is too long, the
results of tools in it are cut.

Nothing is remembered between two turns, and still the cut stays where it is: the conversation
is gone through from its beginning as it grew, and each time it passed the limit, the oldest
messages went until `retention_ratio` of the limit was left. The next turn adds messages at the
end, so it finds the same cuts, and the provider its cache, until the limit is passed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_orchestrator import tokens
from llm_orchestrator.engine import Message, Request, Role, TruncationMode
from mesh.errors import Rejected

TOO_LONG = "context_length_exceeded"
"""Code of the errors that say so."""

ANSWER_TOKENS = 1024
"""Kept free for an answer without a limit; at most a quarter of the window."""

RESULT_TOKENS = 200
"""Of a tool's result that is cut, so much stays at least."""

CUT = "\n(The rest was cut off: it is too long for the model.)"


def too_long(detail: str) -> Rejected:
    return Rejected(detail, tier="llm", param="truncation", code=TOO_LONG)


def fitted(request: Request, window: int) -> Request:
    """The request with as many messages as the model can read.

    Args:
        window: What the model reads and writes in all, in tokens.

    Raises:
        Rejected: it is too long, and may not be truncated.
    """
    rule = request.truncation
    fixed = tokens.of_text(request.instructions) + tokens.of_tools(request.tools)
    fixed += sum(tokens.of_message(m) for m in request.messages if m.role is Role.SYSTEM)
    answer = min(request.max_output_tokens or ANSWER_TOKENS, window // 4)
    # What was already written took of the room for the answer; the rest needs some, too.
    written = tokens.of_text(request.already_written)
    room = window - max(answer, written + answer // 2) - fixed
    if rule.max_message_tokens:
        room = min(room, rule.max_message_tokens)
    units = _units(request.messages)
    needed = sum(unit.tokens for unit in units)
    if needed <= room:
        return request
    if rule.mode is TruncationMode.DISABLED:
        raise too_long(
            f"The conversation is too long for the model: {fixed + needed} tokens of at most"
            f" {max(0, fixed + room)}"
        )
    dropped = {
        index for unit in _dropped(units, room, rule.retention_ratio) for index in unit.indexes
    }
    kept = [m for i, m in enumerate(request.messages) if i not in dropped]
    held = sum(tokens.of_message(m) for m in kept if m.role is not Role.SYSTEM)
    return replace(request, messages=tuple(_cut(kept, held - room)))


def _cut(messages: Sequence[Message], excess: int) -> list[Message]:
    """The messages with results shortened by so many tokens, as far as that goes: none stays
    longer than one that is cut."""
    cut = list(messages)
    if excess <= 0:
        return cut
    long = {i: tokens.of_text(m.text) for i, m in enumerate(cut) if m.role is Role.TOOL}
    left = sum(long.values()) - excess
    for n, i in enumerate(sorted(long, key=long.__getitem__)):
        share = max(RESULT_TOKENS, left // (len(long) - n))
        if long[i] > share:
            kept = max(0, share - tokens.of_text(CUT))
            text = cut[i].text[: len(cut[i].text) * kept // long[i]] + CUT
            cut[i] = replace(cut[i], text=text)
        left -= min(long[i], share)
    return cut


@dataclass(slots=True)
class _Unit:
    """Messages that stay or go together."""

    indexes: list[int]
    tokens: int
    needed: bool
    """Whether it may not go."""


def _units(messages: Sequence[Message]) -> list[_Unit]:
    """All but the system messages, in order of the first message of each."""
    last = max((i for i, m in enumerate(messages) if m.role is Role.USER), default=0)
    units: list[_Unit] = []
    by_call: dict[str, _Unit] = {}
    for i, message in enumerate(messages):
        if message.role is Role.SYSTEM:
            continue
        unit = by_call.get(message.call_id) if message.role is Role.TOOL else None
        if unit is None:
            unit = _Unit([], 0, needed=False)
            units.append(unit)
        unit.indexes.append(i)
        unit.tokens += tokens.of_message(message)
        unit.needed = unit.needed or i >= last
        by_call |= {call.call_id: unit for call in message.tool_calls}
    return units


def _dropped(units: Sequence[_Unit], room: int, ratio: float) -> list[_Unit]:
    """What has gone by the end of the conversation, gone through from its beginning."""
    start = held = 0
    for end, unit in enumerate(units):
        held += unit.tokens
        if held <= room:
            continue
        while start < end and held > room * ratio:
            held -= units[start].tokens
            start += 1
    return [unit for unit in units[:start] if not unit.needed]
