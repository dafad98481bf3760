"""A real PostgreSQL and a real Redis for tests, the ones `voicemesh up` brings along.

Both are started once for all tests, in folders of their own. A test that takes
`database_url` or `streams_url` has them to itself: a schema of its own, an empty Redis
database. The role in `postgres_url` is no superuser, so row security binds it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import redis

from tests.ports import free_ports
from voicemesh.servers import EmbeddedPostgres, EmbeddedRedis

_schemas = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's server runs as nobody and must get in
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    return postgres.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        yield server.url


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """An empty schema of its own."""
    return new_schema(postgres_url)


@pytest.fixture
def streams_url(redis_url: str) -> str:
    """An empty Redis database."""
    url = redis_url.removesuffix("/0") + "/9"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


class Restartable:
    """A PostgreSQL or Redis that goes away and comes back: same place, same data.

    Start it from the main thread: the server dies with the thread that started it.
    """

    def __init__(self, kind: type[EmbeddedPostgres] | type[EmbeddedRedis], folder: Path) -> None:
        self._kind, self._folder = kind, folder
        [self._port] = free_ports(1)
        self._server: EmbeddedPostgres | EmbeddedRedis | None = None
        self.url = ""

    def start(self) -> None:
        if self._server is None:
            self._server = self._kind(self._folder, port=self._port).__enter__()
            self._port, self.url = self._server.port, self.url or self._server.url

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


@pytest.fixture(scope="session")
def restartable_postgres() -> Iterator[Restartable]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        server = Restartable(EmbeddedPostgres, Path(folder) / "postgres")
        yield server
        server.stop()


@pytest.fixture
def own_postgres(restartable_postgres: Restartable) -> Restartable:
    """A PostgreSQL with an empty schema, running, to stop and start again."""
    restartable_postgres.start()
    restartable_postgres.url = new_schema(restartable_postgres.url.partition("?")[0])
    return restartable_postgres


@pytest.fixture
def own_redis() -> Iterator[Restartable]:
    """A Redis of the test's own, to stop and start again."""
    with tempfile.TemporaryDirectory() as folder:
        server = Restartable(EmbeddedRedis, Path(folder))
        server.start()
        yield server
        server.stop()


def new_schema(postgres_url: str) -> str:
    """A URL whose connections work in a new, empty schema."""
    schema = f"test_{next(_schemas)}"
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute(f"CREATE SCHEMA {schema}".encode())
    return f"{postgres_url}?options={quote(f'-csearch_path={schema}')}"
