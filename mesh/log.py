"""JSON logs, one line an event, with the ids of whoever the work is for.

    log = logging.getLogger(__name__)
    log.info("reply finished", extra={"response_id": rid, "status": "cancelled"})

Never what people said, never a secret: fields of such names are dropped here too, at
any depth, in case a line forgets.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.json import JsonFormatter

session_id: ContextVar[str] = ContextVar("session_id", default="")
correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
tenant_id: ContextVar[str] = ContextVar("tenant_id", default="")

_IDS = {"session_id": session_id, "correlation_id": correlation_id, "tenant_id": tenant_id}
_PRIVATE = {
    "text", "transcript", "audio", "prompt", "instructions", "arguments", "output", "delta",
    "authorization", "api_key", "key", "secret", "token", "password", "url",
}  # fmt: skip
_NESTED = (dict, list, tuple)


def setup(service: str, level: str = "INFO") -> None:
    """Log JSON lines to standard error. Once, before the first gRPC channel (grpc#43421).

    Args:
        service: The tier, as field `service` of every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Ids())
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            static_fields={"service": service},
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("aiohttp.access", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "groq"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Put ids (session_id, correlation_id, tenant_id) on every line logged inside.

    Tasks started inside inherit them; tasks started before do not.
    """
    tokens = [(_IDS[name], _IDS[name].set(value)) for name, value in ids.items()]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            try:
                variable.reset(token)
            except ValueError:  # a generator closed from another context: that one keeps its own
                variable.set("")


class _Ids(logging.Filter):
    """Adds the ids of the context, drops private fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, variable in _IDS.items():
            if value := variable.get():
                setattr(record, name, value)
        for name in _PRIVATE & record.__dict__.keys():
            delattr(record, name)
        for name, value in record.__dict__.items():
            if isinstance(value, _NESTED) and name not in ("args", "exc_info"):
                record.__dict__[name] = _without_private(value)
        return True


def _without_private(value: Any) -> Any:
    match value:
        case dict():
            return {k: _without_private(v) for k, v in value.items() if k not in _PRIVATE}
        case list() | tuple():
            return [_without_private(part) for part in value]
    return value
