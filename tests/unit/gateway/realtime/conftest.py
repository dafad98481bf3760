"""Sessions of the Realtime core."""

from __future__ import annotations

import pytest
from hypothesis import settings

from gateway.realtime.settings import Settings
from tests.script import Script

settings.register_profile("long", max_examples=50_000)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def text_only() -> Script:
    return Script(Settings(output_modalities=("text",)))
