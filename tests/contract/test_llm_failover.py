"""What callers of the tier hear while a provider misbehaves: the answer, finished by the next
provider, or an error that says what is wrong. Real SDKs talk to servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest

from llm_orchestrator import app
from llm_orchestrator.config import Config
from mesh.errors import Unavailable, from_rpc
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc
from tests.contract.llm_rig import ANSWER, QUESTION, SECRET, WITH_A_SERVER
from tests.fakes.llm import USAGE, Fault, Model, Reply
from tests.fakes.provider_server import ProviderServer

NEXT = dict(zip(WITH_A_SERVER, [*WITH_A_SERVER[1:], WITH_A_SERVER[0]], strict=True))
"""Who goes on where a provider fails; each has to, once."""

PATIENT_S = 30.0
STALL_S = 1.0
"""How long a provider that says nothing more is waited for. The other one has been asked
before, so that it answers in time on a busy machine, too."""

AT_START = [
    Fault.STALL, Fault.CUT, Fault.HALF, Fault.GARBAGE, Fault.PAGE, Fault.PLAIN,
    Fault.LIMITED, Fault.BROKEN, Fault.BAD_KEY, Fault.BAD_REQUEST,
]  # fmt: skip
IN_THE_MIDDLE = [Fault.STALL, Fault.CUT, Fault.HALF, Fault.GARBAGE]


@dataclass
class Tier:
    """The tier, with two providers."""

    stub: llm_pb2_grpc.LlmOrchestratorServiceAsyncStub
    first: Model
    second: Model
    servers: tuple[ProviderServer, ProviderServer]

    async def ask(self) -> list[pb.GenerateResponse]:
        """
        Raises:
            grpc.aio.AioRpcError: there is no answer.
        """
        call = self.stub.Generate(metadata=(("x-tenant-id", "acme"),), timeout=PATIENT_S)
        message = pb.Message(role=pb.ROLE_USER, text=QUESTION)
        await call.write(pb.GenerateRequest(config=pb.GenerationConfig(messages=[message])))
        await call.write(pb.GenerateRequest(finish=pb.FinishGeneration()))
        return [response async for response in call]


@asynccontextmanager
async def tier(name: str, **limits: float) -> AsyncIterator[Tier]:
    """
    Args:
        name: Of the first provider.
    """
    first, second = Model(Reply(ANSWER)), Model(Reply(ANSWER))
    async with ProviderServer(first) as one, ProviderServer(second) as two:
        urls = {name: one.url, NEXT[name]: two.url}
        config = Config(
            port=0,
            providers=(name, NEXT[name]),
            openai_api_key=SECRET,
            groq_api_key=SECRET,
            openai_base_url=f"{urls.get('openai', '')}/v1",
            groq_base_url=urls.get("groq", ""),
            ollama_host=urls.get("ollama", ""),
            **{"first_token_timeout_s": PATIENT_S, "between_tokens_timeout_s": PATIENT_S, **limits},  # type: ignore[arg-type]
        )
        providers = app.load(config)
        for provider in providers.all:
            await provider.engine.refresh()
        async with (
            app.running(config, providers) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            yield Tier(llm_pb2_grpc.LlmOrchestratorServiceStub(channel), first, second, (one, two))
            first.go_on.set()
            second.go_on.set()


@pytest.fixture(params=WITH_A_SERVER)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def text_of(messages: list[pb.GenerateResponse]) -> str:
    return "".join(message.text_delta.text for message in messages)


def limits_for(fault: Fault, which: str) -> dict[str, float]:
    return {which: STALL_S} if fault is Fault.STALL else {}


async def warmed(tier: Tier) -> None:
    """Let the second provider answer once: its SDK is loaded and its connection open."""
    tier.first.reply = Reply(fault=Fault.BROKEN)
    assert text_of(await tier.ask()) == ANSWER


@pytest.mark.parametrize("fault", AT_START)
async def test_what_fails_before_a_word_is_answered_by_the_next(name: str, fault: Fault) -> None:
    async with tier(name, **limits_for(fault, "first_token_timeout_s")) as mesh:
        if fault is Fault.STALL:
            await warmed(mesh)
        mesh.first.reply = Reply(ANSWER, fault=fault)
        messages = await mesh.ask()
        done = messages[-1].completed
        assert text_of(messages) == done.text == ANSWER
        assert done.finish_reason == pb.FINISH_REASON_STOP
        assert done.model.provider == NEXT[name]
        [error] = [message.error for message in messages if message.HasField("error")]
        assert error.metadata["next_provider"] == NEXT[name]
        assert SECRET not in error.message
        assert QUESTION not in error.message


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("fault", IN_THE_MIDDLE)
async def test_what_breaks_in_the_middle_is_finished_by_the_next(
    name: str, fault: Fault, anew: bool
) -> None:
    async with tier(name, **limits_for(fault, "between_tokens_timeout_s")) as mesh:
        mesh.first.reply = Reply(ANSWER, fault=fault, pieces_first=2)
        # Aborting a connection may throw away what was on its way.
        if not anew and fault is not Fault.CUT:
            space = " " if NEXT[name] == "ollama" else ""  # it goes on inside the message
            mesh.second.reply = Reply(f"{space}eight is fifty six.")
        messages = await mesh.ask()
        done = messages[-1].completed
        assert text_of(messages) == done.text == ANSWER
        assert done.model.provider == NEXT[name]
        assert done.usage.output_tokens >= USAGE.output_tokens
        assert mesh.second.asked == 1
        numbers = [m.text_delta.sequence for m in messages if m.HasField("text_delta")]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_an_answer_without_a_word_is_asked_for_elsewhere(name: str) -> None:
    async with tier(name) as mesh:
        mesh.first.reply = Reply("")
        assert text_of(await mesh.ask()) == ANSWER


async def test_an_answer_without_an_end_ends_with_the_time(name: str) -> None:
    async with tier(name, overall_timeout_s=1.5) as mesh:
        mesh.first.reply = Reply(ANSWER, fault=Fault.ENDLESS, pieces_first=2)
        *_, error, completed = await mesh.ask()
        assert completed.completed.finish_reason == pb.FINISH_REASON_FAILED
        assert "the time for this answer is over" in error.error.message
        assert completed.completed.text.startswith("Seven times more more")
        assert mesh.second.asked == 0
        async with asyncio.timeout(PATIENT_S):
            await mesh.first.hung_up.wait()


async def test_when_all_are_gone_the_error_says_when_to_try_again(name: str) -> None:
    async with tier(name) as mesh:
        for server in mesh.servers:
            await server.__aexit__(None, None, None)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.ask()
        error = from_rpc(caught.value, "llm")
        assert isinstance(error, Unavailable)
        assert error.retry_after_s


async def test_when_all_limit_us_the_error_says_so(name: str) -> None:
    async with tier(name) as mesh:
        mesh.first.reply = mesh.second.reply = Reply(fault=Fault.LIMITED)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.ask()
        error = from_rpc(caught.value, "llm")
        assert isinstance(error, Unavailable)
        assert error.code == "rate_limit_exceeded"
        assert error.retry_after_s
