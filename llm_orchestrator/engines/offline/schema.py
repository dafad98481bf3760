"""The parameters of a tool, read from its JSON Schema as far as rules can use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_orchestrator.engine import Tool
from llm_orchestrator.engines.offline import words

MAX_DEPTH = 4
"""Objects nested deeper, or in circles, are left empty."""


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    kind: str
    """"string", "integer", "number", "boolean", "array" or "object"."""

    required: bool
    description: str = ""
    values: tuple[Any, ...] = ()
    """The values it may take, if they are listed."""

    items: Param | None = None
    """For arrays: what each item is."""

    fields: tuple[Param, ...] = ()
    """For objects."""

    @property
    def spoken(self) -> str:
        """The name as one would say it."""
        return " ".join(words.parts(self.name))

    @property
    def stems(self) -> set[str]:
        return words.stems(words.parts(self.name))

    @property
    def hints(self) -> set[str]:
        """Stems of its name and description: what it is about."""
        return self.stems | words.stems(words.read(self.description).plain)


def params(tool: Tool) -> tuple[Param, ...]:
    """A tool's parameters, in the order of its schema; none if that cannot be read."""
    try:
        schema = json.loads(tool.parameters_json or "{}")
    except ValueError:
        return ()
    return _fields(schema, schema, 0) if isinstance(schema, dict) else ()


def _fields(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> tuple[Param, ...]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or depth > MAX_DEPTH:
        return ()
    must = set(required) if isinstance(required, list) else set()
    return tuple(
        _param(name, _resolved(field, root), name in must, root=root, depth=depth)
        for name, field in properties.items()
    )


def _param(
    name: str, schema: Mapping[str, Any], required: bool, *, root: Mapping[str, Any], depth: int
) -> Param:
    kind, values = _kind(schema), schema.get("enum")
    items = None
    if kind == "array" and depth <= MAX_DEPTH:
        item = _resolved(schema.get("items"), root)
        items = _param(name, item, True, root=root, depth=depth + 1)
    return Param(
        name=name,
        kind=kind,
        required=required,
        description=str(schema.get("description", "")),
        values=tuple(values) if isinstance(values, list) else _constant(schema),
        items=items,
        fields=_fields(schema, root, depth + 1) if kind == "object" else (),
    )


def _constant(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    return (schema["const"],) if "const" in schema else ()


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if not isinstance(kind, str):
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return kind


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a local $ref, and take the first real choice of anyOf, oneOf or allOf."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            return {}
        if isinstance(schema.get("$ref"), str):
            schema = _local(schema["$ref"], root)
            continue
        choices = next((schema[k] for k in ("anyOf", "oneOf", "allOf") if schema.get(k)), None)
        if not isinstance(choices, list):
            return schema
        real = [c for c in choices if isinstance(c, dict) and c.get("type") != "null"]
        schema = {**schema, **real[0]} if real else {}
        for key in ("anyOf", "oneOf", "allOf"):
            if not real or key not in real[0]:
                schema.pop(key, None)
    return schema if isinstance(schema, dict) else {}


def _local(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found
