"""All the gateway's settings. Names carry their unit; defaults are the ones we run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    host: str = "127.0.0.1"
    """Address that clients and metrics connect to."""

    port: int = field(default=8080, metadata={"env": "PORT", "ge": 0, "le": 65535})
    """Port for clients, HTTP and WebSocket. 0 takes a free one."""

    metrics_port: int = field(default=9101, metadata={"ge": 0, "le": 65535})
    """Port of /metrics; 0 takes a free one. The same is also served on `port`."""

    log_level: str = field(
        default="INFO", metadata={"among": ("DEBUG", "INFO", "WARNING", "ERROR")}
    )
    """Least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""

    stt_target: str = "127.0.0.1:50051"
    """gRPC target of speech recognition, e.g. `dns:///stt:50051`."""

    tts_target: str = "127.0.0.1:50052"
    """gRPC target of speech synthesis."""

    llm_target: str = "127.0.0.1:50053"
    """gRPC target of the language tier."""

    redis_url: str = field(
        default="redis://127.0.0.1:6379/0", metadata={"env": "REDIS_URL", "secret": True}
    )
    """Redis that takes the facts."""

    keys_file: Path = Path(".local/keys.json")
    """API keys, as `voicemesh keys` writes them."""

    models: tuple[str, ...] = ("gpt-realtime*",)
    """Names (with * and ?) that clients may ask for; each is served by the default chain."""

    instructions: str = "You are a helpful assistant. Answer briefly: you are being spoken to."
    """What a session's instructions are before the client sets its own."""

    voice: str = "alloy"
    """A session's voice before the client sets its own."""

    max_sessions: int = field(default=3000, metadata={"ge": 1})
    """Open sessions of this process; the next get 503."""

    session_s: float = field(default=3600.0, metadata={"ge": 1})
    """How long a session lasts, as `expires_at` tells it."""

    lead_ms: float = field(default=400.0, metadata={"ge": 20, "le": 10_000})
    """How far ahead of real time audio is sent: what a barge-in can regret."""

    stt_patience_s: float = field(default=3.0, metadata={"ge": 0})
    """How long a session waits for recognition to come back before it says so."""

    stt_words_s: float = field(default=20.0, metadata={"ge": 1})
    """How long the words of an utterance may take before it is given up."""

    stt_idle_s: float = field(default=60.0, metadata={"ge": 1})
    """After so long without audio a session gives its recognition stream back."""

    llm_timeout_s: float = field(default=30.0, metadata={"ge": 1})
    """How long the language tier may take for one reply, all in all."""

    drain_s: float = field(default=5.0, metadata={"ge": 0})
    """How long open connections may take to close after SIGTERM."""
