"""Several processes, told as one instance."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from gateway.instance_pages import Member, Pages, merged
from tests.ports import free_ports

PAGE = """\
# HELP gateway_sessions Open sessions.
# TYPE gateway_sessions gauge
gateway_sessions {sessions}
# HELP gateway_handshakes_total WebSocket handshakes by how they ended.
# TYPE gateway_handshakes_total counter
gateway_handshakes_total{{result="accepted"}} 3.0
# HELP gateway_wait_seconds How long.
# TYPE gateway_wait_seconds histogram
gateway_wait_seconds_bucket{{le="0.1"}} 1.0
gateway_wait_seconds_bucket{{le="+Inf"}} 2.0
gateway_wait_seconds_count 2.0
gateway_wait_seconds_sum 0.5
"""


class Process:
    """What an instance asks of one of its processes."""

    def __init__(self, number):
        self.status, self.sessions = 200, number
        self.app = web.Application()
        self.app.router.add_get("/readyz", self.readyz)
        self.app.router.add_get("/metrics", self.metrics)

    async def readyz(self, request):
        return web.json_response({"draining": False, "redis": True}, status=self.status)

    async def metrics(self, request):
        return web.Response(text=PAGE.format(sessions=self.sessions))


@pytest.fixture
async def processes(aiohttp_server):
    found = [Process(0), Process(1)]
    for process in found:
        process.server = await aiohttp_server(process.app)
    return found


@pytest.fixture
async def ask(processes):
    """Asks an instance of these processes."""
    members = [
        Member(n, "127.0.0.1", p.server.port, p.server.port) for n, p in enumerate(processes)
    ]
    members[1].restarts = 4
    pages = Pages(members, lambda: ask.is_draining)
    async with pages.serving("127.0.0.1", 0) as port, aiohttp.ClientSession() as http:

        async def ask(path):
            async with http.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.read()

        ask.is_draining = False
        yield ask


def samples(page):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


async def json(ask):
    status, body = await ask("/readyz")
    return status, msgspec.json.decode(body)


async def test_it_is_healthy_while_it_runs(ask):
    assert await ask("/healthz") == (200, b'{"status": "ok"}')


async def test_it_is_ready_when_all_its_processes_are(ask, processes):
    status, said = await json(ask)
    assert (status, said["ready"]) == (200, True)
    processes[1].status = 503
    status, said = await json(ask)
    assert (status, said["ready"]) == (503, False)
    assert [process["ready"] for process in said["processes"]] == [True, False]
    assert said["processes"][0]["redis"] is True


async def test_it_says_that_it_drains_as_a_process_does(ask):
    ask.is_draining = True
    status, said = await json(ask)
    assert (status, said["draining"], said["ready"]) == (404, True, False)


async def test_a_process_that_does_not_answer_is_not_ready_and_is_down(ask, processes):
    await processes[0].server.close()
    status, said = await json(ask)
    assert status == 503
    assert said["processes"][0] == {"process": 0, "ready": False}
    _, page = await ask("/metrics")
    found = samples(page)
    assert found["gateway_process_up", ("process", "0")] == 0
    assert found["gateway_process_up", ("process", "1")] == 1
    assert ("gateway_sessions", ("process", "0")) not in found
    assert found["gateway_sessions", ("process", "1")] == 1


async def test_metrics_of_all_processes_carry_their_number(ask):
    _, page = await ask("/metrics")
    found = samples(page)
    assert found["gateway_sessions", ("process", "0")] == 0
    assert found["gateway_sessions", ("process", "1")] == 1
    accepted = ("result", "accepted")
    assert found["gateway_handshakes_total", ("process", "1"), accepted] == 3
    bucket = found["gateway_wait_seconds_bucket", ("le", "0.1"), ("process", "0")]
    assert (bucket, found["gateway_wait_seconds_sum", ("process", "0")]) == (1, 0.5)
    assert found["gateway_process_restarts_total", ("process", "1")] == 4


def test_each_family_is_described_once():
    page = merged({0: PAGE.format(sessions=1), 1: PAGE.format(sessions=2)}, {}).decode()
    for name, kind in (("sessions", "gauge"), ("handshakes_total", "counter")):
        assert page.count(f"# HELP gateway_{name} ") == 1
        assert page.count(f"# TYPE gateway_{name} {kind}\n") == 1
    assert page.count("# TYPE gateway_wait_seconds histogram\n") == 1


async def test_a_port_in_use_is_an_error(aiohttp_server):
    server = await aiohttp_server(web.Application())
    with pytest.raises(OSError, match="address already in use"):
        async with Pages([], bool).serving("127.0.0.1", server.port):
            pass


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8/readyz"),
        ("::", "http://[::1]:8/readyz"),
        ("10.0.0.7", "http://10.0.0.7:8/readyz"),
    ],
)
def test_a_process_is_asked_where_it_listens(host, url):
    assert Member(0, host, 8, 9).readyz_url == url


async def test_nobody_there_is_no_failure():
    [port] = free_ports(1)
    pages = Pages([Member(0, "127.0.0.1", port, port)], bool)
    async with pages.serving("127.0.0.1", 0) as at, aiohttp.ClientSession() as http:
        assert (await http.get(f"http://127.0.0.1:{at}/readyz")).status == 503
