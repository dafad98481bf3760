"""With real, tiny processes."""

import asyncio

import pytest

from tests.unit.voicemesh.parts import DEAF, ENDS_ON_TERM, Recorder, is_alive, part, pids, run
from voicemesh.supervisor import Supervisor
from voicemesh.trouble import PartFailed


@pytest.fixture
async def recorder():
    return Recorder()


async def test_parts_end_in_the_reverse_order_of_their_start(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    first, second = (part(tmp_path, name, ENDS_ON_TERM) for name in ("first", "second"))
    await run(supervisor, [first], [second])
    said = [item[1] for item in recorder.news if item[0] == "said" and item[2] == "bye"]
    assert said == ["second", "first"]


async def test_a_part_that_never_gets_ready_ends_the_start_and_the_others(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    good = part(tmp_path, "good", ENDS_ON_TERM)
    bad = part(tmp_path, "bad", "raise SystemExit('no model here')")
    with pytest.raises(PartFailed, match=r"bad ended with status 1\n  no model here") as failed:
        await run(supervisor, [good], [bad])
    assert str(tmp_path / "logs" / "bad.log") in str(failed.value)
    assert not any(is_alive(pid) for pid in pids(supervisor).values())


async def test_a_program_that_is_not_there_ends_the_start(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    with pytest.raises(PartFailed, match="no-such-program"):
        await run(supervisor, [part(tmp_path, "x", "", command=["/no-such-program"])])


async def test_asking_twice_does_not_wait(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)

    async def hurry():
        supervisor.stop()

    async with asyncio.timeout(10):
        await run(supervisor, [part(tmp_path, "deaf", DEAF, stop_s=600.0)], then=hurry)


async def test_stopping_while_starting_leaves_nothing(tmp_path, recorder):
    supervisor = Supervisor(tmp_path / "logs", recorder)
    slow = part(tmp_path, "slow", "import time; print('begun', flush=True); time.sleep(60)")

    async def begin():
        await supervisor.start([slow])

    async def stop_soon():
        await recorder.until(lambda item: item[0] == "said")
        seen.update(pids(supervisor))
        supervisor.stop()

    seen = {}
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_soon())
        await supervisor.run(begin)
    assert not is_alive(seen["slow"])
