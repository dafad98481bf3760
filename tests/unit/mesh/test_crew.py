import os
import sys
import threading

import pytest

from mesh.crew import NICE, Crew


@pytest.fixture
def crew(request):
    crew = Crew("crew", 2, yields=getattr(request, "param", False))
    yield crew
    crew.pool.shutdown()


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_no_more_threads_are_woken_than_there_are(crew):
    assert [crew.asks(n) for n in (1, 0, 5, 1)] == [1, 0, 1, 0]
    crew.asked -= 1  # one looks
    assert crew.asks(3) == 1


@pytest.mark.parametrize("crew", [False, True], indirect=True)
def test_who_yields_is_the_last_to_run(crew, request):
    yields = request.node.callspec.params["crew"] and sys.platform == "linux"
    expected = min(niceness() + NICE * yields, 19)
    assert crew.pool.submit(niceness).result(30) == expected
