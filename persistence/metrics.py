"""All metrics of the persistence tier."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from mesh.metrics import LATENCY_BUCKETS_S

LAG = Histogram(
    "persistence_lag_seconds",
    "From a fact's arrival in its stream to its commit in PostgreSQL.",
    buckets=(*LATENCY_BUCKETS_S, 10.0, 30.0, 60.0, 300.0),
)
FACTS = Counter(
    "persistence_facts",
    "Facts by kind and by what became of them: stored, duplicate, deleted, refused, failed.",
    ["kind", "outcome"],
)
DEAD = Counter(
    "persistence_dead_letters",
    "Facts set aside: undecodable, refused, or delivered too often.",
    ["reason"],
)
WRITE = Histogram(
    "persistence_write_seconds",
    "One batch in PostgreSQL, commit included.",
    buckets=LATENCY_BUCKETS_S,
)
BACKLOG = Gauge(
    "persistence_backlog_facts",
    "Facts in the streams that are not stored yet.",
)
POSTGRES_UP = Gauge(
    "persistence_postgres_up",
    "1 while PostgreSQL can be worked with.",
)
REDIS_UP = Gauge(
    "persistence_redis_up",
    "1 while the streams can be read.",
)
STREAMS_OPEN = Gauge(
    "persistence_streams_open",
    "Append and export streams open now.",
)
