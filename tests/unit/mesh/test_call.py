"""Who calls, what comes first and whether there is room, over real gRPC."""

import asyncio
import logging

import grpc
import pytest
from prometheus_client import CollectorRegistry, Gauge

from mesh import call
from mesh import log as logs
from mesh.errors import (
    Broken,
    MeshError,
    Overloaded,
    Rejected,
    Stale,
    TooSlow,
    Unauthenticated,
    calling,
)
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb
from tests.unit.mesh.conftest import SERVICE

ACME = (("x-tenant-id", "acme"), ("x-session-id", "sess_1"), ("x-correlation-id", "corr_1"))
CONFIG = pb.AppendRecordsRequest(config=pb.AppendConfig(producer_id="test"))
FINISH = pb.AppendRecordsRequest(finish=pb.FinishAppend())


@pytest.fixture
async def ask(serve, dial):
    """Calls a server whose handler's body is `body(requests, context)`."""
    bodies = []

    async def handler(requests, context):
        await bodies[-1](requests, context)

    server = await serve(
        handlers={
            "Call": grpc.stream_stream_rpc_method_handler(
                handler, request_deserializer=pb.AppendRecordsRequest.FromString
            )
        }
    )
    method = dial(server.port).channel.stream_stream(
        f"/{SERVICE}/Call", request_serializer=pb.AppendRecordsRequest.SerializeToString
    )

    async def ask(body, *messages, metadata=ACME, limit_s=5, ends=True):
        bodies.append(body)
        with calling("stt"):
            stream = method(metadata=metadata, timeout=limit_s)
            for message in messages:
                await stream.write(message)
            if ends:
                await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF

    return ask


async def test_the_metadata_says_who_calls(ask):
    callers = []

    async def body(requests, context):
        async with call.served(context) as caller:
            callers.append(caller)
            callers.append((logs.tenant_id.get(), logs.session_id.get(), logs.correlation_id.get()))

    await ask(body)
    assert callers == [call.Caller("acme", "sess_1", "corr_1"), ("acme", "sess_1", "corr_1")]
    await ask(body, metadata=ACME[:1])
    assert callers[2:] == [call.Caller("acme"), ("acme", "", "")]
    for metadata in ((), (("x-tenant-id", ""),), ACME[1:]):
        with pytest.raises(Unauthenticated, match="x-tenant-id is missing"):
            await ask(body, metadata=metadata)


async def test_only_streams_of_an_open_length_need_no_deadline(ask):
    async def unary(requests, context):
        async with call.served(context):
            pass

    async def stream(requests, context):
        async with call.served(context, needs_deadline=False):
            pass

    await ask(stream, limit_s=None)
    with pytest.raises(Rejected, match="set a deadline"):
        await ask(unary, limit_s=None)


async def test_a_bug_is_logged_with_the_ids_of_the_caller(ask, caplog):
    ids = []

    class Ids(logging.Filter):
        def filter(self, record):
            ids.append((record.message, logs.session_id.get()))
            return True

    watch = Ids()
    caplog.handler.addFilter(watch)

    async def body(requests, context):
        async with call.served(context):
            raise ZeroDivisionError

    with pytest.raises(Broken):
        await ask(body)
    caplog.handler.removeFilter(watch)
    assert ids == [("handler failed", "sess_1")]


async def test_a_request_cannot_name_another_tenant():
    for tenant in ("", "acme"):
        call.check_tenant(common_pb2.SessionRef(tenant_id=tenant), "acme")
    with pytest.raises(Rejected) as raised:
        call.check_tenant(common_pb2.SessionRef(tenant_id="globex"), "acme")
    assert raised.value.param == "session.tenant_id"


