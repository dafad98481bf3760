import asyncio
import contextvars
import threading

import pytest

from llm_orchestrator.tool_threads import Threads

WHO = contextvars.ContextVar("who", default="nobody")


async def test_a_function_runs_elsewhere_with_the_context_of_its_caller():
    WHO.set("acme")
    thread, who = await Threads(1).run(lambda: (threading.current_thread(), WHO.get()))
    assert thread is not threading.current_thread()
    assert thread.daemon  # it does not hold up the end of the process
    assert who == "acme"


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(KeyError, KeyError), (StopIteration, RuntimeError), (SystemExit, RuntimeError)],
)
async def test_what_it_raises_is_raised(raised, seen):
    def fail():
        raise raised

    threads = Threads(1)
    for _ in range(2):  # its thread is free again
        with pytest.raises(seen):
            await threads.run(fail)


async def test_one_that_was_given_up_keeps_its_thread_until_it_returns():
    threads, begun, end = Threads(1), threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert end.wait(30)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(threads.run(slow), name="first")
        await asyncio.to_thread(begun.wait, 30)
        first.cancel()
        second = tasks.create_task(threads.run(lambda: "second"), name="second")
        for _ in range(5):
            await asyncio.sleep(0)
        assert first.done()
        assert not second.done()
        end.set()
    assert second.result() == "second"
