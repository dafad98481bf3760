"""The gateway's metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from mesh.metrics import LATENCY_BUCKETS_S

SESSIONS = Gauge("gateway_sessions", "Open sessions.")
HANDSHAKES = Counter("gateway_handshakes", "WebSocket handshakes by how they ended.", ["result"])
EVENTS = Counter("gateway_events", "Events that crossed the WebSocket.", ["direction"])
MESSAGE = Histogram(
    "gateway_message_seconds",
    "From a client's message read to all its effects done.",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05),
)
TRANSCRIPT = Histogram(
    "gateway_transcript_seconds",
    "From the end of the user's speech to its words.",
    buckets=LATENCY_BUCKETS_S,
)
FIRST_TEXT = Histogram(
    "gateway_first_text_seconds",
    "From the end of the user's speech to the first text of the answer.",
    buckets=LATENCY_BUCKETS_S,
)
FIRST_AUDIO = Histogram(
    "gateway_first_audio_seconds",
    "From the end of the user's speech to our first audio.",
    buckets=LATENCY_BUCKETS_S,
)
REPLIES = Counter("gateway_replies", "Replies by how they ended.", ["status"])
SLOW_CLIENTS = Counter("gateway_slow_clients", "Clients hung up on because they did not read.")
FACTS_WAITING = Gauge("gateway_facts_waiting", "Facts that Redis has not taken yet.")
FACTS_DROPPED = Counter("gateway_facts_dropped", "Facts lost because Redis was away too long.")
