import pytest

from mesh.config import ConfigError
from voicemesh import plan


def test_without_settings_the_ports_are_the_documented_ones(tmp_path):
    wanted = {place.variable: place.port for place in plan.make(tmp_path, {}).ports()}
    assert wanted == {
        "PORT": 8080, "GATEWAY_METRICS_PORT": 9101,
        "STT_PORT": 50051, "STT_METRICS_PORT": 9102,
        "TTS_PORT": 50052, "TTS_METRICS_PORT": 9103,
        "LLM_PORT": 50053, "LLM_METRICS_PORT": 9104,
        "PERSISTENCE_PORT": 50054, "PERSISTENCE_METRICS_PORT": 9105,
    }  # fmt: skip


def test_settings_move_ports_and_targets(tmp_path):
    env = {"PORT": "1111", "STT_PORT": "2222", "REDIS_PORT": "3333", "OTHER": "kept"}
    decided = plan.make(tmp_path, env)
    made = decided.tier_env("postgresql://", "redis://")
    assert made["PORT"] == "1111"
    assert made["GATEWAY_STT_TARGET"] == "127.0.0.1:2222"
    assert made["OTHER"] == "kept"
    assert made["DATABASE_URL"] == "postgresql://"
    assert made["MODELS_DIR"] == str(tmp_path / "models")
    assert 3333 in {place.port for place in decided.ports()}


def test_the_port_of_a_server_of_others_is_not_ours_to_check(tmp_path):
    env = {"REDIS_PORT": "3333", "REDIS_URL": "redis://elsewhere"}
    assert 3333 not in {place.port for place in plan.make(tmp_path, env).ports()}


def test_a_gateway_open_to_all_is_called_on_loopback(tmp_path):
    decided = plan.make(tmp_path, {"GATEWAY_HOST": "0.0.0.0"})
    assert decided.gateway.target == "127.0.0.1:8080"
    assert decided.tier_env("", "")["GATEWAY_HOST"] == "0.0.0.0"


def test_all_wrong_settings_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as wrong:
        plan.make(tmp_path, {"PORT": "x", "STT_PORT": "70000", "TTS_METRICS_PORT": "0"})
    said = str(wrong.value)
    assert all(name in said for name in ("PORT", "STT_PORT", "TTS_METRICS_PORT"))


def test_ports_can_come_from_the_settings_file(tmp_path):
    file = tmp_path / "mesh.toml"
    file.write_text("port = 1111\n[stt]\nport = 2222\n")
    decided = plan.make(tmp_path, {"VOICEMESH_CONFIG": str(file)})
    assert decided.gateway.port == 1111
    assert decided.tiers["stt"].port == 2222
