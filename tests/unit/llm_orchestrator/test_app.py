import logging

import grpc
import pytest
from grpc_health.v1 import health_pb2

from llm_orchestrator import app
from llm_orchestrator.config import Config
from llm_orchestrator.health import Watch
from mesh.errors import NotInstalled
from ovos.llm.v1 import llm_pb2 as pb
from ovos.llm.v1 import llm_pb2_grpc

CONFIG = Config(port=0, metrics_port=0)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NOWHERE = "http://127.0.0.1:1"


def test_without_key_and_server_only_those_that_need_none_are_loaded():
    providers = app.load(Config())
    assert [provider.name for provider in providers.all] == ["ollama", "offline"]
    assert providers.absent.keys() == {"openai", "groq"}


async def test_keys_bring_their_providers_in_the_order_of_the_settings():
    config = Config(providers=("groq", "openai", "offline"), groq_api_key="a", openai_api_key="b")
    providers = app.load(config)
    assert [provider.name for provider in providers.all] == ["groq", "openai", "offline"]
    for provider in providers.all:
        await provider.engine.close()


def said(caplog, event):
    return [record for record in caplog.records if record.message == event]


def test_offline_alone_is_announced_with_one_line_that_says_how_to_change_it(caplog):
    with caplog.at_level(logging.INFO):
        app.announce(("openai", "ollama", "offline"), ["offline"], {"openai": "set KEY"})
    absent = {line.engine: line.reason for line in said(caplog, "engine absent")}
    assert absent.keys() == {"openai", "ollama"}
    assert absent["openai"] == "set KEY"
    assert [line.engine for line in said(caplog, "engine serves")] == ["offline"]
    [line] = said(caplog, "only the offline responder answers")
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "LLM_OPENAI_BASE_URL", "Ollama"):
        assert name in line.to_change


def test_a_real_provider_is_announced_without_advice(caplog):
    with caplog.at_level(logging.INFO):
        app.announce(("groq", "offline"), ["groq", "offline"], {})
    assert [line.engine for line in said(caplog, "engine serves")] == ["groq"]
    assert not [line for line in caplog.records if hasattr(line, "to_change")]


def test_nobody_is_announced_as_an_error(caplog):
    app.announce(("ollama",), [], {})
    [line] = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert "Ollama" in line.to_change


@pytest.mark.parametrize("question", ["what is seven times eight", "who are you"])
async def test_on_a_machine_with_nothing_offline_answers(question):
    config = Config(port=0, ollama_host=NOWHERE)
    providers = app.load(config)
    async with (
        app.running(config, providers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        watch = Watch(providers, server)
        assert await watch.look() == ["offline"]
        stub = llm_pb2_grpc.LlmOrchestratorServiceStub(channel)
        call = stub.Generate(metadata=(("x-tenant-id", "acme"),), timeout=30)
        message = pb.Message(role=pb.ROLE_USER, text=question)
        await call.write(pb.GenerateRequest(config=pb.GenerationConfig(messages=[message])))
        await call.write(pb.GenerateRequest(finish=pb.FinishGeneration()))
        done = [message async for message in call][-1].completed
    assert done.model == pb.ModelPreference(provider="offline", model="rules")
    assert "fifty six" in done.text or "offline responder" in done.text


async def test_a_tool_that_the_settings_name_and_nobody_has_keeps_the_tier_from_starting():
    config = Config(port=0, providers=("offline",), tools=("no_such_tool",))
    with pytest.raises(NotInstalled, match=r"LLM_TOOLS: no tool 'no_such_tool'"):
        async with app.running(config, app.load(config)):
            pass


async def test_a_request_may_be_as_long_as_pictures_are():
    config = Config(port=0, providers=("offline",))
    async with (
        app.running(config, app.load(config)) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = llm_pb2_grpc.LlmOrchestratorServiceStub(channel)
        call = stub.Generate(metadata=(("x-tenant-id", "acme"),), timeout=30)
        image = pb.Image(url="data:image/png;base64," + "A" * (10 << 20))
        message = pb.Message(role=pb.ROLE_USER, images=[image])
        await call.write(pb.GenerateRequest(config=pb.GenerationConfig(messages=[message])))
        await call.write(pb.GenerateRequest(finish=pb.FinishGeneration()))
        done = [message async for message in call][-1].completed
    assert "can not see" in done.text
