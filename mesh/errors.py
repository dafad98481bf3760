"""Everything that can go wrong between tiers, with one name for each.

* MeshError
    * Unavailable: nobody answers, or the breaker is open. Try again later.
        * Draining: it is going away. Try again elsewhere, at once.
        * Gone: its process is not there, or the way to it is not.
    * Overloaded: it answers, and is full. Try again later, or elsewhere.
    * TooSlow: the deadline passed.
    * Rejected: our request is wrong. Trying again cannot help.
        * Missing: it names something that is not there.
        * Unauthenticated: it does not say, or may not say, who is asking.
        * Forbidden: the operator does not allow it.
        * Stale: a newer attempt at the same thing has taken its place.
    * Broken: the other side failed inside.
* NotInstalled: an engine's weights, key or library are not on this machine.

On the wire a MeshError is a gRPC status with google.rpc.ErrorInfo{reason, domain}:
`answering` makes it on the server, `calling` reads it on the client. Inside a stream
that stays open it is an ErrorDetail.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from ovos.common.v1 import common_pb2 as pb

DOMAIN = "voicemesh.ovos"
CODE = "provider_code"
"""Where a MeshError's `code` is in the metadata of ErrorInfo and ErrorDetail."""

MAX_DETAIL_CHARS = (
    400  # trailers over 8 KB fail the call as RESOURCE_EXHAUSTED, and it is there twice
)

E = TypeVar("E", bound=Exception)

log = logging.getLogger(__name__)


class NotInstalled(Exception):
    """An engine cannot take part here. The message says what is missing and, after its last
    `; `, what to do: `no weights in …; voicemesh models pull kokoro`."""


class MeshError(Exception):
    """A call to another tier failed. `tier` says which, e.g. "stt"."""

    retryable = False
    status = grpc.StatusCode.INTERNAL
    reason = pb.ERROR_CODE_INTERNAL

    def __init__(
        self,
        detail: str,
        *,
        tier: str = "",
        retry_after_s: float | None = None,
        param: str = "",
        code: str = "",
    ) -> None:
        """
        Args:
            detail: English, for an operator. Never what people said.
            param: Path of the field at fault, for Rejected.
            code: What clients of the Realtime protocol know the failure by, for example
                "rate_limit_exceeded"; empty if there is no name for it.
        """
        self.detail, self.tier, self.param, self.code = detail, tier, param, code
        self.retry_after_s = retry_after_s
        super().__init__(f"{tier}: {detail}" if tier else detail)


class Unavailable(MeshError):
    retryable = True
    status = grpc.StatusCode.UNAVAILABLE
    reason = pb.ERROR_CODE_UPSTREAM_FAILED


class Draining(Unavailable):
    reason = pb.ERROR_CODE_WORKER_DRAINING


class Gone(Unavailable):
    """Never said by a peer: on the wire it is Unavailable."""


class Overloaded(MeshError):
    retryable = True
    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = pb.ERROR_CODE_WORKER_OVERLOADED


class TooSlow(MeshError):
    status = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = pb.ERROR_CODE_TIMEOUT


class Rejected(MeshError):
    status = grpc.StatusCode.INVALID_ARGUMENT
    reason = pb.ERROR_CODE_INVALID_REQUEST


class Missing(Rejected):
    status = grpc.StatusCode.NOT_FOUND
    reason = pb.ERROR_CODE_NOT_FOUND


class Unauthenticated(Rejected):
    status = grpc.StatusCode.UNAUTHENTICATED


class Forbidden(Rejected):
    status = grpc.StatusCode.PERMISSION_DENIED


class Stale(Rejected):
    status = grpc.StatusCode.ABORTED
    reason = pb.ERROR_CODE_STALE_ATTEMPT


class Broken(MeshError):
    pass


_BY_STATUS: dict[grpc.StatusCode, type[MeshError]] = {
    kind.status: kind
    for kind in (
        Unavailable, Overloaded, TooSlow, Rejected, Missing, Unauthenticated, Forbidden, Broken
    )
}  # fmt: skip
_BY_REASON = {pb.ErrorCode.Name(kind.reason): kind for kind in (Draining, Stale)}
"""Those whose status can mean something else, too."""


def detail_of(error: MeshError) -> pb.ErrorDetail:
    """The error as a message inside a stream that stays open."""
    detail = pb.ErrorDetail(
        code=error.reason, message=error.detail, retryable=error.retryable, param=error.param
    )
    if error.code:
        detail.metadata[CODE] = error.code
    if error.retry_after_s is not None:
        detail.retry_after.FromTimedelta(timedelta(seconds=error.retry_after_s))
    return detail


def to_status(error: MeshError) -> status_pb2.Status:
    """The error as google.rpc.Status, with ErrorInfo and, if it says when, RetryInfo."""
    info = error_details_pb2.ErrorInfo(reason=pb.ErrorCode.Name(error.reason), domain=DOMAIN)
    if error.param:
        info.metadata["param"] = error.param
    if error.code:
        info.metadata[CODE] = error.code
    details: list[Any] = [info]
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    code = code_pb2.Code.Value(error.status.name)
    status = status_pb2.Status(code=code, message=error.detail[:MAX_DETAIL_CHARS])
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def from_rpc(error: grpc.aio.AioRpcError, tier: str) -> MeshError:
    """What a failed call says, as one of ours."""
    kind = _BY_STATUS.get(error.code(), Broken)
    retry_after_s, param, code, is_said = None, "", "", False
    for detail in _details(error):
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            param, code, is_said = info.metadata.get("param", ""), info.metadata.get(CODE, ""), True
            kind = _BY_REASON.get(info.reason, kind)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    if kind is Unavailable and not is_said:  # gRPC itself found nobody
        kind = Gone
    text = error.details() or error.code().name
    return kind(text, tier=tier, retry_after_s=retry_after_s, param=param, code=code)


def _details(error: grpc.aio.AioRpcError) -> list[AnyMessage]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            raw = value if isinstance(value, bytes) else value.encode()
            with suppress(DecodeError):  # not from us
                return list(status_pb2.Status.FromString(raw).details)
    return []


@contextmanager
def calling(tier: str) -> Iterator[None]:
    """Turn gRPC's errors into ours. Wrap every call to another tier in it."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, tier) from error


def first_of(group: BaseExceptionGroup[E]) -> E:
    """The first error of those a TaskGroup raised, however deep it lies."""
    error: E | BaseExceptionGroup[E] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def answering(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Turn our errors into a status for the caller. Wrap every handler's body in it.

    What is not ours is a bug: the caller gets INTERNAL and no detail, the log gets it all.
    """
    try:
        yield
    except MeshError as error:
        await context.abort_with_status(rpc_status.to_status(to_status(error)))
    except grpc.aio.AbortError:
        raise
    except Exception as error:
        if context.done() or _is_cut_off(error):
            log.debug("the caller left", exc_info=True)
            return
        log.exception("handler failed")
        status = to_status(Broken("The service failed inside."))
        await context.abort_with_status(rpc_status.to_status(status))


def _is_cut_off(error: Exception) -> bool:
    """Whether a write failed because the caller left, which the context may not know yet."""
    if isinstance(error, ExceptionGroup):
        return error.split(grpc.aio.InternalError)[1] is None
    return isinstance(error, grpc.aio.InternalError)


def deadline_required(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """
    Raises:
        Rejected: the caller set no deadline, so a lost answer would be waited for forever.
    """
    if context.time_remaining() is None:
        raise Rejected("set a deadline on this call")
