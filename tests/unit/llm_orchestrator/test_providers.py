import pytest

from llm_orchestrator.providers import MOST_LIMITED_S, RETRY_S, Preference, Providers
from mesh.breaker import FAILURES, REST_S
from mesh.errors import Overloaded, Rejected, Unavailable
from tests.fakes.llm import FakeEngine, Model


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def providers(clock):
    engines = {name: FakeEngine(Model(), f"{name}-1") for name in ("one", "two")}
    return Providers(engines, {"three": "set THREE_KEY"}, clock)


def names(attempts):
    return [(attempt.provider.name, attempt.model) for attempt in attempts]


def test_no_preference_takes_the_chain_in_order(providers):
    assert names(providers.plan([])) == [("one", ""), ("two", "")]


def test_preferences_are_tried_in_their_order_and_nothing_else(providers):
    wanted = [Preference("two", "two-9"), Preference("one")]
    assert names(providers.plan(wanted)) == [("two", "two-9"), ("one", "")]
    assert names(providers.plan(wanted[:1])) == [("two", "two-9")]


def test_every_realtime_model_means_the_chain(providers):
    for model in ("gpt-realtime", "gpt-realtime-mini", "gpt-realtime-2026-08-01", ""):
        assert names(providers.plan([Preference("", model)])) == [("one", ""), ("two", "")]


def test_a_model_without_a_provider_finds_who_is_configured_for_it(providers):
    assert names(providers.plan([Preference("", "two-1")])) == [("two", "")]


def test_a_model_nobody_is_configured_for_is_a_mistake(providers):
    with pytest.raises(Rejected, match="gpt-9") as caught:
        providers.plan([Preference("", "gpt-9")])
    assert caught.value.param == "models"


def test_a_provider_that_does_not_exist_is_a_mistake_that_lists_those_that_do(providers):
    with pytest.raises(Rejected, match="one, two, three"):
        providers.plan([Preference("four")])


def test_a_provider_that_takes_no_part_is_passed_over(providers):
    assert names(providers.plan([Preference("three"), Preference("two")])) == [("two", "")]


def test_asking_only_for_one_that_takes_no_part_says_what_it_lacks(providers):
    with pytest.raises(Unavailable, match="THREE_KEY"):
        providers.plan([Preference("three")])


def test_a_provider_rests_after_five_failures_and_then_gets_one_trial(providers, clock):
    one = providers.all[0]
    for _ in range(FAILURES):
        assert one.allows()
        one.failed(Unavailable("down"))
    assert not one.allows()
    assert not one.available
    clock.now_s += REST_S
    assert one.allows()
    assert not one.allows()
    one.succeeded()
    assert one.available


def test_a_refused_request_says_nothing_about_the_provider(providers):
    one = providers.all[0]
    for _ in range(2 * FAILURES):
        assert one.allows()
        one.failed(Rejected("bad request"))
    assert one.available


def test_a_trial_that_we_stop_leaves_room_for_the_next(providers, clock):
    one = providers.all[0]
    for _ in range(FAILURES):
        one.failed(Unavailable("down"))
    clock.now_s += REST_S
    assert one.allows()
    one.released()
    assert one.allows()


def test_a_provider_that_is_away_is_not_asked(providers):
    one = providers.all[0]
    one.engine.available = False
    assert not one.allows()
    assert [p.name for p in providers.all if p.available] == ["two"]


def test_a_provider_that_limits_us_is_left_alone_until_it_says(providers, clock):
    one = providers.all[0]
    one.failed(Overloaded("full", retry_after_s=7.0))
    assert (one.allows(), one.available, one.promises, one.rest_s) == (False, False, False, 7.0)
    assert providers.next_change_s == providers.retry_after_s == 7.0
    clock.now_s += 7.0
    assert one.allows()
    assert providers.next_change_s is None
    one.failed(Overloaded("full", retry_after_s=86400.0))
    assert one.rest_s == MOST_LIMITED_S


def test_a_trial_under_way_is_a_promise_and_a_rest_is_none(providers, clock):
    one = providers.all[0]
    for _ in range(FAILURES):
        assert one.promises
        one.failed(Unavailable("down"))
    assert not one.promises
    assert providers.changed.is_set()
    clock.now_s += REST_S
    assert one.promises
    assert one.allows()
    assert one.promises
    providers.changed.clear()
    one.succeeded()
    assert providers.changed.is_set()


def test_when_nothing_is_known_to_try_again_soon_is_advised(providers):
    assert providers.nobody().retry_after_s == RETRY_S


def test_when_all_rest_the_error_says_how_long(providers):
    for provider in providers.all:
        for _ in range(FAILURES):
            provider.failed(Unavailable("down"))
    assert providers.nobody().retry_after_s == REST_S
