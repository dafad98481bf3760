"""With real servers; each test has its own."""

import os
import signal

import psycopg
import pytest
import redis

from voicemesh import child
from voicemesh.servers import EmbeddedPostgres, EmbeddedRedis, ServerFailed


def test_postgres_keeps_what_was_committed_and_leaves_no_process(tmp_path):
    with EmbeddedPostgres(tmp_path) as server:
        pid = int((tmp_path / "data" / "postmaster.pid").read_text().split()[0])
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
    assert not child.command_line(pid)
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT note FROM notes").fetchall() == [("kept",)]


def test_postgres_lets_in_nobody_without_the_password(tmp_path):
    with EmbeddedPostgres(tmp_path) as server:
        stranger = server.url.replace(server._password, "guess")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(stranger)


def test_the_role_is_bound_by_row_level_security(tmp_path):
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url) as connection:
        [row] = connection.execute(
            "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchall()
        assert row == (False, False)


def test_postgres_recovers_from_a_crash(tmp_path):
    server = EmbeddedPostgres(tmp_path).__enter__()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
    pid = int((tmp_path / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    server.stop()
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT note FROM notes").fetchall() == [("kept",)]


def test_half_a_database_is_never_found(tmp_path):
    (tmp_path / "data.new" / "base").mkdir(parents=True)
    with EmbeddedPostgres(tmp_path) as server:
        psycopg.connect(server.url).close()
    assert not (tmp_path / "data.new").exists()


def test_a_database_of_another_version_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerFailed, match="made by PostgreSQL 9"):
        EmbeddedPostgres(tmp_path).__enter__()


def test_redis_keeps_what_was_written_and_leaves_no_process(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        pid = int((tmp_path / "redis.pid").read_text())
        with redis.Redis.from_url(server.url) as client:
            client.set("note", "kept")
    assert not child.command_line(pid)
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("note") == b"kept"


def test_redis_lets_in_nobody_without_the_password(tmp_path):
    with EmbeddedRedis(tmp_path) as server:
        stranger = f"redis://127.0.0.1:{server.port}/0"
        with (
            redis.Redis.from_url(stranger) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
