"""Every setting of every tier, as the tiers' own `config.py` describe them."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from mesh import config
from mesh.config import variable

TIERS = {
    "gateway": "gateway",
    "stt_service": "stt",
    "tts_service": "tts",
    "llm_orchestrator": "llm",
    "persistence": "persistence",
}
"""Package → prefix of its variables."""


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    variable: str
    default: str  # "" if it has none or an empty one
    meaning: str


def of(package: str) -> list[Setting]:
    """A tier's settings, in its own order."""
    meanings = dict(_docstrings(_config(package)))
    return [
        Setting(variable(field, TIERS[package]), _default(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(_config(package))
    ]


def engines(env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The engines that each tier is to try, best first, by the tier's prefix.

    Raises:
        ConfigError: a tier's settings are wrong.
    """
    return {
        prefix: getattr(config.load(_config(package), env, prefix=prefix), field.name)
        for package, prefix in TIERS.items()
        for field in dataclasses.fields(_config(package))
        if field.name in ("engines", "providers")
    }


def unknown(env: Mapping[str, str]) -> list[str]:
    """What to say of variables that look like ours and are none, a line each."""
    said = []
    for package, prefix in TIERS.items():
        # By the names they would have, had none a name of its own: PORT is GATEWAY_PORT.
        known = {
            field.name.upper(): variable(field, prefix)
            for field in dataclasses.fields(_config(package))
        }
        start = f"{prefix.upper()}_"
        for name in sorted(env):
            if name.startswith(start) and name not in known.values():
                near = difflib.get_close_matches(name.removeprefix(start), known, n=1, cutoff=0.7)
                hint = f"; did you mean {known[near[0]]}?" if near else ""
                said.append(f"{name} is no setting{hint}")
    return said


def markdown() -> str:
    """The page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Environment variables, or lines of `.env` for `voicemesh up`; also keys of the TOML file",
        "that `VOICEMESH_CONFIG` names (`STT_ENGINES` is `engines` under `[stt]`). The environment",
        "wins. Printed by `voicemesh settings`.",
    ]
    for package in TIERS:
        lines += ["", f"## {package}", "", "| variable | default | meaning |", "|---|---|---|"]
        for s in of(package):
            default = f"`{s.default}`" if s.default else ""
            lines.append(f"| `{s.variable}` | {default} | {s.meaning} |")
    return "\n".join(lines) + "\n"


def _config(package: str) -> type[Any]:
    found: type[Any] = import_module(f"{package}.config").Config
    return found


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING or field.default is None:
        return ""
    if isinstance(field.default, tuple):
        return ",".join(map(str, field.default))
    return str(field.default)


def _docstrings(config: type) -> Iterator[tuple[str, str]]:
    """Field → the string under it."""
    [tree] = ast.parse(inspect.getsource(config)).body
    assert isinstance(tree, ast.ClassDef)
    for above, below in zip(tree.body, tree.body[1:], strict=False):
        match above, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                yield name, " ".join(text.split())
