"""The command itself, with tiers that only say that they are well."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mesh.keys import load
from tests.ports import free_ports
from voicemesh.child import command_line
from voicemesh.up import running as find

TIER = """
import json, os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

def serve(name):
    said = {"event": "engine serves", "level": "INFO", "engine": "fake " + name}
    print(json.dumps(said), flush=True)
    if os.environ.get("FAIL") == name:
        sys.exit("no model here")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = grpc.server(ThreadPoolExecutor(2))
    well = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(well, server)
    server.add_insecure_port("127.0.0.1:" + os.environ[name + "_PORT"])
    server.start()
    ended.wait()
    server.stop(0)
    print(json.dumps({"event": name + " ended", "level": "WARNING"}), flush=True)
"""
GATEWAY = """
import http.server, os, signal, sys, threading

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready).serve_forever()
"""
MODULES = {"persistence": "PERSISTENCE", "stt_service": "STT", "tts_service": "TTS"}
MODULES["llm_orchestrator"] = "LLM"


class Up:
    """One `voicemesh up`; what it prints goes to a file."""

    def __init__(self, folder, *arguments, **settings):
        self.data_dir = folder / "data"
        self.env = environment(folder, **settings)
        command = [sys.executable, "-m", "voicemesh", "up", "--data-dir", str(self.data_dir)]
        self._file = (folder / f"out-{time.monotonic_ns()}").open("w+")
        self.process = subprocess.Popen(
            [*command, *arguments], env=self.env, stdout=self._file, stderr=subprocess.STDOUT
        )

    @property
    def printed(self):
        return Path(self._file.name).read_text()

    def until(self, words, limit_s=60.0):
        deadline = time.monotonic() + limit_s
        while words not in self.printed:
            assert time.monotonic() < deadline, self.printed
            assert self.process.poll() is None or words in self.printed, self.printed
            time.sleep(0.02)
        return self

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(30)

    def processes(self):
        """All below us: id → command line."""
        ps = ["ps", "-axww", "-o", "pid=,ppid=,command="]
        listed = subprocess.run(ps, check=True, capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        below = {str(self.process.pid): "voicemesh"}
        for pid, ppid, command in rows * 3:  # as often as they are deep
            if ppid in below and not command.startswith("ps "):
                below[pid] = command
        del below[str(self.process.pid)]
        return {int(pid): command for pid, command in below.items()}

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._file.close()


def environment(folder, **settings):
    fakes = folder / "fakes"
    fakes.mkdir(exist_ok=True)
    (fakes / "fake_tier.py").write_text(TIER)
    for module, name in MODULES.items():
        (fakes / f"{module}.py").write_text(f"import fake_tier\nfake_tier.serve({name!r})\n")
    (fakes / "gateway.py").write_text(GATEWAY)
    names = ["PORT", "GATEWAY_TLS_PORT", *(f"{name}_PORT" for name in MODULES.values())]
    names += [f"{name}_METRICS_PORT" for name in (*MODULES.values(), "GATEWAY")]
    env = {name: str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    # Nobody connects to these.
    env |= {"DATABASE_URL": "postgresql://", "REDIS_URL": "redis://elsewhere"}
    inherited = dict(os.environ)  # noqa: TID251 - what the command inherits from a shell
    return {**inherited, **env, "PYTHONPATH": str(fakes), **settings}


def variables(pid):
    """What a process was started with: `ps` of macOS and of Linux knows."""
    ps = ["ps", "eww", "-p", str(pid), "-o", "command="]
    return subprocess.run(ps, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def up(tmp_path):
    """Starts the command; ends what a test leaves."""
    started = []

    def start(*arguments, **settings):
        started.append(Up(tmp_path, *arguments, **settings))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_it_says_what_it_serves_and_ends_with_ctrl_c(up):
    running = up().until("Ctrl-C ends everything")
    processes = running.processes()
    assert len(processes) == 5
    assert f"ws://127.0.0.1:{running.env['PORT']}/v1/realtime" in running.printed
    assert "hears with   fake STT" in running.printed
    assert running.end() == 0
    assert not any(map(command_line, processes))
    assert "All processes have ended." in running.printed


def test_the_gateway_ends_first_and_persistence_last(up):
    running = up().until("Ctrl-C ends everything")
    running.end(signal.SIGTERM)
    ends = re.findall(r"(\w+) ended$", running.printed, re.MULTILINE)
    assert set(ends[:3]) == {"STT", "TTS", "LLM"}
    assert ends[3:] == ["PERSISTENCE"]


def test_the_key_it_prints_is_let_in_and_stays_the_same(up):
    first = up().until("Ctrl-C ends everything")
    [key] = re.findall(r"sk-dev-\w+", first.printed)
    assert load(first.data_dir / "keys.json").find(key).tenant == "dev"
    first.end()
    assert key in up().until("Ctrl-C ends everything").printed


def test_a_tier_that_dies_is_named_and_comes_back(up):
    running = up().until("Ctrl-C ends everything")
    [pid] = [pid for pid, command in running.processes().items() if "tts_service" in command]
    os.kill(pid, signal.SIGKILL)
    running.until("is back")
    assert re.search(r"tts +was ended by SIGKILL", running.printed)
    assert running.end() == 0


def test_a_tier_that_cannot_start_ends_everything_with_its_last_words(up):
    running = up(FAIL="STT")
    assert running.process.wait(30) == 1
    assert "stt ended with status 1" in running.printed
    assert "no model here" in running.printed
    assert "Traceback" not in running.printed


def test_a_port_in_use_is_named_before_anything_starts(up):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        running = up(STT_PORT=port)
        assert running.process.wait(30) == 1
    assert f"port {port} is in use: free it, or set STT_PORT to another" in running.printed
    assert "ready" not in running.printed
    assert not (running.data_dir / "logs").exists()


def test_a_second_one_on_the_same_folder_is_refused(up):
    first = up().until("Ctrl-C ends everything")
    second = up()
    assert second.process.wait(30) == 1
    assert f"already runs on {first.data_dir} (process {first.process.pid})" in second.printed


def test_wrong_settings_are_all_named(up):
    running = up(PORT="high", STT_PORT="99999")
    assert running.process.wait(30) == 2
    assert "PORT='high'" in running.printed
    assert "STT_PORT='99999'" in running.printed


def test_a_variable_that_is_no_setting_is_named_at_start(up):
    running = up(STT_ENGINE="x").until("Ctrl-C ends everything")
    line = "voicemesh: warning: STT_ENGINE is no setting; did you mean STT_ENGINES?"
    assert running.printed.startswith(line)


def test_a_tier_cannot_read_the_keys_of_others(up):
    running = up(OPENAI_API_KEY="sk-1").until("Ctrl-C ends everything")
    know = [
        command.rpartition(" ")[2]
        for pid, command in running.processes().items()
        if "OPENAI_API_KEY" in variables(pid)
    ]
    assert know == ["llm_orchestrator"]


def test_a_killed_supervisor_takes_everything_along(up):
    running = up().until("Ctrl-C ends everything")
    processes = running.processes()
    running.end(signal.SIGKILL)
    assert find(running.data_dir) is None
    if sys.platform == "linux":
        deadline = time.monotonic() + 10
        while any(map(command_line, processes)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(command_line, processes))
        up().until("Ctrl-C ends everything")


def test_a_certificate_is_made_once_and_named(up):
    first = up().until("Ctrl-C ends everything")
    served = f"wss://127.0.0.1:{first.env['GATEWAY_TLS_PORT']}/v1/realtime"
    ca_file = first.data_dir / "tls" / "ca.pem"
    assert f"{served}   (CA: {ca_file})" in first.printed
    [gateway] = [pid for pid, line in first.processes().items() if line.endswith(" gateway")]
    assert f"GATEWAY_TLS_CERT_FILE={first.data_dir / 'tls' / 'server.pem'}" in variables(gateway)
    first.end()
    before = ca_file.read_bytes()
    up().until("Ctrl-C ends everything")
    assert ca_file.read_bytes() == before


def test_others_can_find_what_runs(up):
    running = up().until("Ctrl-C ends everything")
    found = json.loads((running.data_dir / "running.json").read_text())
    assert found["https_url"] == f"https://127.0.0.1:{running.env['GATEWAY_TLS_PORT']}"
    assert found["ca_file"] == str(running.data_dir / "tls" / "ca.pem")
    assert found["http_url"] == f"http://127.0.0.1:{running.env['PORT']}"
    running.end()
    assert not (running.data_dir / "running.json").exists()
