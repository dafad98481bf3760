import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import grpc
import pytest

from mesh import log as logs
from mesh.breaker import FAILURES, State
from mesh.dial import metadata
from mesh.errors import (
    Broken,
    Draining,
    MeshError,
    Missing,
    Overloaded,
    Rejected,
    Stale,
    TooSlow,
    Unavailable,
    answering,
)

ROOT = Path(__file__).parents[3]
CALL = "/test.Test/Call"

TIER = """
import asyncio, sys
from mesh.serve import Server

async def main():
    server = Server("stt", "127.0.0.1", int(sys.argv[1]), add=lambda _: None, services=[])
    await server.start()
    await server.ready()
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Tier:
    """A tier in a process of its own."""

    port = 0

    async def start(self):
        path = os.pathsep.join(str(ROOT / folder) for folder in ("", "proto"))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TIER, str(self.port)),
            env={"PYTHONPATH": path},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            self.port = int(await self._process.stdout.readline())

    def signal(self, number):
        self._process.send_signal(number)

    async def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


@pytest.fixture
async def tier():
    tier = Tier()
    await tier.start()
    yield tier
    await tier.kill()


@pytest.fixture
async def moody(serve):
    """A server whose calls fail with what its `mood` is, or answer if that is None."""

    async def answer(request, context):
        async with answering(context):
            if server.mood is not None:
                raise server.mood
        return b"well"

    server = await serve(handlers={"Call": grpc.unary_unary_rpc_method_handler(answer)})
    server.mood = None
    await server.ready()
    return server


@pytest.fixture
def link(moody, dial):
    return dial(moody.port)


@pytest.fixture
async def watch():
    async with asyncio.TaskGroup() as tasks:
        started = []

        def watch(link):
            started.append(tasks.create_task(link.watch(), name="watch"))

        yield watch
        for task in started:
            task.cancel()


async def ask(link):
    with link.calling():
        return await link.channel.unary_unary(CALL)(b"", timeout=30)


async def fail(link, kind, times):
    for _ in range(times):
        with pytest.raises(kind):
            await ask(link)


async def test_watch_follows_the_health_of_the_tier(serve, dial, watch, until):
    server = await serve()
    link = dial(server.port)
    watch(link)
    assert not link.serving
    await server.ready()
    await until(lambda: link.serving)
    await server.unready()
    await until(lambda: not link.serving)
    await server.ready()
    await until(lambda: link.serving)
    await server.drain()
    await until(lambda: not link.serving)


async def test_a_killed_tier_is_noticed_and_found_again(tier, dial, watch, until):
    link = dial(tier.port)
    watch(link)
    await until(lambda: link.serving)
    await tier.kill()
    await until(lambda: not link.serving)
    await tier.start()
    await until(lambda: link.serving)


async def test_a_tier_that_hangs_is_noticed(tier, dial, watch, until):
    """With gRPC's documented keepalive options this takes a minute."""
    link = dial(tier.port)
    watch(link)
    await until(lambda: link.serving)
    tier.signal(signal.SIGSTOP)
    await until(lambda: not link.serving)
    tier.signal(signal.SIGCONT)
    await until(lambda: link.serving)


async def test_nobody_there_is_not_serving(dial, watch, until, unused_tcp_port, caplog):
    caplog.set_level("DEBUG", logger="mesh.dial")
    link = dial(unused_tcp_port)
    watch(link)
    await until(lambda: "health unknown" in caplog.messages)
    assert not link.serving


async def test_a_call_that_is_answered_is_answered(link):
    assert await ask(link) == b"well"


@pytest.mark.parametrize("kind", [Unavailable, TooSlow, Broken])
async def test_the_breaker_opens_after_five_failures(moody, link, kind, caplog):
    moody.mood = kind("no memory")
    await fail(link, kind, FAILURES)
    assert link.breaker.state is State.OPEN
    with pytest.raises(Unavailable, match="stt: the breaker is open") as raised:
        await ask(link)
    assert 29 < raised.value.retry_after_s <= 30
    with pytest.raises(Unavailable, match="the breaker is open"):
        link.check()
    opened = [r for r in caplog.records if r.message == "breaker opened"]
    assert [(r.tier, r.reason) for r in opened] == [("stt", "no memory")]


