"""All the gateway's settings. Names carry their unit; defaults are the ones we run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mesh.redis import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    host: str = "127.0.0.1"
    """Address that clients and metrics connect to."""

    port: int = field(default=8080, metadata={"env": "PORT", "ge": 0, "le": 65535})
    """Port for clients, HTTP and WebSocket. 0 takes a free one."""

    tls_port: int | None = field(default=None, metadata={"ge": 0, "le": 65535})
    """Port for clients over TLS, beside `port`: `https`, `wss`. Empty is none, 0 a free one."""

    tls_cert_file: Path | None = None
    """Certificate for `tls_port` and its chain, PEM. `voicemesh up` makes one."""

    tls_key_file: Path | None = None
    """Private key of that certificate, PEM, without a password."""

    metrics_port: int = field(default=9101, metadata={"ge": 0, "le": 65535})
    """Port of /metrics; 0 takes a free one. The same is also served on `port`."""

    log_level: str = field(
        default="INFO", metadata={"among": ("DEBUG", "INFO", "WARNING", "ERROR")}
    )
    """Least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""

    stt_target: tuple[str, ...] = ("127.0.0.1:50051",)
    """gRPC targets of speech recognition, e.g. `dns:///stt:50051`. Workers that are listed in
    Redis are found without them."""

    tts_target: tuple[str, ...] = ("127.0.0.1:50052",)
    """gRPC targets of speech synthesis."""

    llm_target: tuple[str, ...] = ("127.0.0.1:50053",)
    """gRPC targets of the language tier."""

    redis_url: Url = field(
        default=Url("redis://127.0.0.1:6379/0"), metadata={"env": "REDIS_URL", "secret": True}
    )
    """Redis that keeps sessions, limits and facts: `redis://host:port/0`, `rediss://…` over TLS,
    `redis+sentinel://host:26379,host:26379/name/0` or `redis+cluster://host:port,host:port`."""

    keys_file: Path = Path(".local/keys.json")
    """API keys, as `voicemesh keys` writes them."""

    models: tuple[str, ...] = (
        "gpt-realtime*",
        "gpt-4o-realtime*",
        "gpt-4o-mini-realtime*",
        "gpt-audio*",
    )
    """Names (with * and ?) that clients may ask for; each is served by the default chain."""

    models_file: Path | None = None
    """TOML file of names with engines, language models and voices of their own; see
    `gateway/models.py`. Empty is none."""

    prompts_file: Path | None = None
    """TOML file of stored prompts that clients name by id; see `gateway/prompts.py`. Empty is
    none."""

    strict_ga: bool = field(default=False, metadata={"env": "STRICT_GA"})
    """Refuse the beta dialect and what else OpenAI's own service no longer takes."""

    cors_origins: tuple[str, ...] = ("*",)
    """Origins whose pages may use the REST API, as `https://app.example`; `*` is all. Safe
    because the page itself must send a key: no cookie says who asks."""

    requests_per_minute: int = field(default=100, metadata={"ge": 0})
    """Requests of a tenant in a minute: connections, responses it asks for, REST calls. 0 is no
    limit. Responses that speech starts are counted and not refused."""

    tokens_per_minute: int = field(default=100_000, metadata={"ge": 0})
    """Tokens a tenant may spend in a minute; 0 is no limit."""

    limits_file: Path | None = None
    """TOML file of limits of single tenants, read again when it changes; see
    `gateway/limits_file.py`. Empty is none."""

    spool_dir: Path | None = None
    """Folder for facts while Redis is away. Processes may share it: each takes a folder of its
    own in it. Empty keeps them in memory."""

    spool_mb: int = field(default=256, metadata={"ge": 1})
    """Most megabytes of facts of a process on disk; the oldest are dropped beyond it."""

    instructions: str = "You are a helpful assistant. Answer briefly: you are being spoken to."
    """What a session's instructions are before the client sets its own."""

    voice: str = "alloy"
    """A session's voice before the client sets its own."""

    processes: int = field(default=0, metadata={"ge": 0, "le": 256})
    """Processes of this instance, each with ports of its own: PORT, PORT + 1, … and so on for the
    other ports. 0 is one for each core."""

    max_sessions: int = field(default=16_000, metadata={"ge": 1})
    """Open sessions of one process; the next get 503. Each needs a file descriptor."""

    connects_per_s: float = field(default=100.0, metadata={"ge": 0})
    """New connections a second of the instance, shared evenly among its processes; the next get
    503. As many may come at once. 0 is no limit."""

    idle_ping_s: float = field(default=300.0, metadata={"ge": 1})
    """A client that has said nothing for so long is pinged, and hung up on if it does not answer
    within half of it."""

    resume_s: float = field(default=30.0, metadata={"ge": 1})
    """How long a session can be resumed after its connection broke."""

    trusted_proxies: tuple[str, ...] = ("127.0.0.1/32", "::1/128")
    """Networks of balancers: whose `X-New-Session-Id` is the id of a new session."""

    session_s: float = field(default=3600.0, metadata={"ge": 1})
    """How long a session lasts, as `expires_at` tells it."""

    lead_ms: float = field(default=400.0, metadata={"ge": 20, "le": 10_000})
    """How far ahead of real time audio is sent: what a barge-in can regret."""

    kept_audio_s: float = field(default=60.0, metadata={"ge": 0, "le": 3600})
    """Audio of a session that is kept for `conversation.item.retrieve`, newest first; 48 KB a
    second."""

    check_events: bool = False
    """Check every event that is sent against the published schema, and end a session that sends
    a wrong one. For tests: it costs more than all else."""

    stt_patience_s: float = field(default=3.0, metadata={"ge": 0})
    """How long a session waits for recognition to come back before it says so."""

    stt_queued_s: float = field(default=120.0, metadata={"ge": 0, "le": 3600})
    """How long an utterance that cannot be recognised now may wait until it can; its words, and
    the answer, come then. 0 gives it up at once."""

    stt_words_s: float = field(default=20.0, metadata={"ge": 1})
    """How long the words of an utterance may take before it is given up."""

    stt_idle_s: float = field(default=60.0, metadata={"ge": 1})
    """After so long without audio a session gives its recognition stream back."""

    tts_patience_s: float = field(default=3.0, metadata={"ge": 0})
    """How long a reply waits for synthesis to come back before it fails."""

    llm_patience_s: float = field(default=3.0, metadata={"ge": 0})
    """How long a reply waits for the language tier to come back when no process of it is there."""

    llm_timeout_s: float = field(default=30.0, metadata={"ge": 1})
    """How long the language tier may take for one reply, all in all."""

    apology: str = "Sorry, I cannot think right now. Please try again in a moment."
    """What is spoken instead of an answer when no language model can be had. Empty is nothing."""

    speculative: bool = False
    """Ask the language model before the user has ended, once the words seem to be all there, and
    use its answer if they were. Audio comes sooner; wrong guesses cost the provider's tokens."""

    drain_s: float = field(default=30.0, metadata={"ge": 0})
    """How long replies may go on after SIGTERM; then they go on at another gateway."""
