import sys

import pytest

from voicemesh.ports import LOOPBACK
from voicemesh.tiers import Tier, fleet

GATEWAY = Tier(
    name="gateway", module="gateway", host="0.0.0.0", port=8080, metrics_port=9101, drain_s=3.0
)


def spare():
    return iter(range(20_000, 20_100))


def test_it_is_called_on_this_machine_whatever_it_listens_on():
    assert GATEWAY.target == "127.0.0.1:8080"
    assert GATEWAY.command == [sys.executable, "-P", "-m", "gateway"]
    assert GATEWAY.port_variable == "PORT"


def test_one_gateway_is_the_tier_itself():
    assert fleet(GATEWAY, 1, spare()) == [GATEWAY]


def test_the_first_of_several_has_the_ports_that_were_asked_for():
    made = fleet(GATEWAY, 3, spare())
    assert [one.name for one in made] == ["gateway-1", "gateway-2", "gateway-3"]
    assert (made[0].port, made[0].metrics_port) == (8080, 9101)
    assert {one.host for one in made} == {"0.0.0.0"}
    assert len({port for one in made for port in (one.port, one.metrics_port)}) == 6


@pytest.mark.parametrize("n", [1, 3])
def test_behind_haproxy_nobody_else_reaches_them(n):
    made = fleet(GATEWAY, n, spare(), behind=True)
    assert len(made) == n
    assert {one.host for one in made} == {LOOPBACK}
    assert 8080 not in {one.port for one in made}
    assert made[0].metrics_port == 9101
