"""Stored prompts: instructions that the operator keeps and clients name by id.

Source: realtime contract §4.1 (`prompt`). The client's own instructions win over a
prompt's; without any, the prompt takes the place of the server's default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .refusals import refuse
from .settings import Prompt, Settings

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a prompt. `{{name}}` in its text stands for a variable."""

    text: str
    version: str = "1"

    @property
    def variables(self) -> set[str]:
        return set(_VARIABLE.findall(self.text))

    def filled(self, variables: Mapping[str, str]) -> str:
        return _VARIABLE.sub(lambda found: variables[found[1]], self.text)


Stock = Mapping[str, tuple[Stored, ...]]
"""All versions of each prompt by its id, the newest last."""


class Prompts:
    """What is stored, and what the server says without a prompt."""

    __slots__ = ("_default", "_stored")

    def __init__(self, stored: Stock, default: str) -> None:
        """
        Args:
            default: Instructions of a session that was told nothing.
        """
        self._stored, self._default = stored, default

    def check(self, prompt: Prompt | None, path: str) -> None:
        """
        Raises:
            Refused: there is no such prompt, or its variables are not those that were given.
        """
        if prompt is None:
            return
        found = self._find(prompt)
        if found is None:
            version = f" and version '{prompt.version}'" if prompt.version else ""
            message = f"Prompt with id '{prompt.id}'{version} not found."
            raise refuse("invalid_value", message, f"{path}.id")
        given = set(prompt.variables or {})
        for name in sorted(found.variables - given):
            message = f"Missing prompt variable: '{name}'."
            raise refuse("missing_required_parameter", message, f"{path}.variables.{name}")
        for name in sorted(given - found.variables):
            message = f"Unknown prompt variable: '{name}'."
            raise refuse("unknown_parameter", message, f"{path}.variables.{name}")

    def instructions(self, settings: Settings) -> str:
        """What the model is told. The prompt was checked."""
        prompt = settings.prompt
        if prompt is None or settings.instructions not in ("", self._default):
            return settings.instructions
        found = self._find(prompt)
        return found.filled(prompt.variables or {}) if found else settings.instructions

    def _find(self, prompt: Prompt) -> Stored | None:
        versions = self._stored.get(prompt.id, ())
        if prompt.version is None:
            return versions[-1] if versions else None
        return next((v for v in versions if v.version == prompt.version), None)
