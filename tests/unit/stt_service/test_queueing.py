"""Submit and Watch over real gRPC, on a real Redis."""

import asyncio

import grpc
import pytest

from mesh.errors import from_rpc
from mesh.turns import PIECE_BYTES
from ovos.stt.v1 import stt_pb2 as pb
from stt_service.config import Config
from stt_service.queueing import MAX_AUDIO_BYTES
from tests.calls import failure_of
from tests.fakes.stt import FakeEngine
from tests.unit.stt_service.queue import CONFIG, TENTH
from tests.unit.stt_service.tier import TENANT, serving

INVALID = grpc.StatusCode.INVALID_ARGUMENT
OTHER = (("x-tenant-id", "other"),)
LIMIT_S = 30


def config(url, **changed) -> Config:
    return Config(port=0, drain_s=5.0, redis_url=url, **changed)


@pytest.fixture
async def tier(streams_url):
    async with serving(config(streams_url), fake=FakeEngine()) as tier:
        yield tier


def asked(*audio: bytes, finish=True, **changed):
    """What a client says."""
    config = pb.SubmissionConfig()
    config.CopyFrom(CONFIG)
    config.MergeFrom(pb.SubmissionConfig(**changed))
    yield pb.SubmitRequest(config=config)
    for piece in audio:
        yield pb.SubmitRequest(audio=piece)
    if finish:
        yield pb.SubmitRequest(finish=pb.FinishSubmission())


def submit(tier, *audio: bytes, metadata=TENANT, timeout=LIMIT_S, **changed):
    return tier.stub.Submit(iter(asked(*audio, **changed)), metadata=metadata, timeout=timeout)


def watch(tier, turn_id, metadata=TENANT):
    request = pb.WatchRequest(turn_id=turn_id)
    return tier.stub.Watch(request, metadata=metadata, timeout=LIMIT_S)


async def told(call) -> list[pb.WatchResponse]:
    """All that is told from now on."""
    news = []
    while (response := await call.read()) is not grpc.aio.EOF:
        news.append(response)
    return news


async def kinds(call) -> list[str]:
    return [news.WhichOneof("payload") for news in await told(call)]


async def refusal_of(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), from_rpc(raised.value, "stt").param


async def test_a_recording_is_queued_and_its_words_come(tier):
    turn_id = (await submit(tier, TENTH, TENTH, TENTH)).turn_id
    *_, last = await told(watch(tier, turn_id))
    assert last.done.text == "3 tenths"
    assert (last.done.start_sample, last.done.end_sample) == (0, 7200)
    assert await told(watch(tier, turn_id)) == [last], "it is kept"


async def test_one_longer_than_a_message_is_whole(tier):
    n_tenths = 3 * PIECE_BYTES // len(TENTH)
    whole = TENTH * n_tenths
    pieces = [whole[at : at + 100_000] for at in range(0, len(whole), 100_000)]
    call = watch(tier, (await submit(tier, *pieces)).turn_id)
    assert (await told(call))[-1].done.text == f"{n_tenths} tenths"


async def test_every_stage_is_told_by_any_worker(streams_url):
    engine = FakeEngine()
    engine.may_finish.clear()
    async with (
        serving(config(streams_url, turns_at_a_time=0), fake=FakeEngine()) as idle,
        asyncio.timeout(LIMIT_S),
    ):
        turn_id = (await submit(idle, TENTH)).turn_id
        call = watch(idle, turn_id)
        assert (await call.read()).HasField("queued")
        async with serving(config(streams_url), fake=engine):
            assert (await call.read()).started.attempt == 1
            engine.may_finish.set()
            assert (await call.read()).done.text == "1 tenths"
        assert await call.read() is grpc.aio.EOF


async def test_a_recording_that_no_engine_can_hear_has_failed(streams_url):
    async with serving(config(streams_url), fake=FakeEngine(failures=99)) as tier:
        call = watch(tier, (await submit(tier, TENTH)).turn_id)
        assert (await kinds(call))[-1] == "failed"


async def test_one_that_is_submitted_twice_is_recognised_once(streams_url):
    engine = FakeEngine()
    async with serving(config(streams_url), fake=engine) as tier:
        names = {(await submit(tier, TENTH, submission_id="mine")).turn_id for _ in range(2)}
        assert names == {"mine"}
        await kinds(watch(tier, "mine"))
        await submit(tier, TENTH, submission_id="mine")
        assert await kinds(watch(tier, "mine")) == ["done"]
    assert len(engine.asked) == 1


async def test_another_tenants_turn_is_not_found(tier):
    turn_id = (await submit(tier, TENTH)).turn_id
    status, _ = await failure_of(watch(tier, turn_id, OTHER))
    assert status == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("audio", "changed", "status", "param"),
    [
        ([], {}, INVALID, "audio"),
        ([b"\1\0\1"], {}, INVALID, "audio"),
        ([bytes(MAX_AUDIO_BYTES + 2)], {}, INVALID, "audio"),
        ([bytes(MAX_AUDIO_BYTES)] * 65, {}, INVALID, "audio"),
        ([TENTH], {"finish": False}, INVALID, "finish"),
        ([TENTH], {"timeout": None}, INVALID, ""),
        ([TENTH], {"submission_id": "a/b"}, INVALID, "submission_id"),
        ([TENTH], {"patience": {"seconds": 7200}}, INVALID, "patience"),
        ([TENTH], {"session": {"tenant_id": "evil"}}, INVALID, "session.tenant_id"),
        ([TENTH], {"recognition": {"model": "whisper-9"}}, grpc.StatusCode.NOT_FOUND,
         "recognition.model"),
        ([TENTH], {"audio_format": {"channels": 2}}, INVALID, "audio_format.channels"),
        ([TENTH], {"metadata": ()}, grpc.StatusCode.UNAUTHENTICATED, ""),
    ],
)  # fmt: skip
async def test_what_cannot_be_queued_is_refused(tier, audio, changed, status, param):
    assert await refusal_of(submit(tier, *audio, **changed)) == (status, param)


async def test_without_a_queue_it_says_so():
    async with serving(fake=FakeEngine()) as tier:
        unavailable = grpc.StatusCode.UNAVAILABLE, ""
        assert await refusal_of(submit(tier, TENTH)) == unavailable
        assert await failure_of(watch(tier, "t1")) == unavailable


async def test_live_streams_are_heard_while_turns_wait(streams_url):
    engine = FakeEngine()
    async with serving(config(streams_url, max_streams=1), fake=engine) as tier:
        client = await tier.client_at(endpointing=CONFIG.endpointing)
        turn_id = (await submit(tier, TENTH)).turn_id
        call = watch(tier, turn_id)
        while not (await call.read()).HasField("queued"):
            pass  # taken while the stream was opened, and given back
        await client.hear(TENTH)
        await client.commit()
        assert (await client.final()).text == "1 tenths"
        await client.finish()
        assert (await kinds(call))[-1] == "done"
