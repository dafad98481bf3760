"""HAProxy as a part of `voicemesh up`. tests/e2e/test_balancing.py has it with real gateways."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from tests.unit.voicemesh.parts import Recorder
from voicemesh import certificate, haproxy, plan, ports
from voicemesh.balance import Admin
from voicemesh.edge import Edge
from voicemesh.supervisor import Supervisor
from voicemesh.trouble import ServerFailed
from voicemesh.up_options import Counts


@pytest.fixture
def decided(tmp_path):
    http, https, stats = ports.several(3)
    env = {
        "PORT": str(http), "GATEWAY_TLS_PORT": str(https), "HAPROXY_STATS_PORT": str(stats),
        "OPENAI_API_KEY": "sk-1", "DATABASE_URL": "postgresql://", "HAPROXY_MAXCONN": "100",
    }  # fmt: skip
    decided = plan.make(tmp_path, env, Counts(gateways=2, haproxy=True))
    certificate.ensure(decided.own_tls, (), datetime.now(UTC))
    return decided


@pytest.fixture
def edge(decided):
    edge = Edge(decided)
    yield edge
    edge.release()


def named(parts, name):
    [found] = [part for part in parts if part.name == name]
    return found


def test_haproxy_listens_where_the_gateway_would(edge, decided):
    env = named(edge.parts("redis://"), "haproxy").env
    assert env["HAPROXY_HTTP"] == f"127.0.0.1:{decided.gateway.port}"
    assert env["HAPROXY_HTTPS"] == f"127.0.0.1:{decided.tls.tls_port}"
    assert env["HAPROXY_MAXCONN"] == "100"
    assert (decided.data_dir / "haproxy" / "haproxy.cfg").read_text() == haproxy.config()


def test_haproxy_takes_what_is_written(edge):
    part = named(edge.parts("redis://"), "haproxy")
    command = [*part.command[:-3], "-c", *part.command[-2:]]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, env=part.env)
    assert checked.returncode == 0, checked.stderr


def test_nobody_else_can_read_the_key(edge, decided):
    edge.parts("redis://")
    both = decided.data_dir / "haproxy" / "site.pem"
    assert both.stat().st_mode & 0o777 == 0o600
    assert both.read_text().count("BEGIN") >= 2


def test_without_tls_there_is_no_certificate(tmp_path):
    edge = Edge(plan.make(tmp_path, {"GATEWAY_TLS_PORT": ""}, Counts(gateways=2, haproxy=True)))
    edge.parts("redis://")
    edge.release()
    assert not (tmp_path / "haproxy" / "site.pem").exists()
    assert "ssl crt" not in (tmp_path / "haproxy" / "haproxy.cfg").read_text()


def test_a_certificate_that_cannot_be_read_is_named(tmp_path):
    env = {"GATEWAY_TLS_CERT_FILE": str(tmp_path / "no.pem"), "GATEWAY_TLS_KEY_FILE": "k"}
    edge = Edge(plan.make(tmp_path, env, Counts(haproxy=True)))
    with pytest.raises(ServerFailed, match=r"no\.pem: No such file"):
        edge.parts("redis://")
    edge.release()


def test_balance_knows_redis_and_no_secret_of_others(edge):
    env = named(edge.parts("redis://there"), "balance").env
    assert env["REDIS_URL"] == "redis://there"
    assert Path(env["HAPROXY_ADMIN"]).parent.stat().st_mode & 0o777 == 0o700
    assert "OPENAI_API_KEY" not in env
    assert "DATABASE_URL" not in env


def test_nothing_is_left_behind(edge):
    folder = Path(named(edge.parts("redis://"), "balance").env["HAPROXY_ADMIN"]).parent
    edge.release()
    assert not folder.exists()


async def test_it_is_ready_when_a_gateway_can_be_reached(edge, decided, tmp_path, aiohttp_server):
    async def well(request):
        return web.Response()

    app = web.Application()
    app.router.add_get("/readyz", well)
    gateway = await aiohttp_server(app)
    supervisor = Supervisor(tmp_path / "logs", recorder := Recorder())
    part = named(edge.parts("redis://"), "haproxy")
    admin = Path(part.env["HAPROXY_ADMIN"])

    async def begin():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.start([part]))
            while not admin.exists():
                await asyncio.sleep(0.02)
            assert not await part.ready()
            await Admin(str(admin)).open("gw1", f"127.0.0.1:{gateway.port}")
        supervisor.stop()

    async with asyncio.timeout(60):
        await supervisor.run(begin)
    assert ("ready", "haproxy") in recorder.news
