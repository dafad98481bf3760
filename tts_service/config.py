"""All the TTS tier's settings. Names carry their unit; defaults are the ones we run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mesh.redis import Url
from tts_service.engines import ENGINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on."""

    port: int = field(default=50052, metadata={"ge": 0, "le": 65535})
    """gRPC port; 0 takes a free one."""

    metrics_port: int = field(default=9103, metadata={"ge": 0, "le": 65535})
    """Port of /metrics; 0 takes a free one."""

    log_level: str = field(
        default="INFO", metadata={"among": ("DEBUG", "INFO", "WARNING", "ERROR")}
    )
    """Least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""

    drain_s: float = field(default=30.0, metadata={"ge": 0})
    """How long open streams may run on after SIGTERM."""

    redis_url: Url | None = field(
        default=None, repr=False, metadata={"env": "REDIS_URL", "secret": True}
    )
    """Redis where gateways look for workers; empty: they know this one by its address."""

    advertised_address: str = ""
    """Where gateways reach this worker, as `host:port`; empty: where it listens or, if that is
    everywhere, the address from which it reaches Redis."""

    engines: tuple[str, ...] = field(
        default=("kokoro", "piper", "espeak"), metadata={"among": tuple(ENGINES)}
    )
    """Engines to load, best first; one whose files are missing does not take part."""

    models_dir: Path = field(default=Path(".local/models"), metadata={"env": "MODELS_DIR"})
    """Where `voicemesh models pull` puts weights."""

    piper_voice: str = "en_US-lessac-medium"
    """Which voice of `piper/` to load."""

    threads: int = field(default=1, metadata={"ge": 1, "le": 64})
    """Segments synthesized at a time; more than one helps only with a GPU."""

    max_waiting: int = field(default=100, metadata={"ge": 1})
    """Segments that may wait for a thread before the next is refused, which breaks its reply
    off: not less than `TTS_MAX_STREAMS`."""

    max_streams: int = field(default=100, metadata={"ge": 1})
    """Replies spoken at a time before the next is refused."""

    openers_mb: float = field(default=16.0, metadata={"ge": 0})
    """Memory for short first pieces of replies that were spoken lately; 0 keeps none."""
