"""Puts the LLM tier together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc

from llm_orchestrator import tools
from llm_orchestrator.catalogue import Catalogue
from llm_orchestrator.config import Config
from llm_orchestrator.engines import ENGINES
from llm_orchestrator.health import Watch
from llm_orchestrator.mcp_policy import Policy
from llm_orchestrator.orchestration import Orchestrator, Timeouts
from llm_orchestrator.providers import Providers
from llm_orchestrator.servicer import LlmServicer
from llm_orchestrator.tool_calls import Limits, Toolbox
from mesh import chain
from mesh.registration import Listing
from mesh.serve import Server, run, until_stopped
from ovos.llm.v1 import llm_pb2_grpc

SERVICE = "ovos.llm.v1.LlmOrchestratorService"
OFFLINE = "offline"
MAX_MESSAGE_BYTES = 16 << 20  # pictures come inside the request
AWAY = "no server answers, or it has no model"
CHANGE_IT = (
    "set OPENAI_API_KEY or GROQ_API_KEY, or LLM_OPENAI_BASE_URL for an OpenAI-compatible"
    " server, or start Ollama"
)

log = logging.getLogger(__name__)


def load(config: Config) -> Providers:
    """The providers that take part."""
    loaded, absent = chain.load_engines(config.providers, ENGINES, lambda kind: kind(config), "llm")
    return Providers(loaded, absent)


@asynccontextmanager
async def running(config: Config, providers: Providers) -> AsyncIterator[Server]:
    """The tier, listening. Health says SERVING once `Watch` has seen a provider.

    Leaving stops it; whoever wants to drain does that first.

    Raises:
        NotInstalled: a tool that the settings name cannot be used.
    """
    timeouts = Timeouts(
        first_token_s=config.first_token_timeout_s,
        between_tokens_s=config.between_tokens_timeout_s,
        failover_s=config.failover_timeout_s,
        overall_s=config.overall_timeout_s,
    )
    toolbox = Toolbox(tools.load(config.tools), _tool_limits(config))
    servicer = LlmServicer(
        Orchestrator(providers, timeouts),
        Catalogue(providers),
        worker_id=lambda: server.worker_id,
        max_streams=config.max_streams,
        style_hint=config.style_hint,
        toolbox=toolbox,
        mcp_policy=Policy(config.mcp_allowed),
        mcp_max_calls=config.mcp_max_calls,
    )

    def add(to: grpc.aio.Server) -> None:
        llm_pb2_grpc.add_LlmOrchestratorServiceServicer_to_server(servicer, to)

    server = Server(
        "llm",
        config.host,
        config.port,
        add=add,
        services=[SERVICE],
        drain_s=config.drain_s,
        load=servicer.load,
        engines=lambda: [p.name for p in providers.all if p.promises],
        max_message_bytes=MAX_MESSAGE_BYTES,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        for provider in providers.all:
            await provider.engine.close()


def _tool_limits(config: Config) -> Limits:
    return Limits(
        timeout_s=config.tool_timeout_s,
        max_rounds=config.tool_max_rounds,
        max_output_bytes=config.tool_max_output_bytes,
        max_threads=config.tool_max_threads,
    )


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    providers = load(config)

    async def until(server: Server) -> None:
        watch = Watch(providers, server)
        names = await watch.look()
        announce(config.providers, names, providers.absent)
        await watch.tell(names)
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(watch.keep(config.probe_every_s), name="watch")
            await until_stopped(server)
            keeping.cancel()

    await run(
        running(config, providers),
        config.host,
        config.metrics_port,
        listing=Listing(config.redis_url or "", config.advertised_address),
        until=until,
    )


def announce(wanted: Sequence[str], there: Sequence[str], absent: Mapping[str, str]) -> None:
    """Say at start who answers, and how to change that.

    Args:
        wanted: What the settings ask for.
        there: Those of them that can answer now, best first.
        absent: Why the others cannot, as far as they say.
    """
    missing = {name: absent.get(name, AWAY) for name in wanted if name not in there}
    chain.announce(there, missing)
    if not there:
        log.error("no provider can answer", extra={"to_change": CHANGE_IT})
    elif there[0] == OFFLINE:
        log.info("only the offline responder answers", extra={"to_change": CHANGE_IT})
