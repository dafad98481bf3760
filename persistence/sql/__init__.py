"""The SQL of this tier: `queries.sql` by name, and the numbered migrations."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

_SECTION = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. Once applied anywhere, its file never changes."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the lines, so that a checkout with other line ends is the same migration."""
        return hashlib.sha256("\n".join(self.text.splitlines()).encode()).hexdigest()


def queries() -> Mapping[str, str]:
    """The statements of queries.sql by name, without their comments."""
    _, *parts = _SECTION.split((files(__name__) / "queries.sql").read_text())
    return {
        name: "\n".join(
            line for line in text.splitlines() if line and not line.lstrip().startswith("--")
        )
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def migrations() -> list[Migration]:
    """All migrations of this version, in order."""
    found = []
    for file in files(__name__).iterdir():
        if match := _MIGRATION.fullmatch(file.name):
            found.append(Migration(int(match[1]), file.name, file.read_text()))
    return sorted(found, key=lambda migration: migration.number)
