from persistence.health import Readiness


def test_nothing_is_served_before_postgres_answered():
    assert not Readiness(unhealthy_s=10).tell(0, answers=False)


def test_a_short_outage_is_ridden_out():
    readiness = Readiness(unhealthy_s=10)
    assert readiness.tell(0, answers=True)
    assert readiness.tell(10, answers=False)


def test_a_long_outage_ends_serving_until_postgres_answers_again():
    readiness = Readiness(unhealthy_s=10)
    readiness.tell(0, answers=True)
    assert not readiness.tell(10.1, answers=False)
    assert readiness.tell(11, answers=True)
