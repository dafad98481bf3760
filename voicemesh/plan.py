"""What `voicemesh up` runs: the tiers, their ports, their environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mesh import config
from mesh.redis import Url
from voicemesh.ports import LOOPBACK, Wanted, several
from voicemesh.tiers import Tier, fleet
from voicemesh.up_options import ONE_OF_EACH, WORKERS, Counts

T = TypeVar("T")

_DRAIN_S = 3.0  # somebody waits at the terminal; a second Ctrl-C does not even wait for this


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of `voicemesh up`. Those of the tiers pass through to them."""

    port: int = field(default=8080, metadata={"env": "PORT", "ge": 1, "le": 65535})
    """Where the gateway listens for clients."""
    database_url: str | None = field(default=None, metadata={"env": "DATABASE_URL", "secret": True})
    """A PostgreSQL to use instead of the embedded one."""
    redis_url: Url | None = field(default=None, metadata={"env": "REDIS_URL", "secret": True})
    """A Redis to use instead of the embedded one."""
    postgres_port: int = field(default=0, metadata={"env": "POSTGRES_PORT", "ge": 0, "le": 65535})
    """Port of the embedded PostgreSQL; 0 takes a free one."""
    redis_port: int = field(default=0, metadata={"env": "REDIS_PORT", "ge": 0, "le": 65535})
    """Port of the embedded Redis; 0 takes a free one."""
    keys_file: Path | None = field(default=None, metadata={"env": "GATEWAY_KEYS_FILE"})
    """Who is let in; the default is `keys.json` in the data folder."""
    models_dir: Path | None = field(default=None, metadata={"env": "MODELS_DIR"})
    """Where weights are; the default is `models` in the data folder."""
    haproxy_stats_port: int = field(
        default=8404, metadata={"env": "HAPROXY_STATS_PORT", "ge": 1, "le": 65535}
    )
    """Where HAProxy tells operators what it does, if it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _TierSettings:
    """What `up` must know of a tier's settings; the tier reads them all itself."""

    host: str = LOOPBACK
    port: int | None = field(default=None, metadata={"ge": 1, "le": 65535})
    metrics_port: int | None = field(default=None, metadata={"ge": 1, "le": 65535})
    drain_s: float = field(default=_DRAIN_S, metadata={"ge": 0})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What `up` must know of the gateway's settings besides those."""

    tls_port: int | None = field(default=8443, metadata={"ge": 1, "le": 65535})
    """Where it listens for clients over TLS; empty: nowhere."""
    tls_cert_file: Path | None = None
    """A certificate to use instead of one made here."""
    tls_key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate made here is, in PEM."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate: what clients are told to trust."""
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca-key.pem"

    @property
    def cert(self) -> Path:
        """The server's certificate."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server-key.pem"


# name, module, port, metrics port; in the order in which they start.
_TIERS = (
    ("persistence", "persistence", 50054, 9105),
    ("stt", "stt_service", 50051, 9102),
    ("tts", "tts_service", 50052, 9103),
    ("llm", "llm_orchestrator", 50053, 9104),
    ("gateway", "gateway", 8080, 9101),
)

_WHOSE = {
    "DATABASE_URL": {"persistence"},
    "REDIS_URL": {"persistence", "gateway", *WORKERS},
}
_WHOSE_API_KEYS = {"llm"}


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided before anything starts."""

    data_dir: Path
    settings: Settings
    tls: Tls
    tiers: Mapping[str, Tier]
    env: Mapping[str, str]
    """What the tiers inherit."""
    gateways: Sequence[Tier]
    """The gateway's processes: one, which is the tier itself, or several of their own."""
    has_haproxy: bool
    workers: Mapping[str, Sequence[Tier]]
    """The processes of each tier of WORKERS, in the same way."""

    @property
    def gateway(self) -> Tier:
        """Where clients connect: the first gateway, or HAProxy in its place."""
        return self.tiers["gateway"]

    @property
    def stats_url(self) -> str | None:
        """Where HAProxy tells what it does."""
        port = self.settings.haproxy_stats_port
        return f"http://{LOOPBACK}:{port}" if self.has_haproxy else None

    @property
    def keys_file(self) -> Path:
        return (self.settings.keys_file or self.data_dir / "keys.json").absolute()

    @property
    def own_tls(self) -> TlsFiles | None:
        """The certificate to make; None if there is one or nobody needs it."""
        given = self.tls
        if given.tls_port is None or given.tls_cert_file or given.tls_key_file:
            return None
        return TlsFiles(self.data_dir / "tls")

    @property
    def https_url(self) -> str | None:
        port = self.tls.tls_port
        return f"https://{self.gateway.called}:{port}" if port else None

    @property
    def models_dir(self) -> Path:
        return (self.settings.models_dir or self.data_dir / "models").absolute()

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    def ports(self) -> Sequence[Wanted]:
        """Every place somebody will listen on, if it is known before."""
        places = []
        for tier in self.tiers.values():
            places.append(Wanted(tier.port_variable, tier.port, tier.host))
            metrics = f"{tier.name.upper()}_METRICS_PORT"
            places.append(Wanted(metrics, tier.metrics_port, tier.host))
        if self.tls.tls_port:
            tls_port = Wanted("GATEWAY_TLS_PORT", self.tls.tls_port, self.gateway.host)
            places.append(tls_port)
        if self.has_haproxy:
            places.append(Wanted("HAPROXY_STATS_PORT", self.settings.haproxy_stats_port))
        for variable, port, url in (
            ("POSTGRES_PORT", self.settings.postgres_port, self.settings.database_url),
            ("REDIS_PORT", self.settings.redis_port, self.settings.redis_url),
        ):
            if port and not url:
                places.append(Wanted(variable, port))
        return places

    def tier_env(self, name: str, database_url: str, redis_url: str) -> dict[str, str]:
        """The environment of one tier: ours, without the secrets that are for others."""
        made = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "GATEWAY_KEYS_FILE": str(self.keys_file),
            "MODELS_DIR": str(self.models_dir),
            "GATEWAY_STT_TARGET": self.tiers["stt"].target,
            "GATEWAY_TTS_TARGET": self.tiers["tts"].target,
            "GATEWAY_LLM_TARGET": self.tiers["llm"].target,
            "GATEWAY_TLS_PORT": str(self.tls.tls_port or ""),
        }
        if "GATEWAY_SPOOL_DIR" not in self.env:
            made["GATEWAY_SPOOL_DIR"] = str(self.data_dir / "spool")
        if self.own_tls:
            made["GATEWAY_TLS_CERT_FILE"] = str(self.own_tls.cert)
            made["GATEWAY_TLS_KEY_FILE"] = str(self.own_tls.key)
        for tier in self.tiers.values():
            prefix = tier.name.upper()
            made[tier.port_variable] = str(tier.port)
            made[f"{prefix}_HOST"] = tier.host
            made[f"{prefix}_METRICS_PORT"] = str(tier.metrics_port)
            made[f"{prefix}_DRAIN_S"] = str(tier.drain_s)
        everything = {**self.env, **made}
        return {
            variable: value for variable, value in everything.items() if _is_for(name, variable)
        }

    def worker_env(
        self, name: str, worker: Tier, database_url: str, redis_url: str
    ) -> dict[str, str]:
        """The environment of one of the workers of a tier."""
        return {
            **self.tier_env(name, database_url, redis_url),
            f"{name.upper()}_PORT": str(worker.port),
            f"{name.upper()}_METRICS_PORT": str(worker.metrics_port),
        }

    def gateway_env(self, tier: Tier, database_url: str, redis_url: str) -> dict[str, str]:
        """The environment of one of the gateways."""
        env = self.tier_env("gateway", database_url, redis_url)
        if tier is self.gateway:
            return {"GATEWAY_PROCESSES": "1", **env}
        env |= {
            "PORT": str(tier.port),
            "GATEWAY_HOST": tier.host,
            "GATEWAY_METRICS_PORT": str(tier.metrics_port),
            "GATEWAY_PROCESSES": "1",
        }
        if self.has_haproxy or tier is not self.gateways[0]:
            env["GATEWAY_TLS_PORT"] = ""  # the first one, or HAProxy, has it
        if spool := env.get("GATEWAY_SPOOL_DIR"):
            env["GATEWAY_SPOOL_DIR"] = str(Path(spool) / tier.name)
        return env


