import pytest

from mesh.fair_queue import FairQueue, Turn


def served(queue: FairQueue, n: int = 100) -> list:
    return [item for _ in range(n) if (item := queue.pop()) is not None]


@pytest.fixture
def queue() -> FairQueue:
    return FairQueue()


def push(queue, *items: str, **turn) -> None:
    for item in items:
        queue.push(item, Turn(**turn))


def test_all_alike_is_first_come_first_served(queue):
    push(queue, *"abc")
    assert len(queue) == 3
    assert served(queue) == [*"abc"]
    assert queue.pop() is None
    assert len(queue) == 0


def test_within_a_tenant_the_lower_rank_comes_first_then_the_earlier_deadline(queue):
    push(queue, "guess", rank=1, deadline_s=1)
    push(queue, "whenever")
    push(queue, "late", deadline_s=9)
    push(queue, "soon", deadline_s=5)
    push(queue, "soon, too", deadline_s=5)
    assert served(queue) == ["soon", "soon, too", "late", "whenever", "guess"]


def test_a_tenant_with_much_and_one_with_little_take_turns(queue):
    push(queue, *"aaaaaa", tenant="many")
    push(queue, *"bb", tenant="few")
    assert served(queue) == [*"ababaaaa"]


def test_one_who_comes_later_waits_for_nobody_who_has_had_more(queue):
    push(queue, *"aaaaaa", tenant="many")
    assert served(queue, 3) == [*"aaa"]
    push(queue, "b", tenant="polite")
    assert queue.pop() == "b"


def test_what_was_not_used_is_not_saved_up(queue):
    push(queue, *"aaaaaaaa", tenant="many")
    served(queue, 4)
    push(queue, *"bbbb", tenant="late")
    assert served(queue, 5).count("b") <= 3, "and not four turns at once"


def test_one_who_asks_for_one_thing_after_the_other_gets_no_more_than_a_share(queue):
    push(queue, *"aaaaaa", tenant="many")
    order = []
    for _ in range(6):
        if "b" not in order[-1:]:
            push(queue, "b", tenant="again and again")
        order.append(queue.pop())
    assert order.count("a") == 3


def test_rank_lets_others_pass_once_and_is_never_starved(queue):
    push(queue, "guess", tenant="one", rank=1)
    push(queue, *"ffffff", tenant="two")
    push(queue, *"ffffff", tenant="three")
    order = served(queue)
    assert 2 <= order.index("guess") <= 4


def test_what_is_dropped_does_not_come_and_costs_no_turn(queue):
    place = queue.push("no", Turn(tenant="one"))
    push(queue, "yes", tenant="one")
    push(queue, "other", tenant="two")
    queue.drop(place)
    queue.drop(place)
    assert len(queue) == 2
    assert served(queue) == ["yes", "other"]
    queue.drop(place)


def test_only_what_is_asked_for_is_taken_in_the_same_order(queue):
    push(queue, "a1", "b1", "a2", tenant="one")
    push(queue, "a3", tenant="two")
    assert queue.pop(lambda item: item[0] == "c") is None
    alike = [queue.pop(lambda item: item[0] == "a") for _ in range(4)]
    assert alike == ["a1", "a3", "a2", None]
    assert served(queue) == ["b1"]


def test_tenants_that_have_gone_are_forgotten(queue):
    for n in range(50):
        push(queue, "x", tenant=f"tenant {n}")
        queue.pop()
    assert len(queue._lanes) <= 1
