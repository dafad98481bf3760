"""With real, tiny processes."""

import asyncio
import os
import signal

import pytest

from tests.unit.voicemesh.parts import DEAF, ENDS_ON_TERM, Recorder, is_alive, part, pids, run
from voicemesh import keeper
from voicemesh.supervisor import Supervisor


@pytest.fixture
async def recorder():
    return Recorder()


async def test_a_part_that_dies_is_named_and_started_again(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)

    async def kill():
        os.kill(pids(supervisor)["stt"], signal.SIGKILL)
        await recorder.until(lambda item: item == ("back", "stt"))

    await run(supervisor, [part(tmp_path, "stt", ENDS_ON_TERM)], then=kill)
    [died] = [item for item in recorder.news if item[0] == "died"]
    assert died == ("died", "stt", "was ended by SIGKILL", keeper.REST_FIRST_S, ["here"])


def test_rests_grow_and_have_a_limit():
    rests = [keeper.rest_s(n) for n in range(1, 20)]
    assert rests[0] == keeper.REST_FIRST_S
    assert rests == sorted(rests)
    assert rests[-1] == keeper.REST_MOST_S


async def test_a_part_that_keeps_dying_rests_longer_each_time(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    flaky = part(tmp_path, "llm", "READY\nimport time; time.sleep(0.2); raise SystemExit('broken')")
    await run(
        supervisor,
        [flaky],
        then=lambda: recorder.until(lambda item: item[0] == "died", times=3),
    )
    rests = [item[3] for item in recorder.news if item[0] == "died"]
    assert rests[:3] == [0.1, 0.2, 0.4]
    assert all(item[4] == ["broken"] for item in recorder.news if item[0] == "died")


async def test_a_part_that_will_not_end_is_killed(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    seen = {}

    async def look():
        seen.update(pids(supervisor))

    await run(supervisor, [part(tmp_path, "deaf", DEAF, stop_s=0.2)], then=look)
    assert not is_alive(seen["deaf"])


async def test_what_a_part_started_ends_with_it(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    parent = part(
        tmp_path,
        "parent",
        """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        READY
        time.sleep(60)
        """,
    )
    await run(supervisor, [parent], then=lambda: recorder.until(lambda item: item[0] == "said"))
    child = int(next(item[2] for item in recorder.news if item[0] == "said"))
    async with asyncio.timeout(30):
        while is_alive(child):
            await asyncio.sleep(0.01)
