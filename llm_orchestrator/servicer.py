"""The gRPC face of this tier: wire messages in and out, no provider code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import grpc

from llm_orchestrator import mcp_wire, metrics, wire
from llm_orchestrator.catalogue import Catalogue
from llm_orchestrator.mcp_policy import Policy
from llm_orchestrator.mcp_servers import CALL_S, LIST_S, McpFailure, McpServers
from llm_orchestrator.orchestration import Orchestrator
from llm_orchestrator.tool_calls import Toolbox
from llm_orchestrator.turn import Turn
from mesh import call
from mesh.errors import MeshError
from mesh.health import Load
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc

if TYPE_CHECKING:  # generic to the type checker only
    Context = grpc.aio.ServicerContext[pb.GenerateRequest, pb.GenerateResponse]
    Requests = AsyncIterator[pb.GenerateRequest]

KEPT = 10  # of so many streams, one is kept for tenants that have none
MARGIN_S = 0.1
"""Before the caller's deadline, an answer still has to get through to it."""


LINGER_S = 0.5
"""How long a call stays open for the caller's finish.

Why: a message that the caller writes to a call that has just ended hides the call's status
from it (grpcio reports INTERNAL), and finish is usually on its way.
"""


class LlmServicer(llm_pb2_grpc.LlmOrchestratorServiceServicer):
    def __init__(
        self,
        orchestrator: Orchestrator,
        catalogue: Catalogue,
        *,
        worker_id: Callable[[], str],
        max_streams: int,
        style_hint: str = "",
        toolbox: Toolbox | None = None,
        mcp_policy: Policy | None = None,
        mcp_max_calls: int = 64,
    ) -> None:
        """
        Args:
            worker_id: What `started` says; asked at every response.
            style_hint: Put before the instructions of every request.
            toolbox: The server-side tools; None for none.
            mcp_policy: Which MCP servers clients may name; None for none.
            mcp_max_calls: Requests to MCP servers at a time.
        """
        self._mcp, self._mcp_policy = McpServers(), mcp_policy or Policy()
        self._mcp_slots = call.Slots(mcp_max_calls, metrics.MCP_OPEN)
        self._orchestrator, self._catalogue = orchestrator, catalogue
        self._toolbox = toolbox or Toolbox()
        self._worker_id, self._style_hint = worker_id, style_hint
        kept = max_streams // KEPT
        self._slots = call.Slots(max_streams, metrics.STREAMS_OPEN, kept=kept)
        self._attempts = call.Attempts()

    def load(self) -> Load:
        return Load(active_streams=self._slots.open, max_streams=self._slots.most)

    # Not a generator: a generator may not yield inside the TaskGroup that reads the caller's
    # messages while the answer is written. The generated base class knows only generators.
    async def Generate(  # type: ignore[override]
        self, request_iterator: Requests, context: Context
    ) -> None:
        async with call.served(context) as caller:
            config = (await call.first(request_iterator, "config")).config
            session = config.session
            with ExitStack() as held:
                try:
                    call.check_tenant(session, caller.tenant_id)
                    held.enter_context(self._slots.taken(caller.tenant_id))
                    turn = self._turn(config, context)
                    held.enter_context(
                        self._attempts.newest(
                            caller.tenant_id, config.response_id, session.attempt, turn.stop
                        )
                    )
                except MeshError:
                    held.close()
                    await _hear_out(request_iterator)
                    raise
                await _converse(turn, request_iterator)

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        response = pb.ListModelsResponse()
        async with call.served(context):
            for model, available in await self._catalogue.models():
                response.models.add(model=wire.preference(model), available=available)
        return response

    async def ListTools(
        self,
        request: pb.ListToolsRequest,
        context: grpc.aio.ServicerContext[pb.ListToolsRequest, pb.ListToolsResponse],
    ) -> pb.ListToolsResponse:
        response = pb.ListToolsResponse()
        async with call.served(context) as caller:
            call.check_tenant(request.session, caller.tenant_id)
            server = mcp_wire.server_of(request.server, self._mcp_policy)
            with self._mcp_slots.taken():
                try:
                    with metrics.mcp_request("list"):
                        found = await self._mcp.tools(server, _left_s(context, LIST_S))
                except McpFailure as failure:
                    raise mcp_wire.failed_list(failure) from failure
                response = mcp_wire.tools(found)
        return response

    async def CallTool(
        self,
        request: pb.CallToolRequest,
        context: grpc.aio.ServicerContext[pb.CallToolRequest, pb.CallToolResponse],
    ) -> pb.CallToolResponse:
        response = pb.CallToolResponse()
        async with call.served(context) as caller:
            call.check_tenant(request.session, caller.tenant_id)
            server = mcp_wire.server_of(request.server, self._mcp_policy)
            arguments = mcp_wire.arguments_of(request.arguments_json)
            with self._mcp_slots.taken():
                try:
                    with metrics.mcp_request("call"):
                        response.output = await self._mcp.call(
                            server, request.name, arguments, _left_s(context, CALL_S)
                        )
                except McpFailure as failure:
                    response = mcp_wire.failed_call(failure)
        return response

    def _turn(self, config: pb.GenerationConfig, context: Context) -> Turn:
        """
        Raises:
            Rejected: the config has a mistake.
        """
        remaining_s = context.time_remaining()
        budget_s = None if remaining_s is None else max(0.0, remaining_s - MARGIN_S)
        ask = wire.ask_of(config, self._style_hint, budget_s)
        write, worker_id = context.write, self._worker_id()
        return Turn(self._orchestrator, ask, write, self._toolbox, worker_id=worker_id)


def _left_s(context: grpc.aio.ServicerContext[Any, Any], most_s: float) -> float:
    """Seconds that a unary call may take so that its answer still gets through."""
    remaining_s = context.time_remaining()
    return most_s if remaining_s is None else max(0.0, min(most_s, remaining_s - MARGIN_S))


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
            case other:
                turn.stop(call.unexpected(other))
    if not turn.finished:
        turn.stop(call.unfinished())  # nobody waits for the rest