async def test_a_stream_begins_with_its_config_and_goes_on_behind_it(ask):
    got = []

    async def body(requests, context):
        async with call.served(context):
            got.append((await call.first(requests, "config")).config.producer_id)
            got.extend([request.WhichOneof("payload") async for request in requests])

    await ask(body, CONFIG, FINISH)
    assert got == ["test", "finish"]
    for messages in ((FINISH,), (pb.AppendRecordsRequest(),), ()):
        with pytest.raises(Rejected, match="the first message must be config") as raised:
            await ask(body, *messages)
        assert raised.value.param == "config"


async def test_a_client_that_never_begins_is_hung_up_on(ask):
    async def body(requests, context):
        async with call.served(context):
            await call.first(requests, "config", within_s=0.01)

    with pytest.raises(TooSlow, match="no config came within"):
        await ask(body, ends=False)


def test_what_comes_out_of_place_is_named():
    assert (call.unexpected("commit").param, call.unexpected(None).param) == ("commit", "payload")
    assert call.unfinished().param == "finish"


def test_slots_are_refused_when_all_are_taken_and_come_back():
    gauge = Gauge("open", "Open.", registry=CollectorRegistry())
    slots = call.Slots(1, gauge)
    with slots.taken():
        assert (slots.open, gauge._value.get()) == (1, 1)
        with pytest.raises(Overloaded) as raised, slots.taken():
            pass
        assert raised.value.retry_after_s == call.RETRY_AFTER_S
    with slots.taken():
        pass
    assert (slots.open, gauge._value.get()) == (0, 0)


def test_the_last_slots_are_for_tenants_that_have_none():
    slots = call.Slots(4, Gauge("open", "Open.", registry=CollectorRegistry()), kept=2)
    with slots.taken("many"), slots.taken("many"):
        with pytest.raises(Overloaded), slots.taken("many"):
            pass
        with slots.taken("one"):
            with pytest.raises(Overloaded), slots.taken("one"):
                pass
            with slots.taken("another"), pytest.raises(Overloaded), slots.taken("third"):
                pass
    with slots.taken("many"):
        assert slots.open == 1


class Served:
    """An attempt being served, until something stops it."""

    def __init__(self):
        self.error: MeshError | None = None

    def stop(self, error):
        self.error = error


def test_a_strictly_newer_attempt_replaces_the_open_one():
    attempts, first, second = call.Attempts(), Served(), Served()
    with attempts.newest("acme", "sess_1", 1, first.stop):
        with attempts.newest("acme", "sess_1", 2, second.stop):
            assert isinstance(first.error, Stale)
            for late in (1, 2):
                with (
                    pytest.raises(Stale) as raised,
                    attempts.newest("acme", "sess_1", late, Served().stop),
                ):
                    pass
                assert raised.value.param == "session.attempt"
        assert second.error is None
    with attempts.newest("acme", "sess_1", 1, Served().stop):
        pass  # nothing is open: it may be another stream that begins


def test_the_end_of_a_replaced_attempt_leaves_the_new_one_in_its_place():
    attempts = call.Attempts()
    old = attempts.newest("acme", "sess_1", 1, Served().stop)
    old.__enter__()
    with attempts.newest("acme", "sess_1", 2, Served().stop):
        old.__exit__(None, None, None)
        with pytest.raises(Stale), attempts.newest("acme", "sess_1", 1, Served().stop):
            pass


def test_attempts_at_different_or_nameless_things_leave_each_other_alone():
    attempts, served = call.Attempts(), Served()
    with attempts.newest("acme", "sess_1", 2, served.stop):
        for tenant, name in (("acme", "sess_2"), ("globex", "sess_1"), ("acme", "")):
            with attempts.newest(tenant, name, 1, served.stop):
                pass
    with attempts.newest("acme", "", 2, served.stop), attempts.newest("acme", "", 1, served.stop):
        pass
    assert served.error is None


async def test_waiting_for_the_first_message_can_be_cancelled(ask):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def body(requests, context):
        begun.set()
        try:
            async with call.served(context):
                await call.first(requests, "config")
        finally:
            ended.set()

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask(body, ends=False))
        await begun.wait()
        asking.cancel()
    async with asyncio.timeout(30):
        await ended.wait()
