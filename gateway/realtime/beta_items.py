"""Items and their parts in the beta dialect: the words of the assistant are `text` and `audio`.

Source: realtime contract §0.2, §4.4 and §7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import checks as c
from .new_items import MAX_TEXT
from .refusals import wrong_value


def item_from_beta(item: Any, path: str, only_beta: bool) -> Any:
    """An item as GA writes it: the words of the assistant are its `text`.

    Spoken words can only come back as a text: nobody can create the assistant's audio.

    Args:
        only_beta: Refuse other types; else they are left for GA to judge.

    Raises:
        Refused: a part of the assistant that is no beta part.
    """
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, list) or item.get("role") != "assistant":
        return item
    parts = [_part(part, f"{path}.content[{n}]", only_beta) for n, part in enumerate(content)]
    return {**item, "content": parts}


def items_from_beta(items: Any, path: str, only_beta: bool) -> Any:
    """A response's `input`."""
    if not isinstance(items, list):
        return items
    return [item_from_beta(item, f"{path}[{n}]", only_beta) for n, item in enumerate(items)]


_SPOKEN = c.obj({"type": c.anything, "transcript": c.string(MAX_TEXT)}, {"audio": c.anything})


def _part(part: Any, path: str, only_beta: bool) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {**part, "type": "output_text"}
    if kind == "audio":
        return {"type": "output_text", "text": _SPOKEN(part, path)["transcript"]}
    if only_beta and isinstance(kind, str):
        raise wrong_value(f"{path}.type", kind, ("text", "audio"))
    return part


_PART_TYPES = {"output_text": "text", "output_audio": "audio"}


def item_to_beta(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of GA, as plain JSON."""
    beta = {"object": "realtime.item", **item}
    if content := item.get("content"):
        beta["content"] = [
            {**part, "type": _PART_TYPES.get(part["type"], part["type"])} for part in content
        ]
    return beta
