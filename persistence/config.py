"""All settings of the persistence tier."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.redis import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    database_url: str = field(repr=False, metadata={"env": "DATABASE_URL", "secret": True})
    """PostgreSQL 15 or later, as a role that owns its schema, e.g. `postgresql://user:password@host/name`."""

    redis_url: Url = field(repr=False, metadata={"env": "REDIS_URL", "secret": True})
    """Redis 6.2 or later, where the facts come from, e.g. `redis://:password@host:6379/0`."""

    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on."""

    port: int = field(default=50054, metadata={"ge": 0, "le": 65535})
    """gRPC port; 0 takes a free one."""

    metrics_port: int = field(default=9105, metadata={"ge": 0, "le": 65535})
    """Port of /metrics; 0 takes a free one."""

    log_level: str = field(
        default="INFO", metadata={"among": ("DEBUG", "INFO", "WARNING", "ERROR")}
    )
    """Least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""

    drain_s: float = field(default=30.0, metadata={"ge": 0})
    """How long open streams may run on after SIGTERM."""

    max_rpcs: int = field(default=256, metadata={"ge": 1})
    """Calls at a time; the next are refused at once."""

    database_connections: int = field(default=8, metadata={"ge": 2})
    """Most connections to PostgreSQL; one is the consumer's while it writes."""

    statement_s: float = field(default=10.0, metadata={"ge": 0.1})
    """How long one statement may take in PostgreSQL."""

    batch_records: int = field(default=500, metadata={"ge": 1, "le": 5000})
    """Facts written in one transaction at most."""

    batch_wait_ms: int = field(default=50, metadata={"ge": 1, "le": 1000})
    """How long a batch waits to fill after its first fact."""

    claim_idle_s: float = field(default=5.0, metadata={"ge": 0.1})
    """After how long without acknowledgement another consumer takes a fact over."""

    claim_every_s: float = field(default=2.0, metadata={"ge": 0.1})
    """How often to look for such facts."""

    max_deliveries: int = field(default=5, metadata={"ge": 1})
    """After how many deliveries a fact that is never acknowledged is set aside."""

    unhealthy_s: float = field(default=10.0, metadata={"ge": 0})
    """How long PostgreSQL may be away before health says NOT_SERVING."""
