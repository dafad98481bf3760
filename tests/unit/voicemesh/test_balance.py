"""Places of a real HAProxy, set from a list in a real Redis."""

from __future__ import annotations

import asyncio
import signal
import sys
import zlib

import aiohttp
import pytest
from aiohttp import web

from mesh.config import environment
from mesh.redis import connect
from mesh.registry import Registry
from tests import haproxy as edges
from voicemesh import balance
from voicemesh.balance import Admin, Balancer, HaproxyError, Place, parse, wanted

PLACES = [Place(f"gw{n}", "127.0.0.1:1", is_open=False) for n in range(1, 9)]


def with_open(**places):
    return [Place(p.name, places.get(p.name, p.address), p.name in places) for p in PLACES]


@pytest.fixture(scope="module")
def running_edge():
    with edges.running() as edge:
        yield edge


@pytest.fixture
async def edge(running_edge):
    """With no gateways yet."""
    admin = Admin(running_edge.admin)
    for place in await admin.places():
        if place.is_open:
            await admin.close(place.name)
    return running_edge


@pytest.fixture
async def gateways(streams_url):
    redis = connect(streams_url, timeout_s=2)
    yield Registry(redis, balance.KIND, lives_s=0.5)
    await redis.aclose()


@pytest.fixture
async def gateway(aiohttp_server):
    """Starts what HAProxy takes for a gateway, at an address."""

    async def start(status=200):
        async def answer(request):
            return web.Response(text=request.host, status=answer.status)

        answer.status = status
        app = web.Application()
        app.router.add_get("/{any:.*}", answer)
        server = await aiohttp_server(app)
        return f"127.0.0.1:{server.port}", answer

    return start


async def open_places(edge):
    return {p.name: p.address for p in await Admin(edge.admin).places() if p.is_open}


async def status_of(edge):
    async with aiohttp.ClientSession() as http, http.get(f"{edge.url}/v1/models") as answer:
        return answer.status


async def until(asked, expected):
    async with asyncio.timeout(10):
        while await asked() != expected:
            await asyncio.sleep(0.05)


def test_an_address_stays_in_its_place_whoever_comes():
    at = with_open(gw2="10.0.0.1:8080", gw7="10.0.0.2:8080")
    for n in range(3, 7):
        addresses = [f"10.0.0.{k}:8080" for k in range(1, n)]
        found = wanted(at, addresses)
        assert sorted(found.values()) == addresses
        assert (found["gw2"], found["gw7"]) == ("10.0.0.1:8080", "10.0.0.2:8080")


def test_one_that_comes_back_gets_the_place_it_had():
    was = [Place(p.name, "10.0.0.1:8080" if p.name == "gw5" else p.address, False) for p in PLACES]
    assert wanted(was, ["10.0.0.1:8080"]) == {"gw5": "10.0.0.1:8080"}


def test_two_balancers_choose_the_same_places_whatever_the_order():
    addresses = [f"10.0.0.{k}:8080" for k in range(1, 6)]
    assert wanted(PLACES, addresses) == wanted(PLACES, reversed(addresses))
    for address in addresses:
        first = f"gw{zlib.crc32(address.encode()) % len(PLACES) + 1}"
        assert wanted(PLACES, [address]) == {first: address}


def test_with_more_gateways_than_places_all_places_are_taken():
    found = wanted(PLACES, [f"10.0.0.{k}:8080" for k in range(20)])
    assert len(found) == len(set(found.values())) == len(PLACES)


def test_an_open_place_wins_over_a_closed_one_with_the_same_address():
    at = [Place("gw1", "10.0.0.1:1", is_open=False), Place("gw2", "10.0.0.1:1", is_open=True)]
    assert wanted(at, ["10.0.0.1:1"]) == {"gw2": "10.0.0.1:1"}


def test_an_answer_without_places_is_an_error():
    with pytest.raises(HaproxyError, match="Can't find backend"):
        parse("Can't find backend.\n")


async def test_a_listed_gateway_serves_and_one_that_left_does_not(edge, gateways, gateway):
    address, _ = await gateway()
    await gateways.register("a", {"address": address})
    balancer = Balancer(gateways, Admin(edge.admin), gone_s=1e-9)
    await balancer.look()
    await balancer.set()
    assert list((await open_places(edge)).values()) == [address]
    await until(lambda: status_of(edge), 200)
    await gateways.leave("a")
    await balancer.look()
    await balancer.set()
    assert await open_places(edge) == {}
    assert await status_of(edge) == 503


async def test_health_checks_decide_who_of_the_listed_gets_clients(edge, gateways, gateway):
    address, answer = await gateway()
    await gateways.register("a", {"address": address})
    balancer = Balancer(gateways, Admin(edge.admin))
    await balancer.look()
    await balancer.set()
    await until(lambda: status_of(edge), 200)
    answer.status = 404  # it drains; 503 comes from HAProxy, which has nobody else
    await until(lambda: status_of(edge), 503)


async def test_a_gateway_missing_for_a_moment_keeps_its_place(edge, gateways, gateway):
    address, _ = await gateway()
    await gateways.register("a", {"address": address})
    balancer = Balancer(gateways, Admin(edge.admin), gone_s=60)
    await balancer.look()
    await balancer.set()
    before = await open_places(edge)
    await gateways.leave("a")
    await balancer.look()
    await balancer.set()
    assert await open_places(edge) == before != {}


async def test_a_name_is_looked_up(edge, gateways):
    await gateways.register("a", {"address": "localhost:4711"})
    await gateways.register("b", {"address": "no.such.host.invalid:1"})
    balancer = Balancer(gateways, Admin(edge.admin))
    await balancer.look()
    await balancer.set()
    [address] = (await open_places(edge)).values()
    assert address in ("127.0.0.1:4711", "[::1]:4711")


async def test_without_redis_the_last_view_stays_even_for_a_new_haproxy(own_redis):
    redis = connect(own_redis.url)
    gateways = Registry(redis, balance.KIND)
    await gateways.register("a", {"address": "127.0.0.1:4711"})
    with edges.running() as edge:
        async with asyncio.TaskGroup() as tasks:
            balancer = Balancer(gateways, Admin(edge.admin), gone_s=0.1)
            running = tasks.create_task(balancer.run())
            await until(lambda: _addresses(edge), ["127.0.0.1:4711"])
            own_redis.stop()
            edge.stop()
            edge.start()
            await until(lambda: _addresses(edge), ["127.0.0.1:4711"])
            running.cancel()
    await redis.aclose()


async def _addresses(edge):
    return list((await open_places(edge)).values())


async def test_a_haproxy_that_is_away_is_an_error(tmp_path):
    for at in (str(tmp_path / "nothing.sock"), "127.0.0.1:1"):
        with pytest.raises(HaproxyError):
            await Admin(at).places()


async def test_a_place_that_is_not_there_is_an_error(edge):
    with pytest.raises(HaproxyError, match="No such server"):
        await Admin(edge.admin).close("gw4711")


async def test_the_command_fills_haproxy_until_it_is_told_to_stop(edge, gateways, streams_url):
    await gateways.register("a", {"address": "127.0.0.1:4712"})
    env = {**environment(), "REDIS_URL": streams_url, "HAPROXY_ADMIN": edge.admin}
    command = [sys.executable, "-m", "voicemesh", "balance"]
    process = await asyncio.create_subprocess_exec(*command, env=env)
    try:

        async def addresses():
            await gateways.register("a", {"address": "127.0.0.1:4712"})
            return await _addresses(edge)

        await until(addresses, ["127.0.0.1:4712"])
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
