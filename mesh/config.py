"""Settings, read once, in `__main__`: the environment over an optional TOML file.

A tier's settings are one frozen dataclass. Field `engines` of the tier `stt` is the
variable STT_ENGINES and, in the file that VOICEMESH_CONFIG names, `engines` under
`[stt]`. A field can name a variable of its own and bounds in its metadata:

    redis_url: str = field(metadata={"env": "REDIS_URL"})
    threshold: float = field(default=0.5, metadata={"ge": 0, "le": 1})

Such a variable is looked up in the file at the top level, in lower case (`redis_url`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import os
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import uvloop

from mesh import log

FILE_VARIABLE = "VOICEMESH_CONFIG"

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class ConfigError(ValueError):
    """The settings are wrong. `mistakes` names every variable at fault."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


class Settings(Protocol):
    """What every tier's settings have."""

    @property
    def log_level(self) -> str: ...


T = TypeVar("T")
S = TypeVar("S", bound=Settings)


def environment() -> Mapping[str, str]:
    """The environment of this process; the one place that reads it."""
    return os.environ  # noqa: TID251 - the one place


def load(
    cls: type[T],
    env: Mapping[str, str] | None = None,
    *,
    prefix: str,
    file: Path | None = None,
    strict: bool = False,
) -> T:
    """Fill the dataclass `cls`.

    Args:
        env: Variables; None means those of this process.
        file: A TOML file for what the environment does not set; None means the one
            that VOICEMESH_CONFIG names, if it does.
        strict: A key under `[prefix]` in the file that is no setting is a mistake too.

    Raises:
        ConfigError: variables are missing, of the wrong type or out of bounds, or the
            file cannot be read; all of them at once.
    """
    env = environment() if env is None else env
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    hints = get_type_hints(cls)
    try:
        written = _read(file or _named_file(env), prefix)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{FILE_VARIABLE}: {error}"]) from error
    settings = {variable(field, prefix): field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if strict:
        mistakes += _unknown(written, settings, prefix)
    for name, field in settings.items():
        found = env.get(name, written.get(name))
        try:
            if found is not None:
                values[field.name] = _within(_parse(hints[field.name], found), field.metadata)
            elif _required(field):
                mistakes.append(f"{name} is not set")
        except ValueError as error:
            shown = "" if field.metadata.get("secret") else f"={found!r}"
            mistakes.append(f"{name}{shown}: {error}")
    if mistakes:
        raise ConfigError(mistakes)
    return cls(**values)


def variable(field: dataclasses.Field[Any], prefix: str) -> str:
    """The environment variable of a field."""
    return str(field.metadata.get("env") or f"{prefix}_{field.name}".upper())


def main(cls: type[S], prefix: str, run: Callable[[S], Coroutine[Any, Any, None]]) -> None:
    """The body of a tier's `__main__`: settings in, service out.

    Wrong settings are printed one a line and end the process with status 2.
    """
    try:
        config = load(cls, prefix=prefix, strict=True)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)  # noqa: T201 - logs are not set up without settings
        raise SystemExit(2) from error
    log.setup(prefix, config.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(config))


def _named_file(env: Mapping[str, str]) -> Path | None:
    return Path(env[FILE_VARIABLE]) if env.get(FILE_VARIABLE) else None


def _read(file: Path | None, prefix: str) -> dict[str, Any]:
    """The file's settings by variable name."""
    if file is None:
        return {}
    tree = tomllib.loads(file.read_text())
    found = {key.upper(): value for key, value in tree.items() if not isinstance(value, dict)}
    table = tree.get(prefix, {})
    if not isinstance(table, dict):
        raise ValueError(f"{file}: [{prefix}] is not a table")
    for key, value in table.items():
        found[f"{prefix}_{key}".upper()] = value
    return found


def _unknown(written: Iterable[str], settings: Iterable[str], prefix: str) -> list[str]:
    own = {name for name in written if name.startswith(f"{prefix}_".upper())}
    return [f"{name} is no setting" for name in sorted(own.difference(settings))]


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _parse(hint: Any, found: Any) -> Any:
    """Turn text (or what TOML gave) into the type `hint`."""
    if get_origin(hint) in (types.UnionType, typing.Union):
        [inner] = [arg for arg in get_args(hint) if arg is not type(None)]
        return None if found == "" else _parse(inner, found)
    if get_origin(hint) is tuple:
        parts = found if isinstance(found, list) else str(found).split(",")
        return tuple(_parse(get_args(hint)[0], _strip(part)) for part in parts if _strip(part))
    if hint is bool:
        return _truth(found)
    if hint in (int, float):
        return _number(hint, found)
    if not isinstance(found, str):  # from TOML, which has types of its own
        raise ValueError("not a text")
    return hint(found)


def _number(hint: type[int] | type[float], found: Any) -> int | float:
    wrong = "not an integer" if hint is int else "not a number"
    try:
        number = hint(found)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(wrong) from error
    if isinstance(found, bool) or (isinstance(found, float) and number != found):
        raise ValueError(wrong)  # TOML's true, or 1.5 for an integer
    if not math.isfinite(number):
        raise ValueError(wrong)
    return number


def _strip(part: Any) -> Any:
    return part.strip() if isinstance(part, str) else part


def _truth(found: Any) -> bool:
    text = str(found).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError("not a boolean (true or false)")


def _within(value: Any, metadata: Mapping[str, Any]) -> Any:
    for part in value if isinstance(value, tuple) else (value,):
        if part is None:
            continue
        if "ge" in metadata and part < metadata["ge"]:
            raise ValueError(f"must be {metadata['ge']} or more")
        if "le" in metadata and part > metadata["le"]:
            raise ValueError(f"must be {metadata['le']} or less")
        if "among" in metadata and part not in metadata["among"]:
            raise ValueError(f"must be among {', '.join(map(str, metadata['among']))}")
    return value
