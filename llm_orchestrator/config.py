"""All settings of the LLM tier. Variables are LLM_* unless a field names its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_orchestrator.engines import ENGINES
from llm_orchestrator.mcp_policy import AllowedServer
from mesh.redis import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on."""

    port: int = field(default=50053, metadata={"ge": 0, "le": 65535})
    """gRPC port; 0 takes a free one."""

    metrics_port: int = field(default=9104, metadata={"ge": 0, "le": 65535})
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

    max_streams: int = field(default=500, metadata={"ge": 1})
    """Responses written at a time; the next are refused so that they go elsewhere."""

    providers: tuple[str, ...] = field(
        default=("openai", "groq", "ollama", "offline"), metadata={"among": tuple(ENGINES)}
    )
    """Providers in order of preference; each takes part if its key or server is there."""

    first_token_timeout_s: float = field(default=3.0, metadata={"ge": 0.05})
    """How long a provider may take to its first token before the next one is tried."""

    between_tokens_timeout_s: float = field(default=2.5, metadata={"ge": 0.05})
    """How long a provider may pause inside an answer before the next one goes on with it."""

    failover_timeout_s: float = field(default=4.8, metadata={"ge": 0.1})
    """How long a caller waits for the next word, over all providers that are asked for it."""

    overall_timeout_s: float = field(default=30.0, metadata={"ge": 0.1})
    """How long one answer may take in all, over every provider tried."""

    probe_every_s: float = field(default=10.0, metadata={"ge": 0.1})
    """Pause between looks for an Ollama server that comes or goes."""

    style_hint: str = ""
    """Text put before the instructions of every request, e.g. to ask for spoken style."""

    openai_api_key: str = field(
        default="", metadata={"env": "OPENAI_API_KEY", "secret": True}, repr=False
    )
    """Key for OpenAI, or for the server at the base URL."""

    openai_base_url: str = ""
    """An OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1, which may need no key."""

    openai_sdk_base_url: str = field(default="", metadata={"env": "OPENAI_BASE_URL"})
    """The same, as the OpenAI package names it; LLM_OPENAI_BASE_URL wins."""

    openai_model: str = ""
    """Model to ask OpenAI for; empty takes gpt-4.1-mini, or a compatible server's first."""

    openai_context_tokens: int = field(default=128_000, metadata={"ge": 256})
    """Tokens that this model reads and writes at most; longer conversations are truncated."""

    openai_sees: bool = True
    """Whether this model is given pictures; where it refuses them, it is asked again without."""

    groq_api_key: str = field(
        default="", metadata={"env": "GROQ_API_KEY", "secret": True}, repr=False
    )
    """Key for Groq."""

    groq_base_url: str = field(default="https://api.groq.com", metadata={"env": "GROQ_BASE_URL"})
    """Where Groq answers; its package adds /openai/v1."""

    groq_model: str = "llama-3.3-70b-versatile"
    """Model to ask Groq for."""

    groq_context_tokens: int = field(default=128_000, metadata={"ge": 256})
    """Tokens that this model reads and writes at most."""

    groq_sees: bool = False
    """Whether this model is given pictures."""

    ollama_host: str = field(default="http://127.0.0.1:11434", metadata={"env": "OLLAMA_HOST"})
    """Where an Ollama server may listen."""

    ollama_model: str = ""
    """Model to ask Ollama for; empty takes the first one installed."""

    ollama_context_tokens: int = field(default=8192, metadata={"ge": 256})
    """Tokens that an Ollama model reads and writes at most; more of them need more memory."""

    tools: tuple[str, ...] = ()
    """Server-side tools that models may call, of those that installed packages bring."""

    tool_timeout_s: float = field(default=10.0, metadata={"ge": 0.05})
    """How long one call of a server-side tool may take."""

    tool_max_rounds: int = field(default=5, metadata={"ge": 1})
    """How often a model may see results of server-side tools and call again, in one response."""

    tool_max_output_bytes: int = field(default=16384, metadata={"ge": 64})
    """Of a server-side tool's result; what is longer is cut."""

    tool_max_threads: int = field(default=32, metadata={"ge": 1})
    """Server-side tools that are not async which run at a time; the next wait."""

    mcp_allowed: tuple[AllowedServer, ...] = ()
    """URLs of the MCP servers that clients may use, with what is below; https://*.a.com works."""

    mcp_max_calls: int = field(default=64, metadata={"ge": 1})
    """Requests to MCP servers at a time; the next are refused."""
