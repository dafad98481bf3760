"""`voicemesh up`, `talk` and `psql` as a person uses them: real tiers, real servers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.stack import ROOT, environment, running
from voicemesh import talk
from voicemesh.child import command_line

QUESTION = ROOT / "tests" / "data" / "what_time_is_it_in_london_today.wav"
AGAIN_S = 15.0  # what the README promises for the second start
PROGRAMS = (
    "postgres -D", "redis-server", "-m persistence", "-m stt_service", "-m tts_service",
    "-m llm_orchestrator", "-m gateway",
)  # fmt: skip


def below(pid: int) -> dict[int, str]:
    """All processes below one: id → command line."""
    ps = ["ps", "-axww", "-o", "pid=,ppid=,command="]
    listed = subprocess.run(ps, check=True, capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    found = {pid: ""}
    for _ in range(3):  # as deep as they are
        found |= {int(row[0]): row[2] for row in rows if int(row[1]) in found}
    return {id_: line for id_, line in found.items() if id_ != pid and not line.startswith("ps ")}


def voicemesh(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "voicemesh", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment({}) | settings,
        timeout=120,
    )


def test_it_ends_without_a_trace_and_is_soon_there_again():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder) as stack:
            processes = below(stack.process.pid)
            for program in PROGRAMS:
                assert any(program in line for line in processes.values()), program
        assert not any(map(command_line, processes))
        assert stack.process.returncode == 0
        began = time.monotonic()
        with running(folder) as stack:
            assert time.monotonic() - began < AGAIN_S
            assert not [line for line in log_of(folder, "postgres") if "recovery" in line]


def log_of(folder: Path, part: str) -> list[str]:
    return (folder / "logs" / f"{part}.log").read_text().splitlines()


def test_a_port_in_use_is_named_and_nothing_starts(stack, tmp_path):
    port = str(stack.ports["PORT"])
    refused = voicemesh("up", "--data-dir", str(tmp_path), PORT=port)
    assert refused.returncode == 1
    assert f"port {port} is in use: free it, or set PORT to another" in refused.stderr
    assert not (tmp_path / "postgres").exists()


def test_a_second_one_on_the_same_folder_is_refused(stack):
    refused = voicemesh("up", "--data-dir", str(stack.data_dir))
    assert refused.returncode == 1
    assert f"(process {stack.process.pid})" in refused.stderr


def test_talk_prints_what_was_heard_and_answered(stack, tmp_path):
    answer = tmp_path / "answer.wav"
    arguments = ("--data-dir", str(stack.data_dir), "--out", str(answer))
    talked = voicemesh("talk", str(QUESTION), *arguments)
    assert talked.returncode == 0, talked.stderr
    assert "heard     what time is it in london today" in talked.stdout
    for stage in ("transcript", "first text", "first audio", "done"):
        assert f"  {stage}" in talked.stdout
    with wave.open(str(answer)) as spoken:
        assert spoken.getnframes() > spoken.getframerate()


def test_talk_with_a_wrong_key_is_refused_in_the_servers_words(stack):
    arguments = ("--data-dir", str(stack.data_dir), "--key", "sk-wrong")
    refused = voicemesh("talk", str(QUESTION), *arguments)
    assert refused.returncode == talk.REFUSED
    assert "Incorrect API key" in refused.stderr


@pytest.mark.parametrize("arguments", [("-c", "SELECT 'here'"), ("-At", "-c", "SELECT 'here'")])
def test_psql_looks_into_the_database(stack, arguments):
    seen = voicemesh("psql", "--data-dir", str(stack.data_dir), "--", *arguments)
    assert "here" in seen.stdout, seen.stderr


def test_psql_does_not_show_the_password_to_everybody_on_the_machine(stack):
    password = urlsplit(stack.database_url).password
    own_command_line = r"\! ps -ww -o command= -p $PPID"
    seen = voicemesh("psql", "--data-dir", str(stack.data_dir), "--", "-c", own_command_line)
    assert "psql" in seen.stdout, seen.stderr
    assert password
    assert password not in seen.stdout
