import pytest

from llm_orchestrator.config import Config
from mesh.config import ConfigError, load


def test_defaults_are_the_ones_we_run():
    config = load(Config, {}, prefix="llm")
    assert config == Config()
    assert config.providers == ("openai", "groq", "ollama", "offline")
    assert (config.port, config.metrics_port) == (50053, 9104)


def test_keys_and_addresses_come_from_the_variables_their_owners_named():
    config = load(
        Config,
        {
            "OPENAI_API_KEY": "sk-1",
            "OPENAI_BASE_URL": "http://a/v1",
            "LLM_OPENAI_BASE_URL": "http://b/v1",
            "GROQ_API_KEY": "gsk-1",
            "OLLAMA_HOST": "box:11434",
        },
        prefix="llm",
    )
    assert (config.openai_api_key, config.groq_api_key) == ("sk-1", "gsk-1")
    assert (config.openai_base_url, config.openai_sdk_base_url) == ("http://b/v1", "http://a/v1")
    assert config.ollama_host == "box:11434"


def test_a_provider_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(ConfigError, match=r"LLM_PROVIDERS.*offline"):
        load(Config, {"LLM_PROVIDERS": "openai,bard"}, prefix="llm")


def test_a_log_level_that_does_not_exist_is_a_mistake():
    with pytest.raises(ConfigError, match=r"LLM_LOG_LEVEL='verbose': must be among DEBUG, INFO"):
        load(Config, {"LLM_LOG_LEVEL": "verbose"}, prefix="llm")


def test_keys_are_not_in_its_text():
    text = repr(Config(openai_api_key="sk-1", groq_api_key="gsk-1"))
    assert "sk-1" not in text


def test_mcp_servers_are_urls_and_a_mistake_is_named():
    env = {"LLM_MCP_ALLOWED": "https://a.example/mcp, http://127.0.0.1:9000"}
    allowed = load(Config, env, prefix="llm").mcp_allowed
    assert [entry.address.port for entry in allowed] == [443, 9000]
    assert Config().mcp_allowed == ()
    with pytest.raises(ConfigError, match=r"LLM_MCP_ALLOWED.*does not begin with https"):
        load(Config, {"LLM_MCP_ALLOWED": "a.example"}, prefix="llm")
