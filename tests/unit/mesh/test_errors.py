import asyncio
import logging

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from mesh.errors import (
    DOMAIN,
    Broken,
    Draining,
    Forbidden,
    MeshError,
    Missing,
    Overloaded,
    Rejected,
    Stale,
    TooSlow,
    Unauthenticated,
    Unavailable,
    answering,
    calling,
    deadline_required,
    detail_of,
)
from ovos.common.v1 import common_pb2 as pb

CALL = "/test.Test/Call"


@pytest.fixture
async def call(serve, dial):
    """Calls a handler whose body is the function given: `await call(body, **options)`."""
    bodies = []

    async def one(request, context):
        async with answering(context):
            await bodies[-1](context)
        return b""

    async def many(request, context):
        async with answering(context):
            yield b"first"
            await bodies[-1](context)

    handlers = {
        "Call": grpc.unary_unary_rpc_method_handler(one),
        "Stream": grpc.unary_stream_rpc_method_handler(many),
    }
    link = dial((await serve(handlers=handlers)).port)

    async def call(body, *, stream=False, limit_s=5, metadata=()):
        bodies.append(body)
        with calling("stt"):
            if stream:
                stub = link.channel.unary_stream("/test.Test/Stream")
                return [m async for m in stub(b"", timeout=limit_s, metadata=metadata)]
            return await link.channel.unary_unary(CALL)(b"", timeout=limit_s, metadata=metadata)

    return call


def fails(error):
    async def body(context):
        raise error

    return body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        Unavailable, Draining, Overloaded, TooSlow, Rejected, Missing, Unauthenticated, Forbidden,
        Stale, Broken,
    ],
)  # fmt: skip
async def test_an_error_is_the_same_error_on_the_other_side(call, kind, stream):
    with pytest.raises(MeshError) as raised:
        await call(fails(kind("the model is gone", tier="elsewhere")), stream=stream)
    error = raised.value
    assert type(error) is kind
    assert (error.detail, error.tier) == ("the model is gone", "stt")
    assert str(error) == "stt: the model is gone"
    assert error.retry_after_s is None


async def test_when_to_try_again_and_what_was_wrong_travel_too(call):
    with pytest.raises(Overloaded) as raised:
        await call(fails(Overloaded("full", retry_after_s=1.25)))
    assert raised.value.retry_after_s == 1.25
    with pytest.raises(Rejected) as raised:
        await call(fails(Rejected("must be 8000 or more", param="config.format.sample_rate_hz")))
    assert raised.value.param == "config.format.sample_rate_hz"
    assert raised.value.code == ""
    with pytest.raises(Unavailable) as raised:
        await call(fails(Unavailable("no provider", code="insufficient_quota")))
    assert raised.value.code == "insufficient_quota"


async def test_the_status_has_error_info_and_retry_info_for_every_language(call):
    with pytest.raises(Draining) as raised:
        await call(fails(Draining("going", retry_after_s=0.5)))
    wire = raised.value.__cause__
    trailers = wire.trailing_metadata()
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.code == wire.code().value[0] == grpc.StatusCode.UNAVAILABLE.value[0]
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("ERROR_CODE_WORKER_DRAINING", DOMAIN)
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 500


@pytest.mark.parametrize("letter", ["x", "語", "🙂"])
async def test_a_long_detail_does_not_make_it_another_error(call, letter):
    """Trailers over 8 KB would fail the call as RESOURCE_EXHAUSTED, which is retried."""
    with pytest.raises(Rejected) as raised:
        await call(fails(Rejected(letter * 20_000)))
    assert raised.value.detail.startswith(letter * 100)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_is_internal_without_detail_and_logged_once(call, caplog, stream):
    with pytest.raises(Broken) as raised:
        await call(fails(KeyError("secret/path")), stream=stream)
    assert raised.value.__cause__.code() is grpc.StatusCode.INTERNAL
    assert raised.value.detail == "The service failed inside."
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.message == "handler failed"
    assert "secret/path" in str(record.exc_info[1])


async def test_an_error_of_ours_is_not_logged_as_a_bug(call, caplog):
    with pytest.raises(Missing):
        await call(fails(Missing("no such conversation")))
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_caller_that_leaves_is_no_bug(call, caplog):
    began, left = asyncio.Event(), asyncio.Event()

    async def body(context):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with asyncio.TaskGroup() as tasks:
        calls = tasks.create_task(call(body), name="call")
        await began.wait()
        calls.cancel()
    async with asyncio.timeout(30):
        await left.wait()
    assert caplog.messages == []


async def test_a_status_a_handler_sets_itself_is_kept(call):
    async def body(context):
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    with pytest.raises(Missing, match="stt: gone"):
        await call(body)


async def test_a_status_that_is_none_of_ours_means_the_other_side_is_broken(call):
    async def body(context):
        await context.abort(grpc.StatusCode.DATA_LOSS, "")

    with pytest.raises(Broken, match="stt: DATA_LOSS"):
        await call(body)


async def test_aborted_without_our_reason_is_not_taken_for_a_stale_attempt(call):
    async def body(context):
        await context.abort(grpc.StatusCode.ABORTED, "conflict")

    with pytest.raises(Broken, match="stt: conflict"):
        await call(body)


async def test_details_that_are_none_of_ours_do_no_harm(call):
    async def body(context):
        junk = (("grpc-status-details-bin", b"\xff\xff\xff"),)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "proxy", junk)

    with pytest.raises(Unavailable, match="stt: proxy"):
        await call(body)


async def test_a_deadline_that_passes_is_too_slow(call):
    async def body(context):
        await asyncio.Event().wait()

    with pytest.raises(TooSlow):
        await call(body, limit_s=0.05)


async def test_nobody_there_is_unavailable(dial, unused_tcp_port):
    with pytest.raises(Unavailable), calling("tts"):
        await dial(unused_tcp_port).channel.unary_unary(CALL)(b"", timeout=30)


async def test_a_call_without_a_deadline_is_refused(call):
    async def body(context):
        deadline_required(context)

    assert await call(body) == b""
    with pytest.raises(Rejected, match="set a deadline"):
        await call(body, limit_s=None)


def test_inside_a_stream_an_error_is_a_message():
    detail = detail_of(Overloaded("full", retry_after_s=2.5, param="p"))
    assert detail.code == pb.ERROR_CODE_WORKER_OVERLOADED
    assert (detail.message, detail.retryable, detail.param) == ("full", True, "p")
    assert detail.retry_after.ToMilliseconds() == 2500
    assert not detail_of(Rejected("wrong")).HasField("retry_after")
    assert not detail_of(Rejected("wrong")).retryable


def test_the_code_of_an_error_in_a_stream_is_in_its_metadata():
    detail = detail_of(Overloaded("full", code="rate_limit_exceeded"))
    assert dict(detail.metadata) == {"provider_code": "rate_limit_exceeded"}
    assert not detail_of(Overloaded("full")).metadata


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_write_that_the_caller_cut_off_is_no_bug(call, caplog, wrapped):
    async def writes(context):
        error = grpc.aio.InternalError()
        raise ExceptionGroup("tasks", [error]) if wrapped else error

    await call(writes)
    assert "handler failed" not in caplog.text


async def test_a_bug_beside_a_write_that_was_cut_off_is_told(call, caplog):
    async def fails(context):
        raise ExceptionGroup("tasks", [grpc.aio.InternalError(), ValueError("a bug")])

    with pytest.raises(Broken):
        await call(fails)
    assert "handler failed" in caplog.text
