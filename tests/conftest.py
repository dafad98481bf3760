"""Fixtures that more than one folder uses."""

pytest_plugins = ["tests.servers", "tests.stack", "tests.redis_fleet"]
