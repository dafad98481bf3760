"""All the STT tier's settings. Names carry their unit; defaults are the ones we run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mesh.redis import Url
from stt_service.engines import ENGINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on."""

    port: int = field(default=50051, metadata={"ge": 0, "le": 65535})
    """gRPC port; 0 takes a free one."""

    metrics_port: int = field(default=9102, metadata={"ge": 0, "le": 65535})
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
    """Redis where gateways look for workers, and where turns wait that cannot be recognised now;
    empty: gateways know this worker by its address, and such turns are lost."""

    advertised_address: str = ""
    """Where gateways reach this worker, as `host:port`; empty: where it listens or, if that is
    everywhere, the address from which it reaches Redis."""

    engines: tuple[str, ...] = field(
        default=("faster_whisper", "pocketsphinx"), metadata={"among": tuple(ENGINES)}
    )
    """Engines to load, best first; one whose weights are missing does not take part."""

    models_dir: Path = field(default=Path(".local/models"), metadata={"env": "MODELS_DIR"})
    """Where `voicemesh models pull` puts weights."""

    whisper_model: str = "base.en"
    """Which folder of `whisper/` to load."""

    whisper_parallel: int = field(default=1, metadata={"ge": 1, "le": 64})
    """Calls of the Whisper model at a time; more than one is for many cores or several GPUs."""

    whisper_batch: int = field(default=0, metadata={"ge": 0, "le": 64})
    """Utterances in one call of the Whisper model; 0 means 10 on a GPU and one for 4 cores."""

    whisper_batch_ms: int = field(default=5, metadata={"ge": 0, "le": 100})
    """How long a call of the Whisper model is held back for other utterances to join."""

    pocketsphinx_decoders: int = field(default=8, metadata={"ge": 1, "le": 256})
    """Utterances PocketSphinx hears at a time, 90 MB each; made when they are needed."""

    max_streams: int = field(default=100, metadata={"ge": 1})
    """Live streams at a time before the next is refused."""

    turns_at_a_time: int = field(default=1, metadata={"ge": 0, "le": 64})
    """Turns of the queue that are recognised side by side, when nobody on the line waits. 0
    leaves them to others."""

    threshold: float = field(default=0.5, metadata={"ge": 0.05, "le": 0.95})
    """Speech probability above which speech starts, unless the client says otherwise."""

    prefix_ms: int = field(default=300, metadata={"ge": 0, "le": 5000})
    """Audio kept from before the detected start, unless the client says otherwise."""

    silence_ms: int = field(default=200, metadata={"ge": 32, "le": 10_000})
    """Silence that ends an utterance, unless the client says otherwise."""

    max_utterance_ms: int = field(default=60_000, metadata={"ge": 1000, "le": 300_000})
    """Length at which an utterance ends without silence, unless the client says otherwise."""
