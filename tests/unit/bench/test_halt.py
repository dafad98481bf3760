from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.halt import bench, text, wrong
from bench.tts import Row


async def test_a_small_run_cancels_at_every_stage(tmp_path):
    rows = await bench(tmp_path, ("espeak", "piper"), cancels=5)
    assert [row.name for row in rows] == [
        f"espeak, {kind}" for kind in ("thread wakes", "waiting", "at work", "told")
    ]
    assert all(len(row.took_ms) == 5 and min(row.took_ms) > 0 for row in rows)
    assert "espeak, at work" in text(rows)


def test_a_cancel_that_takes_too_long_is_wrong():
    rows = [Row("quick", [1.0] * 99 + [49.0]), Row("slow", [1.0] * 98 + [51.0, 52.0])]
    [found] = wrong(rows)
    assert found.startswith("slow: p99")


def test_help_says_what_it_does():
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "bench.halt", "--help"]
    env = {"PYTHONPATH": f"{root}:{root / 'proto'}"}
    ran = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    assert "--models-dir" in ran.stdout
