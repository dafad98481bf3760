import pytest

from mesh.config import ConfigError
from voicemesh import plan
from voicemesh.up_options import Counts


def test_without_settings_the_ports_are_the_documented_ones(tmp_path):
    wanted = {place.variable: place.port for place in plan.make(tmp_path, {}).ports()}
    assert wanted == {
        "PORT": 8080, "GATEWAY_METRICS_PORT": 9101, "GATEWAY_TLS_PORT": 8443,
        "STT_PORT": 50051, "STT_METRICS_PORT": 9102,
        "TTS_PORT": 50052, "TTS_METRICS_PORT": 9103,
        "LLM_PORT": 50053, "LLM_METRICS_PORT": 9104,
        "PERSISTENCE_PORT": 50054, "PERSISTENCE_METRICS_PORT": 9105,
    }  # fmt: skip


def test_settings_move_ports_and_targets(tmp_path):
    env = {"PORT": "1111", "STT_PORT": "2222", "REDIS_PORT": "3333", "OTHER": "kept"}
    decided = plan.make(tmp_path, env)
    made = decided.tier_env("persistence", "postgresql://", "redis://")
    assert made["PORT"] == "1111"
    assert made["GATEWAY_STT_TARGET"] == "127.0.0.1:2222"
    assert made["OTHER"] == "kept"
    assert made["DATABASE_URL"] == "postgresql://"
    assert made["MODELS_DIR"] == str(tmp_path / "models")
    assert 3333 in {place.port for place in decided.ports()}


def test_a_tier_gets_the_secrets_it_needs_and_no_others(tmp_path):
    keys = {"OPENAI_API_KEY": "a", "GROQ_API_KEY": "b", "LLM_OTHER_API_KEY": "c"}
    decided = plan.make(tmp_path, {**keys, "PATH": "/bin", "DATABASE_URL": "of the shell"})
    secrets = {*keys, "DATABASE_URL", "REDIS_URL"}
    found = {}
    for name in decided.tiers:
        env = decided.tier_env(name, "postgresql://", "redis://")
        assert env["PATH"] == "/bin"
        found[name] = secrets & set(env)
    assert found == {
        "persistence": {"DATABASE_URL", "REDIS_URL"},
        "gateway": {"REDIS_URL"},
        "llm": {*keys, "REDIS_URL"},
        "stt": {"REDIS_URL"},
        "tts": {"REDIS_URL"},
    }


def test_the_port_of_a_server_of_others_is_not_ours_to_check(tmp_path):
    env = {"REDIS_PORT": "3333", "REDIS_URL": "redis://elsewhere"}
    assert 3333 not in {place.port for place in plan.make(tmp_path, env).ports()}


def test_a_gateway_open_to_all_is_called_on_loopback(tmp_path):
    decided = plan.make(tmp_path, {"GATEWAY_HOST": "0.0.0.0"})
    assert decided.gateway.target == "127.0.0.1:8080"
    assert decided.tier_env("gateway", "", "")["GATEWAY_HOST"] == "0.0.0.0"


def test_a_certificate_is_made_unless_there_is_one_or_nobody_needs_it(tmp_path):
    decided = plan.make(tmp_path, {})
    assert decided.own_tls.folder == tmp_path / "tls"
    assert decided.https_url == "https://127.0.0.1:8443"
    assert decided.tier_env("gateway", "", "")["GATEWAY_TLS_KEY_FILE"] == str(decided.own_tls.key)

    given = plan.make(tmp_path, {"GATEWAY_TLS_CERT_FILE": "mine", "GATEWAY_TLS_PORT": "444"})
    assert given.own_tls is None
    assert given.https_url == "https://127.0.0.1:444"
    env = given.tier_env("gateway", "", "")
    assert env["GATEWAY_TLS_CERT_FILE"] == "mine"
    assert "GATEWAY_TLS_KEY_FILE" not in env


def test_an_empty_tls_port_is_none(tmp_path):
    decided = plan.make(tmp_path, {"GATEWAY_TLS_PORT": ""})
    assert decided.own_tls is None
    assert decided.https_url is None
    assert "GATEWAY_TLS_PORT" not in {place.variable for place in decided.ports()}
    assert decided.tier_env("gateway", "", "")["GATEWAY_TLS_PORT"] == ""


