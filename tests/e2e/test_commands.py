"""What a person types: `voicemesh talk`, and the README's example as it is pasted."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from pathlib import Path

from tests.e2e import judges
from tests.e2e.speech import DATA
from tests.stack import ROOT

LONDON = "what time is it in london today"


def answer_of(file: Path) -> bytes:
    with wave.open(str(file)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (24_000, 1, 2)
        return wav.readframes(wav.getnframes())


def test_talk_prints_what_was_heard_and_answered_and_writes_the_answer(stack, tmp_path):
    out = tmp_path / "answer.wav"
    talk = subprocess.run(
        [
            *(sys.executable, "-m", "voicemesh.cli", "talk"),
            *(str(DATA / "what_time_is_it_in_london_today.wav"), "--out", str(out)),
            *("--data-dir", str(stack.data_dir)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert talk.returncode == 0, talk.stdout + talk.stderr
    assert re.search(rf"^heard +{LONDON}$", talk.stdout, re.M)
    [said] = re.findall(r"^answered +(.+)$", talk.stdout, re.M)
    for stage in ("transcript", "first text", "first audio", "done"):
        assert re.search(rf"^ +{stage} +\d+ ms$", talk.stdout, re.M)
    judges.speech_fits(answer_of(out), said)


def test_the_readmes_example_runs_as_pasted(stack, tmp_path):
    [example] = re.findall(r"<<'EOF'\n(.*?)^EOF$", (ROOT / "README.md").read_text(), re.S | re.M)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / ".local").symlink_to(stack.data_dir)
    here = example.replace("http://127.0.0.1:8080", stack.url)
    assert here != example, "the example names the default port"
    ran = subprocess.run(
        [sys.executable, "-"], input=here, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert f"heard: {LONDON}\n" in ran.stdout
    [said] = re.findall(r"^said: +(.+)$", ran.stdout, re.M)
    judges.speech_fits(answer_of(tmp_path / "answer.wav"), said)
