import asyncio
from contextlib import nullcontext

import pytest

from llm_orchestrator import metrics


def counted(outcome):
    return metrics.MCP_REQUESTS.labels("call", outcome)._value.get()


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [(None, "ok"), (ValueError, "failed"), (asyncio.CancelledError, "cancelled")],
)
def test_a_request_is_counted_by_how_it_ended(raised, outcome):
    before = counted(outcome)
    with pytest.raises(raised) if raised else nullcontext(), metrics.mcp_request("call"):
        if raised is not None:
            raise raised
    assert counted(outcome) == before + 1