def test_all_wrong_settings_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as wrong:
        plan.make(tmp_path, {"PORT": "x", "STT_PORT": "70000", "GATEWAY_TLS_PORT": "0"})
    said = str(wrong.value)
    assert all(name in said for name in ("PORT", "STT_PORT", "GATEWAY_TLS_PORT"))


def test_ports_can_come_from_the_settings_file(tmp_path):
    file = tmp_path / "mesh.toml"
    file.write_text("port = 1111\n[stt]\nport = 2222\n[gateway]\ntls_port = 3333\n")
    decided = plan.make(tmp_path, {"VOICEMESH_CONFIG": str(file)})
    assert decided.gateway.port == 1111
    assert decided.tiers["stt"].port == 2222
    assert decided.tls.tls_port == 3333


def test_one_gateway_is_one_process_unless_somebody_wants_more(tmp_path):
    decided = plan.make(tmp_path, {})
    assert decided.gateways == [decided.gateway]
    assert decided.gateway_env(decided.gateway, "", "")["GATEWAY_PROCESSES"] == "1"
    wished = plan.make(tmp_path, {"GATEWAY_PROCESSES": "4"})
    assert wished.gateway_env(wished.gateway, "", "")["GATEWAY_PROCESSES"] == "4"


def test_several_gateways_share_no_port_and_no_folder(tmp_path):
    env = {"GATEWAY_SPOOL_DIR": "spool", "GATEWAY_PROCESSES": "4"}
    decided = plan.make(tmp_path, env, Counts(gateways=3))
    envs = [decided.gateway_env(one, "", "redis://") for one in decided.gateways]
    for variable in ("PORT", "GATEWAY_METRICS_PORT", "GATEWAY_SPOOL_DIR"):
        assert len({env[variable] for env in envs}) == 3
    assert envs[0]["PORT"] == "8080"
    assert {env["GATEWAY_PROCESSES"] for env in envs} == {"1"}
    assert {env["REDIS_URL"] for env in envs} == {"redis://"}
    assert [env["GATEWAY_TLS_PORT"] for env in envs] == ["8443", "", ""]


def test_haproxy_has_the_ports_that_clients_know(tmp_path):
    decided = plan.make(tmp_path, {}, Counts(gateways=2, haproxy=True))
    assert decided.gateway.port == 8080
    assert decided.stats_url == "http://127.0.0.1:8404"
    assert 8404 in {place.port for place in decided.ports()}
    envs = [decided.gateway_env(one, "", "") for one in decided.gateways]
    assert "8080" not in {env["PORT"] for env in envs}
    assert {env["GATEWAY_TLS_PORT"] for env in envs} == {""}
    assert {env["GATEWAY_HOST"] for env in envs} == {"127.0.0.1"}
    assert plan.make(tmp_path, {}).stats_url is None


def test_several_workers_have_ports_of_their_own_and_the_first_those_of_the_tier(tmp_path):
    env = {"STT_PORT": "2222", "STT_HOST": "0.0.0.0"}
    decided = plan.make(tmp_path, env, Counts(stt=3, llm=2))
    assert [worker.name for worker in decided.workers["stt"]] == ["stt-1", "stt-2", "stt-3"]
    assert [worker.name for worker in decided.workers["tts"]] == ["tts"]
    envs = [decided.worker_env("stt", w, "", "redis://r") for w in decided.workers["stt"]]
    assert (envs[0]["STT_PORT"], envs[0]["STT_METRICS_PORT"]) == ("2222", "9102")
    assert {one["STT_HOST"] for one in envs} == {"0.0.0.0"}
    assert {one["REDIS_URL"] for one in envs} == {"redis://r"}
    all_ = [worker for several in decided.workers.values() for worker in several]
    assert len({port for one in all_ for port in (one.port, one.metrics_port)}) == 2 * len(all_)
    gateway = decided.tier_env("gateway", "", "redis://r")
    assert gateway["GATEWAY_STT_TARGET"] == "127.0.0.1:2222"  # the others are listed in Redis
