import logging

import pytest

from mesh.breaker import FAILURES
from mesh.chain import ENGINE_ABSENT, ENGINE_SERVES, Chain, announce
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


def names(entries):
    return [name for name, _ in entries]


def rested(chain, name):
    """The engine's rest is over, and nobody has tried it since."""
    for _ in range(FAILURES):
        chain.failed(name, "no memory")
    chain._breakers[name].revived()


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
    assert names(chain.ranked()) == ["second", "best"]
    assert names(chain.candidates()) == ["second", "best"], "as a last resort"
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


def test_after_a_rest_one_caller_is_the_trial_and_the_others_go_on():
    chain = load("best", "second")
    rested(chain, "best")
    assert chain.serving[0] == "best", "asking who serves takes no trial"
    trial, other = chain.candidates(), chain.candidates()
    assert next(trial)[0] == "best"
    assert next(other)[0] == "second"
    assert chain.serving[0] == "second"
    chain.worked("best")
    assert next(chain.candidates())[0] == "best"


def test_a_trial_that_fails_makes_it_rest_again():
    chain = load("best", "second")
    rested(chain, "best")
    assert chain.allows("best")
    chain.failed("best", "no memory")
    assert names(chain.candidates()) == ["second", "best"]


def test_a_trial_that_told_nothing_leaves_its_place_to_the_next():
    chain = load("best", "second")
    rested(chain, "best")
    assert chain.allows("best")
    assert not chain.allows("best")
    chain.released("best")
    assert chain.allows("best")


def test_who_is_skipped_is_not_asked_for():
    chain = load("best", "second")
    rested(chain, "best")
    skip = {"best"}
    assert names(chain.candidates(skip)) == ["second"]
    assert chain.allows("best"), "the trial is still to be had"


def test_what_there_is_is_announced_where_others_can_read_it(caplog):
    caplog.set_level(logging.INFO)
    announce(["best", "second"], {"unfit": "its weights are not here"})
    announce([], {})
    absent, serves = caplog.records
    assert (absent.message, absent.engine) == (ENGINE_ABSENT, "unfit")
    assert (serves.message, serves.engine) == (ENGINE_SERVES, "best")
    assert serves.chain == ["best", "second"]
