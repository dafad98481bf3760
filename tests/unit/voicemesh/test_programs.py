import pytest

from voicemesh import programs
from voicemesh.trouble import ServerMissing


@pytest.fixture(autouse=True)
def forgetful():
    for found in (programs.postgres_bin, programs.postgres_major, programs.redis_server):
        found.cache_clear()
    yield
    for found in (programs.postgres_bin, programs.postgres_major, programs.redis_server):
        found.cache_clear()


@pytest.fixture
def no_wheels(monkeypatch):
    monkeypatch.setattr(programs, "_wheel", lambda package: None)
    monkeypatch.setattr(programs, "_POSTGRES_HOMES", ())


def program(folder, name, says):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_wheels_have_what_we_need():
    assert programs.postgres_major(programs.postgres_bin()) >= programs.POSTGRES_AT_LEAST
    assert programs.redis_server().is_file()
    assert programs.psql().is_file()


def test_postgres_of_the_machine_is_found_without_the_wheel(tmp_path, monkeypatch, no_wheels):
    program(tmp_path / "bin", "initdb", "")
    program(tmp_path / "bin", "postgres", "postgres (PostgreSQL) 17.2 (Debian 17.2-1)")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert programs.postgres_bin() == tmp_path / "bin"


def test_an_old_postgres_is_none(tmp_path, monkeypatch, no_wheels):
    program(tmp_path / "bin", "initdb", "")
    program(tmp_path / "bin", "postgres", "postgres (PostgreSQL) 11.2")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ServerMissing, match="DATABASE_URL"):
        programs.postgres_bin()


def test_redis_of_the_machine_goes_before_the_wheel_from_version_7_on(tmp_path, monkeypatch):
    found = program(tmp_path / "bin", "redis-server", "Redis server v=7.0.15 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert programs.redis_server() == found


def test_an_older_redis_serves_where_there_is_no_wheel(tmp_path, monkeypatch, no_wheels):
    found = program(tmp_path / "bin", "redis-server", "Redis server v=6.0.16 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert programs.redis_server() == found


def test_without_any_redis_the_message_says_what_to_install(tmp_path, monkeypatch, no_wheels):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match=r"apt-get install redis-server.*REDIS_URL"):
        programs.redis_server()


def fake_haproxy(folder, monkeypatch, script):
    program = folder / "haproxy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return program


@pytest.mark.parametrize("said", ["version 2.6.12-1+deb12u4 2026/10/17", "version 3.0.1"])
def test_a_haproxy_that_is_new_enough_is_found(tmp_path, monkeypatch, said):
    program = fake_haproxy(tmp_path, monkeypatch, f"echo HAProxy {said}")
    assert programs.haproxy() == program


@pytest.mark.parametrize(
    ("script", "told"),
    [("echo HA-Proxy version 2.4.22", "is 2.4; 2.6 or later"), ("exit 1", "of no version")],
)
def test_a_haproxy_that_is_too_old_is_refused(tmp_path, monkeypatch, script, told):
    fake_haproxy(tmp_path, monkeypatch, script)
    with pytest.raises(ServerMissing, match=told):
        programs.haproxy()


def test_without_haproxy_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match="apt-get install haproxy"):
        programs.haproxy()
