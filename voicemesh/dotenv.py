"""Settings in a file `.env`, for `voicemesh up` only: NAME=value, one a line."""

from __future__ import annotations

import re
from pathlib import Path

from voicemesh.trouble import BadLine

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:#.*)?""")


def read(file: Path) -> dict[str, str]:
    """
    Returns:
        The variables; none if there is no such file.

    Raises:
        BadLine: a line is neither NAME=value nor a comment.
    """
    if not file.exists():
        return {}
    found: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise BadLine(f"{file}, line {number}: not NAME=value")
        found[match[1]] = _value(match[2])
    return found


def _value(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        return quoted[2]
    return text.split(" #", maxsplit=1)[0].rstrip()
