import pytest

from mesh import config
from mesh.config import ConfigError
from persistence.config import Config

URLS = {"DATABASE_URL": "postgresql://u:hush@h/d", "REDIS_URL": "redis://:hush@h:6379/0"}


def test_both_servers_must_be_named():
    with pytest.raises(ConfigError) as refused:
        config.load(Config, {}, prefix="persistence")
    assert refused.value.mistakes == ["DATABASE_URL is not set", "REDIS_URL is not set"]


def test_defaults_are_enough_for_the_rest():
    loaded = config.load(Config, URLS, prefix="persistence")
    assert (loaded.port, loaded.metrics_port, loaded.batch_records) == (50054, 9105, 500)


def test_a_log_level_that_does_not_exist_is_a_mistake():
    with pytest.raises(ConfigError, match="PERSISTENCE_LOG_LEVEL='verbose': must be among"):
        config.load(Config, URLS | {"PERSISTENCE_LOG_LEVEL": "verbose"}, prefix="persistence")


def test_passwords_are_not_shown():
    assert "hush" not in repr(config.load(Config, URLS, prefix="persistence"))
