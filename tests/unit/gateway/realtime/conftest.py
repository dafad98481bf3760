"""Sessions of the Realtime core."""

from __future__ import annotations

import pytest

from gateway.realtime.settings import Settings
from tests.script import Script


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def text_only() -> Script:
    return Script(Settings(output_modalities=("text",)))
