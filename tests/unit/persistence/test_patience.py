import asyncio
import logging

import pytest

from mesh.errors import Broken, Unavailable
from persistence.patience import REST_LAST_S, Rest, patiently


def test_rests_grow_up_to_a_limit_and_start_over_after_a_success():
    rest = Rest("redis")
    waits = [rest.failed(OSError()) for _ in range(8)]
    assert waits[:3] == [0.1, 0.2, 0.4]
    assert waits[-1] == REST_LAST_S
    rest.succeeded()
    assert rest.failed(OSError()) == 0.1


async def test_an_outage_is_said_once_and_so_is_its_end(caplog):
    caplog.set_level(logging.INFO)
    outcomes = [Unavailable("refused"), Unavailable("refused"), "done"]

    async def attempt() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Unavailable):
            raise outcome
        return outcome

    assert await patiently(attempt, away=(Unavailable,), what="postgres") == "done"
    assert [line.getMessage() for line in caplog.records] == [
        "postgres is away",
        "postgres is back",
    ]


async def test_an_error_that_waiting_cannot_mend_is_raised():
    async def attempt() -> None:
        raise Broken("bug")

    with pytest.raises(Broken):
        await patiently(attempt, away=(Unavailable,), what="postgres")


async def test_a_cancellation_that_a_library_swallowed_is_taken_at_the_next_attempt():
    trying = asyncio.Event()

    async def attempt() -> None:
        try:
            trying.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable("took it for an outage") from None

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(
            patiently(attempt, away=(Unavailable,), what="redis"), name="patient"
        )
        await trying.wait()
        task.cancel()
    assert task.cancelled()
