"""What the tests of this folder look at: the hand-written files of the repository."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIERS = ["gateway", "stt_service", "tts_service", "llm_orchestrator", "persistence"]
PACKAGES = [*TIERS, "mesh", "voicemesh", "bench"]
GENERATED = "*_pb2*.py*"


def files() -> Iterator[Path]:
    """Every file that git tracks or would track, relative to the root."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    for folder, names, here in os.walk(ROOT):
        names[:] = [n for n in names if n != ".git" and not _matches(n, ignored)]
        for name in here:
            if not _matches(name, ignored):
                yield (Path(folder) / name).relative_to(ROOT)


def sources() -> list[Path]:
    """Every hand-written Python file of the packages, relative to the root."""
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(p.relative_to(ROOT) for p in found if not fnmatch.fnmatch(p.name, GENERATED))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
