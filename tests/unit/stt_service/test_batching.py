import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesh.errors import Unavailable
from stt_service.batching import Batcher, Forming, Member, Step

LIMIT_S = 30


def step(name: str, number: int, *, kind: str = "encode", rank: int = 0, at_s: float = 0.0) -> Step:
    return Step(Member(rank, number), kind, list, name, at_s)


def names(steps: list[Step]) -> list[str]:
    return [step.item for step in steps]


@pytest.fixture
def forming() -> Forming:
    return Forming(most=3, wait_s=0.005)


def test_who_came_first_goes_first_and_those_alike_go_with_it(forming):
    forming.add(step("c", 3))
    forming.add(step("b", 2, kind="decode"))
    forming.add(step("a", 1))
    assert names(forming.take()) == ["a", "c"]
    assert names(forming.take()) == ["b"]
    assert forming.wait_s(0.0) is None


def test_finals_go_before_guesses(forming):
    forming.add(step("guess", 1, kind="decode", rank=1))
    forming.add(step("final", 2))
    assert names(forming.take()) == ["final"]


def test_a_guess_goes_with_finals_where_there_is_a_place_left(forming):
    for number in range(1, 4):
        forming.add(step(f"guess {number}", number, rank=1))
    forming.add(step("final", 9))
    assert names(forming.take()) == ["final", "guess 1", "guess 2"]


def test_a_call_has_no_more_steps_than_it_may(forming):
    for number in range(5):
        forming.add(step(str(number), number))
    forming.members = 9
    assert forming.wait_s(0.0) == 0.0, "it is full"
    assert len(forming.take()) == 3


def test_one_alone_does_not_wait(forming):
    forming.members = 1
    forming.add(step("a", 1))
    assert forming.wait_s(0.0) == 0.0


def test_it_waits_for_members_who_may_still_ask_but_not_long(forming):
    forming.members = 3
    forming.add(step("a", 1, at_s=10.0))
    assert forming.wait_s(10.0) == pytest.approx(0.005)
    forming.add(step("b", 2, at_s=10.003))
    assert forming.wait_s(10.003) == pytest.approx(0.002)
    assert forming.wait_s(10.006) == 0.0
    forming.members = 2
    assert forming.wait_s(10.003) == 0.0, "nobody else can ask"


def test_members_whose_call_is_under_way_are_not_waited_for(forming):
    forming.members, forming.busy = 3, 2
    forming.add(step("a", 1))
    assert forming.wait_s(0.0) == 0.0


def asked_by(batcher: Batcher, do, items: list) -> list:
    """The results of items that as many threads ask for, all once they are members."""
    here = threading.Barrier(len(items))

    def ask(item):
        with batcher.member() as member:
            here.wait(LIMIT_S)
            return batcher.call(member, "kind", do, item)

    with ThreadPoolExecutor(len(items)) as threads:
        return list(threads.map(ask, items, timeout=LIMIT_S))


@pytest.fixture
def batcher():
    """It waits as long as it has to, so that machines that are slow change nothing."""
    batcher = Batcher("test", most=4, wait_s=LIMIT_S)
    yield batcher
    batcher.close()


def test_what_threads_ask_for_is_done_in_one_call_and_each_has_its_own(batcher):
    calls = []

    def double(items):
        calls.append((threading.current_thread().name, sorted(items)))
        return [2 * item for item in items]

    assert asked_by(batcher, double, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert calls == [("test-0", [1, 2, 3, 4])]


def test_nobody_fails_for_another(batcher):
    def invert(items):
        return [1 / item for item in items]

    here, results = threading.Barrier(3), {}

    def ask(item):
        with batcher.member() as member:
            here.wait(LIMIT_S)
            try:
                results[item] = batcher.call(member, "kind", invert, item)
            except ZeroDivisionError:
                results[item] = "failed"

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(ask, [0, 1, 2], timeout=LIMIT_S))
    assert results == {0: "failed", 1: 1.0, 2: 0.5}


def test_one_who_leaves_is_not_waited_for(batcher):
    with ThreadPoolExecutor(1) as threads, batcher.member() as member:
        with batcher.member():
            asked = threads.submit(batcher.call, member, "kind", list, "a")
            assert not asked.done()
        assert asked.result(LIMIT_S) == "a"


def test_closed_it_lets_its_call_end_and_drops_what_waits():
    batcher = Batcher("test", most=1, wait_s=0.0)
    began, may_end = threading.Event(), threading.Event()

    def work(items):
        began.set()
        assert may_end.wait(LIMIT_S)
        return items

    with ThreadPoolExecutor(3) as threads, batcher.member() as one, batcher.member() as other:
        runs = threads.submit(batcher.call, one, "kind", work, "a")
        assert began.wait(LIMIT_S)
        waits = threads.submit(batcher.call, other, "kind", work, "b")
        closing = threads.submit(batcher.close)
        may_end.set()
        closing.result(LIMIT_S)
        assert runs.result(LIMIT_S) == "a"
        with contextlib.suppress(Unavailable):  # it may have come before `close` did
            assert waits.result(LIMIT_S) == "b"
        with pytest.raises(Unavailable):
            batcher.call(one, "kind", work, "c")
