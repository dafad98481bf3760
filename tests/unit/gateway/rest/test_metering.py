import pytest

from gateway.allowance import Allowance
from gateway.rest.answers import Later
from gateway.rest.metering import take_request


def test_requests_are_counted_and_refused_beyond_the_limit():
    allowance = Allowance(1, 0, clock=lambda: 0.0)
    take_request(allowance, "acme")
    with pytest.raises(Later) as raised:
        take_request(allowance, "acme")
    assert raised.value.wait_s == 60
    assert raised.value.refusal.code == "rate_limit_exceeded"
    take_request(allowance, "other")