def _is_for(tier: str, variable: str) -> bool:
    """Whether a tier may know a variable."""
    if variable.endswith("_API_KEY"):
        return tier in _WHOSE_API_KEYS
    return tier in _WHOSE.get(variable, {tier})


def make(data_dir: Path, env: Mapping[str, str], counts: Counts = ONE_OF_EACH) -> Plan:
    """
    Args:
        env: Variables, those of `.env` included.

    Raises:
        ConfigError: settings are wrong; all of them are named at once.
    """
    mistakes: list[str] = []
    tiers: dict[str, Tier] = {}
    settings = _load(Settings, env, "up", mistakes)
    tls = _load(Tls, env, "gateway", mistakes)
    for name, module, port, metrics_port in _TIERS:
        set_ = _load(_TierSettings, env, name, mistakes)
        tiers[name] = Tier(
            name=name,
            module=module,
            host=set_.host,
            port=settings.port if name == "gateway" else set_.port or port,
            metrics_port=set_.metrics_port or metrics_port,
            drain_s=set_.drain_s,
        )
    if mistakes:
        raise config.ConfigError(mistakes)
    spare = iter(several(2 * counts.all))
    made = fleet(tiers["gateway"], counts.gateways, spare, behind=counts.haproxy)
    workers = {name: fleet(tiers[name], counts.of(name), spare) for name in WORKERS}
    return Plan(data_dir.absolute(), settings, tls, tiers, dict(env), made, counts.haproxy, workers)


def _load(cls: type[T], env: Mapping[str, str], prefix: str, mistakes: list[str]) -> T:
    try:
        return config.load(cls, env, prefix=prefix)
    except config.ConfigError as error:
        mistakes += error.mistakes
        return cls()
