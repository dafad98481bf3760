"""What both servers have in common, with both."""

import subprocess
import sys
import time

import pytest

from voicemesh import child
from voicemesh.servers import EmbeddedPostgres, EmbeddedRedis, ServerFailed


@pytest.fixture(params=[EmbeddedPostgres, EmbeddedRedis])
def kind(request):
    return request.param


def ended_within(limit_s, pid):
    deadline = time.monotonic() + limit_s
    while child.command_line(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not child.command_line(pid)


def test_a_folder_belongs_to_one_server_at_a_time(tmp_path, kind):
    with kind(tmp_path), pytest.raises(ServerFailed, match="in use by another process"):
        kind(tmp_path).__enter__()


def test_a_server_that_cannot_start_says_its_last_words(tmp_path, kind):
    with kind(tmp_path / "one") as other, pytest.raises(ServerFailed, match="did not start"):
        kind(tmp_path / "two", port=other.port).__enter__()


def test_nobody_else_looks_into_the_folder(tmp_path, kind):
    with kind(tmp_path / "one"):
        assert (tmp_path / "one").stat().st_mode & 0o077 == 0


def test_a_server_of_a_killed_owner_ends_and_the_next_one_starts(tmp_path, kind):
    script = f"""
import sys, time
from pathlib import Path
from voicemesh import servers
server = servers.{kind.__name__}(Path({str(tmp_path)!r})).__enter__()
print(server._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    if sys.platform == "linux":  # elsewhere the next start ends it
        assert ended_within(10, pid)
    with kind(tmp_path):
        assert not child.command_line(pid)
