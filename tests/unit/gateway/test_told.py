from __future__ import annotations

import pytest

from gateway.told import told
from mesh.errors import Broken, Draining, Overloaded, Rejected, TooSlow, Unavailable

ADDRESS = "failed to connect to ipv4:10.0.0.7:50051"


@pytest.mark.parametrize("kind", [Unavailable, Draining, Overloaded, TooSlow, Broken])
def test_a_client_is_told_no_addresses(kind):
    assert "10.0.0.7" not in told(kind(ADDRESS, tier="stt"))


def test_a_client_is_told_what_is_wrong_with_its_request():
    assert told(Rejected("tool_choice names no tool", tier="llm")) == "tool_choice names no tool"


@pytest.mark.parametrize("code", ["insufficient_quota", "rate_limit_exceeded"])
def test_a_client_is_told_what_the_provider_lacks(code):
    sentence = told(Unavailable(ADDRESS, tier="llm", code=code))
    assert "provider" in sentence
    assert ADDRESS not in sentence
