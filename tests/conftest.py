"""Fixtures that more than one folder uses."""

pytest_plugins = ["tests.servers", "tests.stack"]
