"""What `voicemesh up` says when all is ready."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from mesh.chain import ENGINE_ABSENT, ENGINE_SERVES

DATA_DIR = Path(".local")
"""Where all data is, unless somebody says otherwise."""

ENGINE_EVENTS = (ENGINE_ABSENT, ENGINE_SERVES)

_STAGES = (("stt", "hears with"), ("llm", "thinks with"), ("tts", "speaks with"))
_OUR_COMMAND = re.compile(r"`voicemesh ([^`]*)`")  # in a reason
_INDENT = " " * 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the banner tells."""

    http_url: str
    https_url: str | None
    """The same over TLS, if that is served."""
    ca_file: Path | None
    """What to trust there, if we made it."""
    gateways: Sequence[str]
    """URL of each gateway."""
    stats_url: str | None
    """Where HAProxy tells what it does, if it runs."""
    key: str
    data_dir: Path
    elapsed_s: float
    engines: Mapping[str, Sequence[Mapping[str, Any]]]
    """What STT, LLM and TTS logged about their engines."""
    wanted: Mapping[str, Sequence[str]]
    """The engines that their settings ask for, best first."""
    recording: Path | None
    """Something to try it with."""
    embedded_postgres: bool


def realtime_url(http_url: str) -> str:
    return http_url.replace("http", "ws", 1) + "/v1/realtime"


def text(facts: Facts) -> str:
    command, data_dir = how_to_call_us(), _near(facts.data_dir)
    where = "" if data_dir == DATA_DIR else f" --data-dir {data_dir}"
    rows = [
        ("Realtime", realtime_url(facts.http_url)),
        *_over_tls(facts),
        ("HTTP", facts.http_url),
        *_several(facts),
        ("key", f"{facts.key}   ({data_dir / 'dev-key'})"),
        *((label, _stage(facts, part, f"{command} {{}}{where}")) for part, label in _STAGES),
        ("try", f"{command} talk {facts.recording or 'SPEECH.wav'}{where}"),
    ]
    if facts.embedded_postgres:
        rows.append(("history", f"{command} psql{where}"))
    rows.append(("logs", str(data_dir / "logs")))
    body = "\n".join(f"  {label:<12} {value}" for label, value in rows)
    return (
        f"\nOVOS Voice Mesh is ready after {facts.elapsed_s:.1f} s.\n\n{body}\n\n"
        "  Settings are environment variables, or lines of .env (OPENAI_API_KEY=…).\n"
        "  Ctrl-C ends everything.\n"
    )


def _over_tls(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.https_url:
        trusted = f"   (CA: {_near(facts.ca_file)})" if facts.ca_file else ""
        yield "over TLS", realtime_url(facts.https_url) + trusted


def _several(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.stats_url:
        yield "HAProxy", f"{facts.stats_url}/stats   ({facts.stats_url}/metrics)"
    if facts.stats_url or len(facts.gateways) > 1:
        for n, url in enumerate(facts.gateways, start=1):
            yield f"gateway-{n}", url


def how_to_call_us() -> str:
    """`voicemesh`, or where it is if the PATH does not know."""
    if shutil.which("voicemesh"):
        return "voicemesh"
    return str(_near(Path(sys.executable).parent / "voicemesh"))


def _stage(facts: Facts, part: str, command: str) -> str:
    """The engine that serves; below it, what it takes to get those that come before it."""
    events = facts.engines.get(part, ())
    serving = next((str(one["engine"]) for one in events if one["event"] == ENGINE_SERVES), "?")
    reasons = {
        str(one["engine"]): str(one["reason"]) for one in events if one["event"] == ENGINE_ABSENT
    }
    better = takewhile(lambda name: name != serving, facts.wanted.get(part, ()))
    absent = [f"{n + ':':<16}{_remedy(reasons[n], command)}" for n in better if n in reasons]
    below = f"\n{_INDENT}better: " + f"\n{_INDENT}        ".join(absent)
    return serving + below if absent else serving


def _remedy(reason: str, command: str) -> str:
    """The end of a reason, which says what to do: "no weights in …; run `voicemesh …`".

    Args:
        command: How a command of ours is typed here, {} being its words.
    """
    last = reason.rpartition("; ")[2]
    return _OUR_COMMAND.sub(lambda found: command.format(found[1]), last)


def _near(path: Path) -> Path:
    """The path from here, if it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
