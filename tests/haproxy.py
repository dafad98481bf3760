"""A real HAProxy with the configuration that is deployed, on free ports."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.ports import free_ports
from voicemesh import certificate, child, programs
from voicemesh.plan import TlsFiles

ROOT = Path(__file__).parents[1]
DEPLOYED = ROOT / "deploy" / "haproxy"


class Edge:
    """One HAProxy. Start it from the main thread: it dies with the thread that started it."""

    def __init__(self, folder: Path, file: Path, settings: Mapping[str, str]) -> None:
        http, https, private = free_ports(3)
        files = TlsFiles(folder / "tls")
        certificate.ensure(files, (), datetime.now(UTC))
        both = folder / "site.pem"
        self.folder, self.file = folder, file
        self.process: subprocess.Popen[bytes] | None = None
        both.write_bytes(files.cert.read_bytes() + files.key.read_bytes())
        self.url = f"http://127.0.0.1:{http}"
        self.https_url = f"https://127.0.0.1:{https}"
        self.private_url = f"http://127.0.0.1:{private}"
        self.ca_file = files.ca
        self.admin = str(folder / "admin.sock")
        self.settings = {
            "HAPROXY_HTTP": f"127.0.0.1:{http}",
            "HAPROXY_HTTPS": f"127.0.0.1:{https}",
            "HAPROXY_PRIVATE": f"127.0.0.1:{private}",
            "HAPROXY_CERT": str(both),
            "HAPROXY_ADMIN": self.admin,
            "HAPROXY_MAXCONN": "2000",
            "PATH": "/usr/sbin:/usr/bin:/bin",
        } | dict(settings)

    def check(self) -> subprocess.CompletedProcess[str]:
        """What HAProxy itself says of the file."""
        return subprocess.run(
            [programs.haproxy(), "-c", "-f", str(self.file)],
            check=False, capture_output=True, text=True, env=self.settings,
        )  # fmt: skip

    def start(self) -> None:
        command = [str(programs.haproxy()), "-db", "-f", str(self.file)]
        with (self.folder / "haproxy.log").open("ab") as log:
            self.process = subprocess.Popen(
                child.dying_with_us(command, signal.SIGKILL),
                env=self.settings, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 10
        while not Path(self.admin).exists():
            assert self.process.poll() is None, (self.folder / "haproxy.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            Path(self.admin).unlink(missing_ok=True)
            self.process = None


@contextlib.contextmanager
def running(file: Path = DEPLOYED / "haproxy.cfg", **settings: str) -> Iterator[Edge]:
    """HAProxy until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        edge = Edge(Path(folder), file, settings)
        edge.start()
        try:
            yield edge
        finally:
            edge.stop()
