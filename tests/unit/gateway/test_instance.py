"""An instance of small processes, and one of real gateways."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import msgspec
import pytest

from gateway import instance
from gateway.config import Config
from gateway.instance import Instance, environments
from tests import processes
from tests.ports import free_ports
from voicemesh import keys

SCRIPT = """
import os, pathlib, signal, sys, time
sys.path.insert(0, {root!r})
from gateway.instance import end_with_parent
end_with_parent(sys.argv)
folder = pathlib.Path({folder!r})
me = sys.argv[-1].replace("/", "of")
def term(*_):
    (folder / f"{{me}}.drained").touch()
    if {deaf}: return
    sys.exit(0)
signal.signal(signal.SIGTERM, term)
with (folder / "starts").open("a") as starts:
    print(me, os.getpid(), os.environ["PORT"], file=starts)
if {status} is not None: sys.exit({status})
while True: time.sleep(60)
"""


class Small:
    """An instance of processes that only say that they were started."""

    def __init__(self, folder, n=2, *, deaf=False, status=None, **settings):
        self.folder = folder
        script = folder / "process.py"
        root = str(processes.ROOT)
        script.write_text(SCRIPT.format(root=root, folder=str(folder), deaf=deaf, status=status))
        values = {"port": 0, "metrics_port": 0, "drain_s": 5.0} | settings
        self.instance = Instance(Config(**values), n, [sys.executable, str(script)])

    def starts(self):
        """Which process was started, with what id."""
        file = self.folder / "starts"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    async def until_started(self, times):
        async with asyncio.timeout(20):
            while len(self.starts()) < times:
                await asyncio.sleep(0.02)
        return self.starts()


def is_alive(pid):
    ps = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], check=False, capture_output=True)
    return ps.returncode == 0 and not ps.stdout.strip().startswith(b"Z")


async def until_dead(pids):
    async with asyncio.timeout(20):
        while any(map(is_alive, pids)):
            await asyncio.sleep(0.02)


def test_each_process_has_ports_and_a_share_of_its_own():
    settings = Config(
        port=8000, tls_port=8443, metrics_port=9000, connects_per_s=100.0, spool_dir=Path("spool")
    )
    first, second = environments(settings, 2)
    assert (first["PORT"], second["PORT"]) == ("8000", "8001")
    assert (first["GATEWAY_TLS_PORT"], second["GATEWAY_TLS_PORT"]) == ("8443", "8444")
    assert (first["GATEWAY_METRICS_PORT"], second["GATEWAY_METRICS_PORT"]) == ("9001", "9002")
    assert (first["GATEWAY_SPOOL_DIR"], second["GATEWAY_SPOOL_DIR"]) == ("spool/0", "spool/1")
    assert {float(env["GATEWAY_CONNECTS_PER_S"]) for env in (first, second)} == {50.0}
    assert {env["GATEWAY_PROCESSES"] for env in (first, second)} == {"1"}


def test_port_0_takes_free_ones():
    made = environments(Config(port=0, metrics_port=0), 3)
    ports = {env[name] for env in made for name in ("PORT", "GATEWAY_METRICS_PORT")}
    assert "0" not in ports
    assert len({env["PORT"] for env in made}) == 3
    assert "GATEWAY_TLS_PORT" not in made[0].keys() - os.environ.keys()  # noqa: TID251 - inherited


async def test_a_process_that_dies_is_started_again_on_its_ports(tmp_path):
    small = Small(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(small.instance.run())
        [(name, pid), _] = await small.until_started(2)
        os.kill(pid, signal.SIGKILL)
        again, new = (await small.until_started(3))[-1]
        assert again == name
        assert new != pid
        small.instance.stop()
    assert running.result() == 0
    ports = {line.split()[0]: set() for line in (tmp_path / "starts").read_text().splitlines()}
    for line in (tmp_path / "starts").read_text().splitlines():
        ports[line.split()[0]].add(line.split()[2])
    assert all(len(each) == 1 for each in ports.values())
    assert sum(member.restarts for member in small.instance.members) == 1


async def test_stopping_drains_every_process(tmp_path):
    small = Small(tmp_path, 3)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(small.instance.run())
        started = await small.until_started(3)
        small.instance.stop()
    assert running.result() == 0
    assert {path.stem for path in tmp_path.glob("*.drained")} == {"1of3", "2of3", "3of3"}
    assert not any(is_alive(pid) for _, pid in started)


async def test_who_does_not_end_in_time_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(instance, "_BEYOND_DRAIN_S", 0.1)
    small = Small(tmp_path, deaf=True, drain_s=0.1)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(small.instance.run())
        started = await small.until_started(2)
        small.instance.stop()
    assert not any(is_alive(pid) for _, pid in started)


async def test_what_cannot_be_started_ends_the_instance_with_its_status(tmp_path):
    async with asyncio.timeout(20):
        assert await Small(tmp_path, status=2).instance.run() == 2


async def real(tmp_path, **env):
    """Two real gateways under their parent, with no tiers to call."""
    keys.add(tmp_path / "keys.json", "tenant")
    [metrics_port] = free_ports(1)
    env = {
        "PORT": "0", "GATEWAY_METRICS_PORT": str(metrics_port), "GATEWAY_PROCESSES": "2",
        "GATEWAY_KEYS_FILE": str(tmp_path / "keys.json"), "GATEWAY_DRAIN_S": "1", **env,
    }  # fmt: skip
    return await processes.start("gateway", **env), f"http://127.0.0.1:{metrics_port}"


def children(pid):
    ps = ["ps", "-axww", "-o", "pid=,ppid=,command="]
    listed = subprocess.run(ps, check=True, capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {
        command.split()[-1]: int(child) for child, parent, command in rows if parent == str(pid)
    }


async def until_up(url, n=2):
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while True:
            async with http.get(f"{url}/readyz") as answer:
                said = msgspec.json.decode(await answer.read())
            if sum("draining" in process for process in said["processes"]) == n:
                return
            await asyncio.sleep(0.05)


async def test_two_gateways_are_one_instance_and_end_with_it(tmp_path):
    parent, url = await real(tmp_path)
    try:
        await processes.until(parent, "instance")
        await until_up(url)
        assert children(parent.pid).keys() == {"1/2", "2/2"}
        async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
            page = await answer.text()
        assert 'gateway_sessions{process="0"} 0.0' in page
        assert 'gateway_sessions{process="1"} 0.0' in page
        pids = children(parent.pid).values()
        parent.terminate()
        _, said = await parent.communicate()
        assert parent.returncode == 0, said.decode()
        assert not any(map(is_alive, pids))
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()


async def test_a_killed_parent_takes_its_gateways_along(tmp_path):
    parent, url = await real(tmp_path)
    await processes.until(parent, "instance")
    await until_up(url)
    pids = list(children(parent.pid).values())
    assert len(pids) == 2
    parent.kill()
    await parent.wait()
    await until_dead(pids)


async def test_wrong_settings_are_said_and_nothing_is_tried_again(tmp_path):
    parent, _ = await real(tmp_path, GATEWAY_MODELS_FILE=str(tmp_path / "nothing"))
    _, said = await parent.communicate()
    assert parent.returncode == 1
    assert 1 <= said.decode().count("GATEWAY_MODELS_FILE") <= 2


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_cores_are_counted(monkeypatch, platform):
    if platform == "darwin":
        monkeypatch.setattr(sys, "platform", "darwin")
    assert instance.cores() >= 1
