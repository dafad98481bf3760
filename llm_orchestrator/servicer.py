"""The gRPC face of this tier: wire messages in and out, no provider code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import grpc

from llm_orchestrator import metrics, wire
from llm_orchestrator.catalogue import Catalogue
from llm_orchestrator.orchestration import Orchestrator
from llm_orchestrator.turn import Turn
from mesh import log as logs
from mesh.errors import (
    MeshError,
    Overloaded,
    Rejected,
    answering,
    deadline_required,
    tenant_of,
)
from mesh.health import Load
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc

if TYPE_CHECKING:  # generic to the type checker only
    Context = grpc.aio.ServicerContext[pb.GenerateRequest, pb.GenerateResponse]
    Requests = AsyncIterator[pb.GenerateRequest]

MARGIN_S = 0.1
"""Before the caller's deadline, an answer still has to get through to it."""


LINGER_S = 0.5
"""How long a call stays open for the caller's finish.

Why: a message that the caller writes to a call that has just ended hides the call's status
from it (grpcio reports INTERNAL), and finish is usually on its way.
"""

RETRY_AFTER_S = 1.0  # by then one of many streams has ended


class Stale(MeshError):
    """A newer attempt of the same response runs."""

    status = grpc.StatusCode.ABORTED
    reason = common_pb2.ERROR_CODE_STALE_ATTEMPT


class LlmServicer(llm_pb2_grpc.LlmOrchestratorServiceServicer):
    def __init__(
        self,
        orchestrator: Orchestrator,
        catalogue: Catalogue,
        *,
        worker_id: Callable[[], str],
        max_streams: int,
        style_hint: str = "",
    ) -> None:
        """
        Args:
            worker_id: What `started` says; asked at every response.
            style_hint: Put before the instructions of every request.
        """
        self._orchestrator, self._catalogue = orchestrator, catalogue
        self._worker_id, self._max_streams = worker_id, max_streams
        self._style_hint = style_hint
        self._active = 0
        self._attempts: dict[tuple[str, str], tuple[int, Turn]] = {}

    def load(self) -> Load:
        return Load(active_streams=self._active, max_streams=self._max_streams)

    # Not a generator: a generator may not yield inside the TaskGroup that reads the caller's
    # messages while the answer is written. The generated base class knows only generators.
    async def Generate(  # type: ignore[override]
        self, request_iterator: Requests, context: Context
    ) -> None:
        async with answering(context):
            tenant = tenant_of(context)
            deadline_required(context)
            config = await _config(request_iterator)
            if config is None:
                return
            ids = {"session_id": config.session.session_id, "tenant_id": tenant}
            with logs.bound(**ids, correlation_id=_metadata(context, "x-correlation-id")):
                try:
                    turn = self._turn(config, context)
                except MeshError:
                    await _hear_out(request_iterator)
                    raise
                with self._live(turn, (tenant, config.response_id), config.session.attempt):
                    await _converse(turn, request_iterator)

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        response = pb.ListModelsResponse()
        async with answering(context):
            deadline_required(context)
            tenant_of(context)
            for model, available in await self._catalogue.models():
                response.models.add(model=wire.preference(model), available=available)
        return response

    def _turn(self, config: pb.GenerationConfig, context: Context) -> Turn:
        """
        Raises:
            Overloaded: `max_streams` responses are being written.
            Rejected: the config has a mistake.
            Stale: a later attempt at this response runs.
        """
        if self._active >= self._max_streams:
            raise Overloaded("every stream is taken", tier="llm", retry_after_s=RETRY_AFTER_S)
        tenant, session = tenant_of(context), config.session
        if session.tenant_id not in ("", tenant):
            raise Rejected("not the tenant of this call", param="config.session.tenant_id")
        attempt, _ = self._attempts.get((tenant, config.response_id), (0, None))
        if attempt > session.attempt:
            raise Stale("a newer attempt of this response runs")
        remaining_s = context.time_remaining()
        budget_s = None if remaining_s is None else max(0.0, remaining_s - MARGIN_S)
        ask = wire.ask_of(config, self._style_hint, budget_s)
        return Turn(self._orchestrator, ask, context.write, worker_id=self._worker_id())

    @contextmanager
    def _live(self, turn: Turn, response: tuple[str, str], attempt: int) -> Iterator[None]:
        """Count the turn as open, and let it replace an earlier attempt at its response.

        Args:
            response: Tenant and response id; an empty id is like no other.
        """
        _, earlier = self._attempts.get(response, (0, None))
        if earlier is not None:
            earlier.stop(Stale("a newer attempt has replaced this one"))
        if response[1]:
            self._attempts[response] = (attempt, turn)
        self._active += 1
        metrics.STREAMS.inc()
        try:
            yield
        finally:
            self._active -= 1
            metrics.STREAMS.dec()
            if self._attempts.get(response, (0, None))[1] is turn:
                del self._attempts[response]


async def _config(requests: Requests) -> pb.GenerationConfig | None:
    """The first message; None if the caller left before it.

    Raises:
        Rejected: it is another one.
    """
    first = await anext(aiter(requests), None)
    if first is not None and first.WhichOneof("payload") != "config":
        raise Rejected("the first message is a config", param="config")
    return first and first.config


async def _hear_out(requests: Requests) -> None:
    """Read on to the caller's finish, for a moment: see LINGER_S."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            async for request in requests:
                if request.WhichOneof("payload") in ("finish", "cancel"):
                    return


async def _converse(turn: Turn, requests: Requests) -> None:
    """Write the response while the caller's messages are read.

    Raises:
        MeshError: the response cannot be written, or the caller broke the protocol.
    """
    failure: MeshError | None = None
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_read(turn, requests), name="read")
        try:
            await turn.run()
        except MeshError as error:
            metrics.RESPONSES.labels("", "error").inc()
            failure = error  # raised outside, or the group would wrap it
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await turn.heard_out.wait()
        reading.cancel()
    if failure is not None:
        raise failure


async def _read(turn: Turn, requests: Requests) -> None:
    async for request in requests:
        match request.WhichOneof("payload"):
            case "tool_output":
                turn.output(request.tool_output.call_id, request.tool_output.output)
            case "cancel":
                turn.stop()
            case "finish":
                turn.finish()
            case _:
                turn.stop(Rejected("config comes once and first", param="config"))
    if not turn.finished:
        # A caller that died looks the same as one that half-closed: nobody waits for the rest.
        turn.stop(Rejected("the stream ended without finish"))


def _metadata(context: Context, name: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode()
    return ""
