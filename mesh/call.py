"""A call as its servicer sees it: who calls, what must come first, is there room.

    async with call.served(context, needs_deadline=False) as caller:
        config = (await call.first(requests, "config")).config
        call.check_tenant(config.session, caller.tenant_id)
        with slots.taken():
            ...

The ids travel as metadata, so that every kind of call has them in one place.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from prometheus_client import Gauge

from mesh import log as logs
from mesh.errors import (
    MeshError,
    Overloaded,
    Rejected,
    Stale,
    TooSlow,
    Unauthenticated,
    answering,
    deadline_required,
)
from ovos.common.v1 import common_pb2

TENANT_KEY = "x-tenant-id"
SESSION_KEY = "x-session-id"
CORRELATION_KEY = "x-correlation-id"

FIRST_MESSAGE_S = 5.0  # clients send it with the call: whoever has not by then never will
RETRY_AFTER_S = 1.0  # by then one of many streams has ended

R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a call is for, as its metadata says."""

    tenant_id: str
    session_id: str = ""
    correlation_id: str = ""

    def bound(self) -> AbstractContextManager[None]:
        """Put the ids on every line logged inside."""
        return logs.bound(
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            correlation_id=self.correlation_id,
        )


def caller(context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
    """
    Raises:
        Unauthenticated: the call's metadata has no `x-tenant-id`.
    """
    found = {
        key: value if isinstance(value, str) else value.decode()
        for key, value in context.invocation_metadata() or ()
        if key in (TENANT_KEY, SESSION_KEY, CORRELATION_KEY)
    }
    if not found.get(TENANT_KEY):
        raise Unauthenticated(f"metadata {TENANT_KEY} is missing")
    return Caller(found[TENANT_KEY], found.get(SESSION_KEY, ""), found.get(CORRELATION_KEY, ""))


@asynccontextmanager
async def served(
    context: grpc.aio.ServicerContext[Any, Any], *, needs_deadline: bool = True
) -> AsyncIterator[Caller]:
    """Wrap a handler's body in this: errors become its status, log lines bear the caller's ids.

    Args:
        needs_deadline: Refuse a call without one. Streams of an open length have none.
    """
    async with answering(context):
        found = caller(context)
        if needs_deadline:
            deadline_required(context)
        with found.bound():
            async with answering(context):  # in here, so that the line about a bug has the ids
                yield found


def check_tenant(session: common_pb2.SessionRef, tenant_id: str) -> None:
    """
    Raises:
        Rejected: the request names another tenant than the call.
    """
    if session.tenant_id not in ("", tenant_id):
        raise Rejected("not the tenant of this call", param="session.tenant_id")


async def first(requests: AsyncIterable[R], kind: str, within_s: float = FIRST_MESSAGE_S) -> R:
    """The first message of a stream.

    Args:
        kind: The payload that it must be.

    Raises:
        Rejected: it is another one, or the stream ended before it.
        TooSlow: it did not come in time.
    """
    try:
        async with asyncio.timeout(within_s):
            request = await anext(aiter(requests), None)
    except TimeoutError as error:
        raise TooSlow(f"no {kind} came within {within_s:g} s") from error
    if request is None or request.WhichOneof("payload") != kind:
        raise Rejected(f"the first message must be {kind}", param=kind)
    return request


def unexpected(kind: str | None) -> Rejected:
    """The error for a payload that may not come here, or a message without one."""
    return Rejected(f"unexpected {kind or 'empty message'}", param=kind or "payload")


def unfinished() -> Rejected:
    """The error for a stream that ended without finish.

    A client that died looks the same. Only one that lives sees this.
    """
    return Rejected("the stream ended without finish", param="finish")


class Slots:
    """Calls that may be open at a time."""

    def __init__(self, most: int, gauge: Gauge, *, kept: int = 0) -> None:
        """
        Args:
            gauge: Shows how many are open.
            kept: How many of them only tenants without an open call may take, so that one
                tenant's many calls do not shut the others out.
        """
        self.most, self._gauge, self._kept = most, gauge, kept
        self.open = 0
        self._open_of: Counter[str] = Counter()

    @contextmanager
    def taken(self, tenant_id: str = "") -> Iterator[None]:
        """
        Raises:
            Overloaded: all are taken that this tenant may take.
        """
        if self.open >= self.most - (self._kept if self._open_of[tenant_id] else 0):
            raise Overloaded("every stream is taken", retry_after_s=RETRY_AFTER_S)
        self._count(tenant_id, 1)
        self._gauge.inc()
        try:
            yield
        finally:
            self._count(tenant_id, -1)
            self._gauge.dec()

    def _count(self, tenant_id: str, more: int) -> None:
        self.open += more
        self._open_of[tenant_id] += more
        self._open_of += Counter()  # drops who has none


class Attempts:
    """Of the open attempts at one thing, the newest lives: a strictly newer one replaces
    what is open, an equal or older one is refused."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[int, Callable[[MeshError], None]]] = {}

    @contextmanager
    def newest(
        self, tenant_id: str, name: str, attempt: int, stop: Callable[[MeshError], None]
    ) -> Iterator[None]:
        """
        Args:
            name: Of the thing; empty is like no other.
            stop: Ends this attempt with an error, once a newer one has come.

        Raises:
            Stale: this attempt is not the newest.
        """
        if not name:
            yield
            return
        key, mine = (tenant_id, name), (attempt, stop)
        if (other := self._open.get(key)) is not None:
            if attempt <= other[0]:
                raise Stale("an attempt as new is being served", param="session.attempt")
            other[1](Stale("a newer attempt has come", param="session.attempt"))
        self._open[key] = mine
        try:
            yield
        finally:
            if self._open.get(key) is mine:
                del self._open[key]
