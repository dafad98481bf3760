"""HAProxy in `voicemesh up`, and beside it what tells it which gateways run."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from voicemesh import child, haproxy, private, probes, programs
from voicemesh.embedded import ENVIRONMENT
from voicemesh.keeper import Part
from voicemesh.plan import Plan
from voicemesh.trouble import ServerFailed

_MAXCONN = "20000"
_STOP_S = 5.0


class Edge:
    """Two processes, in a wave of their own: they start before the gateways and end after."""

    def __init__(self, decided: Plan) -> None:
        self._plan = decided
        self._folder = decided.data_dir / "haproxy"
        self._short: Path | None = None

    def parts(self, redis_url: str) -> Sequence[Part]:
        """Write what HAProxy reads.

        Raises:
            ServerMissing: there is no HAProxy here, or none new enough.
        """
        # A socket's path has 107 bytes at most; the data folder may be anywhere.
        self._short = Path(tempfile.mkdtemp(prefix="voicemesh-"))
        admin = str(self._short / "admin.sock")
        has_tls = self._plan.tls.tls_port is not None
        file = self._folder / "haproxy.cfg"
        private.write(file, haproxy.config(tls=has_tls))
        if has_tls:
            private.write(self._certificate, self._pem())
        command = [str(programs.haproxy()), "-db", "-f", str(file)]
        balance = [sys.executable, "-P", "-m", "voicemesh", "balance"]
        return [
            Part(
                name="haproxy",
                command=child.dying_with_us(command, signal.SIGKILL),
                env=self._env(admin),
                ready=probes.http_serves(f"{self._plan.stats_url}/healthz"),
                stop_s=_STOP_S,
            ),
            Part(
                name="balance",
                command=child.dying_with_us(balance, signal.SIGKILL),
                env={
                    **self._plan.tier_env("balance", "", ""),
                    "REDIS_URL": redis_url,
                    "HAPROXY_ADMIN": admin,
                },
                ready=_at_once,  # HAProxy is not, before this has done its work
                stop_s=_STOP_S,
            ),
        ]

    def release(self) -> None:
        """Leave nothing behind. Both must have ended."""
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    @property
    def _certificate(self) -> Path:
        return self._folder / "site.pem"

    def _env(self, admin: str) -> dict[str, str]:
        gateway, tls_port = self._plan.gateway, self._plan.tls.tls_port
        host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
        given = {k: v for k, v in self._plan.env.items() if k.startswith("HAPROXY_")}
        maxconn = given.get("HAPROXY_MAXCONN", _MAXCONN)
        # On one's own machine all clients have one address.
        limits = dict.fromkeys(("HAPROXY_MAXCONN", "HAPROXY_SOURCE_MAX"), maxconn)
        return {
            **ENVIRONMENT,
            **limits,
            "HAPROXY_SOURCE_RATE": "1000000",
            **given,
            "HAPROXY_HTTP": f"{host}:{gateway.port}",
            "HAPROXY_HTTPS": f"{host}:{tls_port}",
            "HAPROXY_CERT": str(self._certificate),
            "HAPROXY_PRIVATE": str(self._plan.stats_url).removeprefix("http://"),
            "HAPROXY_ADMIN": admin,
        }

    def _pem(self) -> str:
        """Certificate and key in one file, as HAProxy wants them.

        Raises:
            ServerFailed: there is no certificate, or it cannot be read.
        """
        own, given = self._plan.own_tls, self._plan.tls
        files = (own.cert, own.key) if own else (given.tls_cert_file, given.tls_key_file)
        try:
            return "\n".join(file.read_text() for file in files if file)
        except OSError as error:
            raise ServerFailed(f"{error.filename}: {error.strerror}") from error


async def _at_once() -> bool:
    return True
