"""All metrics of the LLM tier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from mesh.metrics import LATENCY_BUCKETS_S

FIRST_TOKEN = Histogram(
    "llm_first_token_seconds",
    "From asking a provider to its first token.",
    ["provider"],
    buckets=LATENCY_BUCKETS_S,
)
HANDOVERS = Counter(
    "llm_handovers",
    "Responses that moved from one provider to another, before their first token (start) or in"
    " the middle of what they say.",
    ["failed", "serving", "moment"],
)
FAILURES = Counter(
    "llm_provider_failures",
    "Attempts a provider failed, by the kind of failure.",
    ["provider", "reason"],
)
RESPONSES = Counter(
    "llm_responses",
    "Responses by the provider that wrote them and how they ended.",
    ["provider", "finish"],
)
TOKENS = Counter(
    "llm_tokens",
    "Tokens as providers count them; the offline responder counts words.",
    ["provider", "direction"],
)
STREAMS_OPEN = Gauge("llm_streams_open", "Responses being written.")
AVAILABLE = Gauge(
    "llm_provider_available",
    "1 while a provider is there and its breaker is closed.",
    ["provider"],
)
TOOL_CALLS = Counter(
    "llm_tool_calls",
    "Calls of server-side tools by how they ended: ok, failed, timeout, refused, cancelled.",
    ["tool", "outcome"],
)
TOOL_SECONDS = Histogram(
    "llm_tool_seconds",
    "From a call of a server-side tool to its result.",
    ["tool"],
    buckets=LATENCY_BUCKETS_S,
)
MCP_REQUESTS = Counter(
    "llm_mcp_requests",
    "Requests to MCP servers by what was asked (list, call) and whether it went well.",
    ["request", "outcome"],
)
MCP_OPEN = Gauge("llm_mcp_requests_open", "Requests to MCP servers that wait for an answer.")


@contextmanager
def mcp_request(request: str) -> Iterator[None]:
    """Count a request to an MCP server: ok, failed, or cancelled by its caller."""
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except Exception:
        outcome = "failed"
        raise
    finally:
        MCP_REQUESTS.labels(request, outcome).inc()
