import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stt_service.pool import Claim, Pool

LIMIT_S = 20


@pytest.fixture
def made() -> list[str]:
    return []


@pytest.fixture
def pool(made):
    """Four things, of which one is kept."""
    return of(made, most=4)


def of(made: list[str], most: int) -> Pool:
    names = itertools.count()

    def make() -> str:
        made.append(f"thing {next(names)}")
        return made[-1]

    return Pool(make, made.remove, most=most, ready=1)


def taken(pool, tenant: str, *, rank: int = 1, deadline_s: float = 0.0) -> Claim:
    claim = Claim(tenant)
    pool.take(claim, rank=rank, deadline_s=deadline_s)
    return claim


def test_things_are_made_when_they_are_needed_and_used_again(pool, made):
    assert len(made) == 1
    one, other = taken(pool, "a"), taken(pool, "a")
    assert (one.thing, other.thing) == ("thing 0", "thing 1")
    assert pool.take(one, rank=0, deadline_s=0.0) == "thing 0", "and stays its own"
    pool.give_back(one)
    pool.give_back(one)
    assert taken(pool, "b").thing == "thing 0"
    assert len(made) == 2


def test_what_is_ready_is_left_to_tenants_that_have_none(pool, made):
    one, _ = taken(pool, "many"), taken(pool, "many")
    pool.give_back(one)
    assert taken(pool, "many").thing == "thing 2", "another is made"
    assert taken(pool, "polite").thing == "thing 0"
    assert len(made) == 3


def test_the_last_are_for_tenants_that_have_none(pool):
    many = [taken(pool, "many") for _ in range(5)]
    assert [claim.granted for claim in many] == [True] * 3 + [False] * 2
    assert taken(pool, "polite").thing == "thing 3"
    assert not taken(pool, "third").granted


def test_where_there_are_few_none_are_kept(made):
    pool = of(made, most=2)
    assert [taken(pool, "many").granted for _ in range(3)] == [True, True, False]


def test_what_is_given_back_goes_to_who_is_next_in_line(pool):
    many = [taken(pool, "many") for _ in range(6)]
    one, other = taken(pool, "one"), taken(pool, "other")
    assert (one.granted, other.granted) == (True, False)
    pool.give_back(many[0])
    assert (other.granted, many[3].granted) == (True, False)
    pool.give_back(one)
    assert not many[3].granted, "what came back is kept for others"
    pool.give_back(many[1])
    assert [claim.granted for claim in many] == [False, False, True, True, False, False]
    assert pool.take(many[3], rank=1, deadline_s=0.0) is not None


def test_of_a_tenant_the_lower_rank_and_the_earlier_deadline_come_first(made):
    pool = of(made, most=1)
    first = taken(pool, "a")
    live, late, soon = (taken(pool, "a", rank=r, deadline_s=d) for r, d in [(1, 1), (0, 9), (0, 5)])
    pool.take(live, rank=0, deadline_s=4.0)  # its speech has ended meanwhile
    order = []
    for claim in (first, live, soon, late):
        order.append([one.granted for one in (live, soon, late)])
        pool.give_back(claim)
    assert order == [
        [False, False, False],
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_who_leaves_the_line_is_granted_nothing(made):
    pool = of(made, most=1)
    first, second, third = taken(pool, "a"), taken(pool, "a"), taken(pool, "a")
    pool.give_back(second)
    pool.give_back(first)
    assert (second.granted, third.granted) == (False, True)
    assert pool.take(second, rank=1, deadline_s=0.0) is None, "it stays given back"


def test_what_cannot_be_made_is_not_lost():
    attempts = []

    def make():
        attempts.append(1)
        if len(attempts) == 1:
            raise MemoryError
        return "thing"

    pool = Pool(make, len, most=1, ready=0)
    claim = Claim("a")
    with pytest.raises(MemoryError):
        pool.take(claim, rank=0, deadline_s=0.0)
    pool.give_back(claim)
    assert taken(pool, "b").thing == "thing"


def test_closed_it_gives_up_what_nobody_has(pool, made):
    claim = taken(pool, "a")
    taken(pool, "a")
    pool.give_back(claim)
    pool.close()
    assert made == ["thing 1"]


def test_no_thread_has_what_another_has(made):
    pool, at_work, lock = of(made, most=3), set(), threading.Lock()

    def work(n: int) -> int:
        claim = Claim(f"tenant {n % 3}")
        while (thing := pool.take(claim, rank=1, deadline_s=n)) is None:
            pass
        with lock:
            assert thing not in at_work
            at_work.add(thing)
        with lock:
            at_work.remove(thing)
        pool.give_back(claim)
        return n

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(200), timeout=LIMIT_S)) == list(range(200))
    assert len(made) <= 3
