import pytest

from mesh.breaker import TRIAL_S, Breaker, State


@pytest.fixture
def breaker():
    return Breaker(failures=2, rest_s=5)


@pytest.fixture
def open_breaker(breaker):
    """It opened at second 1."""
    breaker.failed(now_s=0)
    breaker.failed(now_s=1)
    return breaker


def test_opens_rests_tries_once_and_closes(breaker):
    assert not breaker.failed(now_s=0)
    assert breaker.allows(now_s=0)
    assert breaker.failed(now_s=1), "this one opened it"
    assert not breaker.allows(now_s=5.9)
    assert breaker.allows(now_s=6)
    assert not breaker.allows(now_s=6), "only one caller is the trial"
    assert breaker.succeeded(), "this one closed it"
    assert breaker.allows(now_s=6)
    assert breaker.state is State.CLOSED


def test_only_failures_in_a_row_open_it(breaker):
    breaker.failed(now_s=0)
    assert not breaker.succeeded()
    breaker.failed(now_s=1)
    assert breaker.state is State.CLOSED


def test_a_trial_that_fails_opens_it_again(open_breaker):
    assert open_breaker.allows(now_s=6)
    assert open_breaker.failed(now_s=7)
    assert not open_breaker.allows(now_s=11.9)
    assert open_breaker.allows(now_s=12)


def test_a_trial_that_never_reports_is_given_up(open_breaker):
    assert open_breaker.allows(now_s=6)
    assert not open_breaker.allows(now_s=6 + TRIAL_S - 0.1)
    assert open_breaker.allows(now_s=6 + TRIAL_S)


def test_a_trial_that_told_nothing_leaves_its_place_to_the_next(open_breaker):
    assert open_breaker.allows(now_s=6)
    open_breaker.released()
    assert open_breaker.allows(now_s=6)
    assert not open_breaker.allows(now_s=6)


def test_a_call_that_told_nothing_changes_nothing_else(breaker, open_breaker):
    open_breaker.released()
    assert not open_breaker.allows(now_s=2)


def test_a_peer_that_says_it_is_well_gets_its_trial_at_once(open_breaker):
    open_breaker.revived()
    assert open_breaker.rest_s(now_s=2) == 0
    assert open_breaker.allows(now_s=2)
    open_breaker.revived()
    assert not open_breaker.allows(now_s=2), "the trial runs already"


def test_calls_from_before_that_fail_late_do_not_make_the_rest_longer(open_breaker):
    assert not open_breaker.failed(now_s=5)
    assert open_breaker.rest_s(now_s=5) == 1
    assert open_breaker.allows(now_s=6)


def test_a_peer_that_fails_after_its_rest_rests_again(open_breaker):
    """For callers that ask `rest_s` only, as the chain does."""
    open_breaker.failed(now_s=7)
    assert open_breaker.rest_s(now_s=7) == 5


def test_says_how_long_it_rests(breaker):
    assert breaker.rest_s(now_s=0) == 0
    breaker.failed(now_s=0)
    breaker.failed(now_s=1)
    assert breaker.rest_s(now_s=2) == 4
    assert breaker.rest_s(now_s=100) == 0