@pytest.mark.parametrize("kind", [Overloaded, Rejected, Missing, Stale])
async def test_what_says_that_the_peer_is_well_does_not_open_it(moody, link, kind):
    moody.mood = Broken("no memory")
    await fail(link, Broken, FAILURES - 1)
    moody.mood = kind("not now")
    await fail(link, kind, 1)
    moody.mood = Broken("no memory")
    await fail(link, Broken, FAILURES - 1)
    assert link.breaker.state is State.CLOSED


async def test_a_tier_that_is_going_away_is_not_held_against_the_next(moody, link):
    moody.mood = Draining("going away")
    await fail(link, Draining, 2 * FAILURES)
    moody.mood = None
    assert await ask(link) == b"well"


async def test_health_that_comes_back_gives_a_trial_at_once(moody, link, watch, until):
    watch(link)
    await until(lambda: link.serving)
    moody.mood = Unavailable("no memory")
    await fail(link, Unavailable, FAILURES)
    moody.mood = None
    with pytest.raises(Unavailable, match="the breaker is open"):
        await ask(link)
    await moody.unready()
    await until(lambda: not link.serving)
    await moody.ready()
    await until(lambda: link.serving)
    assert await ask(link) == b"well"
    assert link.breaker.state is State.CLOSED


async def test_a_new_process_has_none_of_the_failures_of_the_one_before(
    serve, moody, link, watch, until
):
    watch(link)
    await until(lambda: link.serving)
    moody.mood = Unavailable("no memory")
    await fail(link, Unavailable, FAILURES)
    await moody.stop()
    await until(lambda: not link.answers)
    successor = await serve(port=moody.port)
    await until(lambda: link.answers)
    assert link.breaker.state is State.OPEN, "it does not serve yet"
    await successor.ready()
    await until(lambda: link.serving)
    assert link.breaker.state is State.CLOSED


async def test_a_cancelled_trial_leaves_its_place_to_the_next(link):
    for _ in range(FAILURES):
        link.failed(Broken("no memory"))
    link.breaker.revived()
    with pytest.raises(asyncio.CancelledError), link.calling():
        raise asyncio.CancelledError
    assert await ask(link) == b"well"


async def test_a_stream_that_answers_closes_the_breaker(link, caplog):
    caplog.set_level("INFO")
    for _ in range(FAILURES):
        link.failed(Broken("no memory"))
    link.breaker.revived()
    link.check()
    link.answered()
    assert link.breaker.state is State.CLOSED
    assert "breaker closed" in caplog.messages


async def test_the_error_of_a_call_is_ours(moody, link):
    moody.mood = Rejected("must be positive", param="rate")
    with pytest.raises(MeshError) as raised:
        await ask(link)
    assert (raised.value.tier, raised.value.param) == ("stt", "rate")


def test_every_call_carries_the_ids_of_the_log_context():
    assert metadata() == []
    with logs.bound(tenant_id="acme", session_id="sess_1", correlation_id="corr_1"):
        assert metadata() == [
            ("x-tenant-id", "acme"),
            ("x-session-id", "sess_1"),
            ("x-correlation-id", "corr_1"),
        ]
    with logs.bound(tenant_id="acme"):
        assert metadata() == [("x-tenant-id", "acme")]


async def test_a_stub_is_made_once(link):
    made = []

    def stub(channel):
        made.append(channel)
        return object()

    assert link.stub(stub) is link.stub(stub)
    assert made == [link.channel]


async def test_a_link_is_idle_while_no_call_is_open(link):
    with link.held():
        with link.calling():
            assert not link.is_idle.is_set()
        assert not link.is_idle.is_set()
    assert link.is_idle.is_set()
    with pytest.raises(Rejected), link.calling():
        raise Rejected("no")
    assert link.is_idle.is_set()
