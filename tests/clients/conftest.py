"""Programs in Node that drive the mesh through a JavaScript SDK, and what they saw."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.speech import DATA
from tests.stack import Stack
from tests.wire import Event

NODE = Path(__file__).parent / "node"
ALL_S = 120.0  # for all scenarios of a program


@dataclass(slots=True)
class Seen:
    """One scenario through an SDK."""

    events: list[Event] = field(default_factory=list)
    told: list[tuple[str, Any]] = field(default_factory=list)
    """What else the SDK told its user: kind and content, in order."""
    failed: str = ""

    def of(self, kind: str) -> list[Any]:
        return [what for its, what in self.told if its == kind]


@pytest.fixture(scope="module", autouse=True)
def no_tier_fails_inside(stack: Stack) -> Iterator[None]:
    """Whatever clients do, no tier logs an error of its own."""
    logs = sorted((stack.data_dir / "logs").glob("*.log"))
    before = {log: log.stat().st_size for log in logs}
    yield
    failed = [
        f"{log.name}: {line}"
        for log in logs
        for line in log.read_bytes()[before[log] :].decode().splitlines()
        if '"level": "ERROR"' in line or '"level": "CRITICAL"' in line or "Traceback" in line
    ]
    assert not failed, "\n".join(failed)


@pytest.fixture(scope="module")
def node(stack: Stack) -> Callable[[str], Callable[[str], Seen]]:
    """Run a program's scenarios; returns what finds one of them by its name."""

    def run(program: str) -> Callable[[str], Seen]:
        ran = subprocess.run(
            [shutil.which("node") or "node", str(NODE / program)],
            env={
                "NODE_EXTRA_CA_CERTS": stack.ca_file,
                "MESH_URL": stack.https_url,
                "MESH_KEY": stack.key,
                "MESH_DATA": str(DATA),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=ALL_S,
        )
        assert ran.returncode == 0, ran.stderr
        # The SDKs log what surprises them: warnings of frames, unhandled rejections.
        assert ran.stderr == ""
        scenarios = _read(ran.stdout)

        def find(name: str) -> Seen:
            seen = scenarios[name]
            assert not seen.failed, (seen.failed, [event["type"] for event in seen.events])
            return seen

        return find

    return run


def _read(lines: str) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    for line in map(json.loads, lines.splitlines()):
        seen = found.setdefault(line["scenario"], Seen())
        match line:
            case {"event": event}:
                seen.events.append(event)
            case {"told": {"kind": kind, "what": what}}:
                seen.told.append((kind, what))
            case {"failed": failed}:
                seen.failed = failed
    return found
