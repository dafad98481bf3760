"""JSON logs, one line an event, with the ids of whoever the work is for.

    log = logging.getLogger(__name__)
    log.info("reply finished", extra={"response_id": rid, "status": "cancelled"})

Never what people said, never a secret: fields of such names are dropped here too, at
any depth, in case a line forgets.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar, Token
from typing import Any

from pythonjsonlogger.json import JsonFormatter

_bound: ContextVar[dict[str, str]] = ContextVar("ids", default={})  # noqa: B039 - never changed


class _Id:
    """One of the ids of whoever the work is for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self) -> str:
        """It; "" if there is none."""
        return _bound.get().get(self._name, "")


session_id, correlation_id, tenant_id = map(_Id, ("session_id", "correlation_id", "tenant_id"))

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
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_worth_a_line)


def bound(*, session_id: str = "", correlation_id: str = "", tenant_id: str = "") -> Bound:
    """Put ids on every line logged inside; one that is "" stays as it was.

    Tasks started inside inherit them; tasks started before do not.
    """
    ids = {"session_id": session_id, "correlation_id": correlation_id, "tenant_id": tenant_id}
    return Bound({name: value for name, value in ids.items() if value})


class Bound:
    """Small, and with one variable: every connection has one as long as it is open."""

    __slots__ = ("_ids", "_token")

    def __init__(self, ids: dict[str, str]) -> None:
        self._ids = ids
        self._token: Token[dict[str, str]]

    def __enter__(self) -> None:
        self._ids = _bound.get() | self._ids
        self._token = _bound.set(self._ids)

    def __exit__(self, *_: object) -> None:
        try:
            _bound.reset(self._token)
        except ValueError:  # a generator closed from another context: that one keeps its own
            _bound.set({})


class _Ids(logging.Filter):
    """Adds the ids of the context, drops private fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _bound.get().items():
            setattr(record, name, value)
        for name in _PRIVATE & record.__dict__.keys():
            delattr(record, name)
        for name, value in record.__dict__.items():
            if isinstance(value, _NESTED) and name not in ("args", "exc_info"):
                record.__dict__[name] = _without_private(value)
        return True


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether a line of grpcio tells anything. A caller that leaves just when its call has ended
    gets no status; it does not want one, and to grpcio that is an error (grpc#31043)."""
    error = record.exc_info[1] if record.exc_info else None
    return "SendStatusFromServerOperation" not in str(error)


def _without_private(value: Any) -> Any:
    match value:
        case dict():
            return {k: _without_private(v) for k, v in value.items() if k not in _PRIVATE}
        case list() | tuple():
            return [_without_private(part) for part in value]
    return value
