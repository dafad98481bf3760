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
QUEUED_TURNS = Counter(
    "gateway_queued_turns",
    "Utterances that could not be recognised at once: queued, not_queued, and what became of "
    "those queued: done or failed.",
    ["outcome"],
)
REPLIES = Counter("gateway_replies", "Replies by how they ended.", ["status"])
DEGRADED_REPLIES = Counter(
    "gateway_degraded_replies",
    "Replies that a part of the mesh was missing for: no_llm, no_tts, or worse_voice.",
    ["what"],
)
GUESSES = Counter(
    "gateway_guesses", "Models asked before the user had ended, and whether rightly.", ["result"]
)
EARS_LOST = Counter("gateway_ears_lost", "Times that a session was not heard any more.")
CANCEL = Histogram(
    "gateway_cancel_seconds",
    "From a reply cancelled to its last frame out (silence), and to all let go (idle).",
    ["until"],
    buckets=(0.001, 0.0025, *LATENCY_BUCKETS_S),
)
SLOW_CLIENTS = Counter("gateway_slow_clients", "Clients hung up on because they did not read.")
FACTS_WAITING = Gauge("gateway_facts_waiting", "Facts that Redis has not taken yet.")
FACTS_DROPPED = Counter("gateway_facts_dropped", "Facts lost because Redis was away too long.")
FACTS_SPOOLED_BYTES = Gauge("gateway_facts_spooled_bytes", "Facts on disk, for Redis.")
REDIS_AWAY = Gauge("gateway_redis_away", "1 while Redis takes no facts.")
LIMIT_CHECK = Histogram(
    "gateway_limit_check_seconds",
    "A check of a tenant's limits in Redis.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25),
)
LIMITS_AWAY = Gauge("gateway_limits_away", "1 while limits hold for this process alone.")
LIMITS_ALONE = Counter("gateway_limits_alone", "Checks of limits that Redis took no part in.")
KEPT = Histogram(
    "gateway_kept_seconds",
    "What it took to keep the news of sessions, of as many as there were at a time.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.3, 1),
)
DEGRADED = Gauge("gateway_degraded", "1 while sessions go on without their store.")
RESUMED = Histogram(
    "gateway_resumed_seconds",
    "From a connection accepted to the first event of the session it resumes.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1),
)
RESUMES = Counter("gateway_resumes", "Sessions asked for by id, by how that ended.", ["result"])
SIDEBANDS = Gauge("gateway_sidebands", "Open sidebands.")
NOTICES = Counter("gateway_notices", "What was told to gateway processes, of sidebands.")
NOTICES_DROPPED = Counter("gateway_notices_dropped", "What could not be told to them.")
MOVED = Counter("gateway_moved", "Sessions that another gateway took over.")
WORKERS_KNOWN = Gauge("gateway_workers_known", "Workers of a tier that are known.", ["tier"])
WORKERS_USABLE = Gauge("gateway_workers_usable", "Those of them that can be called now.", ["tier"])
FAILOVER = Histogram(
    "gateway_failover_seconds",
    "From the failure of a stream to the first answer of the one that replaces it.",
    ["tier"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.6, 1, 3, 10),
)
