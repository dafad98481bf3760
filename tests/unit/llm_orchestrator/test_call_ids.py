import re

from llm_orchestrator.call_ids import CallIds, mint


def test_an_id_that_fits_is_kept():
    assert CallIds([]).fit("call_abc-1") == "call_abc-1"


def test_an_id_that_does_not_fit_is_replaced_by_one_that_does():
    for given in ("", "x" * 33, "call 1", "call:1", "cäll"):
        assert re.fullmatch(r"call_[0-9a-f]{24}", CallIds([]).fit(given))


def test_an_id_is_given_only_once():
    ids = CallIds(["call_0"])
    assert ids.fit("call_0") != "call_0"
    assert ids.fit("call_1") == "call_1"
    assert ids.fit("call_1") != "call_1"


def test_minted_ids_differ():
    assert mint() != mint()
