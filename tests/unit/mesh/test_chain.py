import logging

import pytest

from mesh.breaker import FAILURES
from mesh.chain import Chain
from mesh.errors import NotInstalled, Unavailable

ENGINES = {
    "best": "collections:OrderedDict",
    "second": "collections:Counter",
    "unpacked": "no_such_library.engine:Engine",
    "unfit": "collections:deque",
}


def make(engine):
    if engine.__name__ == "deque":
        raise NotInstalled("its weights are not here")
    return engine()


def load(*names):
    return Chain.load(names, ENGINES, make, "stt")


def test_the_first_that_loads_serves():
    chain = load("unfit", "second", "best")
    name, engine = chain.serving
    assert (name, type(engine).__name__) == ("second", "Counter")
    assert chain.names == ["second", "best"]


def test_what_does_not_load_takes_no_part_and_says_why(caplog):
    caplog.set_level(logging.INFO)
    chain = load("unpacked", "unfit", "best")
    assert chain.absent == {
        "unpacked": "No module named 'no_such_library'",
        "unfit": "its weights are not here",
    }
    absent = [r.engine for r in caplog.records if r.message == "engine absent"]
    assert absent == ["unpacked", "unfit"]


def test_if_nothing_loads_all_reasons_are_told():
    with pytest.raises(Unavailable, match=r"unpacked: No module.*; unfit: its weights") as raised:
        load("unpacked", "unfit")
    assert raised.value.tier == "stt"


def test_a_name_that_does_not_exist_is_told_before_anything_loads():
    with pytest.raises(ValueError, match=r"'bset'; there are: best, second, unfit, unpacked"):
        load("best", "bset")


def test_an_engine_named_twice_is_loaded_once():
    made = []
    chain = Chain.load(["best", "best"], ENGINES, lambda cls: made.append(cls), "stt")
    assert (len(made), chain.names) == (1, ["best"])


def test_an_engine_that_keeps_failing_makes_way_for_the_next(caplog):
    chain = load("best", "second")
    for _ in range(FAILURES - 1):
        chain.failed("best", "no memory")
    assert chain.serving[0] == "best"
    chain.failed("best", "no memory")
    assert chain.serving[0] == "second"
    assert [name for name, _ in chain.candidates()] == ["second", "best"], "as a last resort"
    [rests] = [r for r in caplog.records if r.message == "engine rests"]
    assert (rests.engine, rests.serving) == ("best", "second")


def test_an_engine_that_works_again_is_preferred_again(caplog):
    caplog.set_level(logging.INFO)
    chain = load("best", "second")
    for _ in range(FAILURES):
        chain.failed("best", "no memory")
    chain.worked("best")
    assert chain.serving[0] == "best"
    assert "engine recovered" in caplog.messages


def test_when_all_rest_the_first_serves():
    chain = load("best", "second")
    for name in ("best", "second"):
        for _ in range(FAILURES):
            chain.failed(name, "no memory")
    assert chain.serving[0] == "best"
