"""Every method of PersistenceService over real gRPC, PostgreSQL and Redis."""

from datetime import timedelta

import grpc
import pytest

from mesh.errors import (
    Missing,
    Rejected,
    Unauthenticated,
    Unavailable,
    from_rpc,
)
from mesh.stream import ALL_FACT_STREAMS, connect
from ovos.common.v1 import common_pb2
from ovos.persistence.v1 import persistence_pb2 as pb
from ovos.persistence.v1 import persistence_pb2_grpc
from persistence.database import Database
from persistence.intake import Buffered, Committed
from persistence.servicer import EXPORT_BYTES, PersistenceServicer
from persistence.store import Store
from tests.records import NOON, item, one_of_each

ACME = (("x-tenant-id", "acme"),)
GLOBEX = (("x-tenant-id", "globex"),)
IN_TIME = {"timeout": 5, "metadata": ACME}


async def serve(store, redis):
    server = grpc.aio.server()
    servicer = PersistenceServicer(store, buffered=Buffered(redis), committed=Committed(store))
    persistence_pb2_grpc.add_PersistenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


@pytest.fixture
async def redis(streams_url):
    redis = connect(streams_url)
    yield redis
    await redis.aclose()


@pytest.fixture
async def stub(store, redis):
    server, port = await serve(store, redis)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield persistence_pb2_grpc.PersistenceServiceStub(channel)
    await server.stop(None)


class Fails:
    """The error of ours that a call must end with."""

    def __init__(self, kind, param=""):
        self._kind, self._param = kind, param

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        assert isinstance(error, grpc.aio.AioRpcError), "the call did not fail"
        ours = from_rpc(error, "persistence")
        assert (type(ours), ours.param) == (self._kind, self._param), ours
        return True


def config(durability=pb.DURABILITY_COMMITTED):
    return pb.AppendRecordsRequest(
        config=pb.AppendConfig(producer_id="test", durability=durability)
    )


def batch(sequence, *records):
    return pb.AppendRecordsRequest(batch=pb.RecordBatch(sequence=sequence, records=records))


FINISH = pb.AppendRecordsRequest(finish=pb.FinishAppend())


async def append(stub, *requests, metadata=ACME):
    """All answers to these requests. Only the last may be one that ends the stream: a client
    that is still writing then may see the write fail before it sees why."""
    call = stub.AppendRecords(iter(requests), metadata=metadata)
    try:
        return [response async for response in call]
    finally:
        call.cancel()


class TestAppend:
    async def test_committed_records_are_acknowledged_in_order_and_counted(self, stub, store):
        one, two = item(ordinal=1), item(ordinal=2)
        acks = await append(stub, config(), batch(1, one, two), batch(2, two), FINISH)
        assert acks == [
            pb.AppendRecordsResponse(ack=pb.AppendAck(sequence=1)),
            pb.AppendRecordsResponse(ack=pb.AppendAck(sequence=2)),
            pb.AppendRecordsResponse(finished=pb.AppendFinished(stored=2, duplicates=1)),
        ]
        assert len(await store.items("acme", "conv_1", limit=10)) == 2

    @pytest.mark.parametrize("durability", [pb.DURABILITY_UNSPECIFIED, pb.DURABILITY_BUFFERED])
    async def test_buffered_records_are_in_the_stream(self, stub, redis, durability):
        *_, finished = await append(stub, config(durability), batch(1, item()), FINISH)
        assert finished.finished.stored == 1
        assert sum([await redis.xlen(stream) for stream in ALL_FACT_STREAMS]) == 1

    async def test_a_record_that_cannot_be_stored_is_refused_and_the_rest_is_stored(
        self, stub, store
    ):
        foreign, broken, good = item(tenant="globex"), item(), item(ordinal=2)
        broken.ClearField("occurred_at")
        first, second, ack, finished = await append(
            stub, config(), batch(1, foreign, broken, good), FINISH
        )
        assert first.rejected.record_id == foreign.record_id
        assert first.rejected.error.param == "session.tenant_id"
        assert second.rejected.record_id == broken.record_id
        assert second.rejected.error.code == common_pb2.ERROR_CODE_INVALID_REQUEST
        assert ack.ack.sequence == 1
        assert finished.finished.stored == 1
        assert [kept.item_id for kept in await store.items("acme", "conv_1", limit=9)] == ["item_2"]
        assert await store.conversations("globex", limit=9) == []

    async def test_a_record_of_a_deleted_conversation_is_refused(self, stub, store):
        await store.delete("acme", "conv_1")
        rejected, *_ = await append(stub, config(), batch(1, item()), FINISH)
        assert rejected.rejected.error.code == common_pb2.ERROR_CODE_NOT_FOUND
        assert not rejected.rejected.error.retryable

    @pytest.mark.parametrize(
        ("requests", "param"),
        [
            ([batch(1)], "config"),
            ([FINISH], "config"),
            ([config(), config()], "config"),
            ([config(), pb.AppendRecordsRequest()], "payload"),
            ([config(9)], "durability"),
            ([config(), batch(2)], "batch.sequence"),
            ([config(), batch(1), batch(1)], "batch.sequence"),
            ([config(), batch(1, *[item()] * 501)], "batch.records"),
            ([config(), batch(1, item("x" * (1 << 20)))], "batch.records"),
            ([config(), batch(1)], "finish"),
        ],
        ids=[
            "batch before config",
            "finish before config",
            "config twice",
            "empty message",
            "unknown durability",
            "gap",
            "repeat",
            "too many records",
            "too many bytes",
            "no finish",
        ],
    )
    async def test_breaking_the_protocol_ends_the_stream(self, stub, requests, param):
        with Fails(Rejected, param):
            await append(stub, *requests)

    async def test_what_was_acknowledged_stays_though_the_stream_breaks(self, stub, store):
        with Fails(Rejected, "batch.sequence"):
            await append(stub, config(), batch(1, item()), batch(3, item(ordinal=2)))
        assert len(await store.items("acme", "conv_1", limit=10)) == 1

    async def test_without_postgres_nothing_is_acknowledged(self, redis, own_postgres):
        async with Database(own_postgres.url) as database:
            await database.migrate()
            server, port = await serve(Store(database), redis)
            own_postgres.stop()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = persistence_pb2_grpc.PersistenceServiceStub(channel)
                with Fails(Unavailable):
                    await append(stub, config(), batch(1, item()), FINISH)
            await server.stop(None)


class TestRead:
    @pytest.fixture(autouse=True)
    async def session(self, write):
        await write(*one_of_each())

    async def test_a_conversation(self, stub):
        asked = pb.GetConversationRequest(conversation_id="conv_1")
        found = (await stub.GetConversation(asked, **IN_TIME)).conversation
        assert found.item_count == 1
        assert found.metadata == {"topic": "weather"}
        assert found.created_at.ToDatetime() == NOON.replace(tzinfo=None)

    async def test_items_newest_first_or_oldest_first_page_by_page(self, stub, write):
        await write(*(item(str(n), ordinal=n) for n in range(3, 9)))
        for ascending in (False, True):
            pages, token = [], ""
            while not pages or token:
                asked = pb.ListItemsRequest(
                    conversation_id="conv_1", page_size=3, page_token=token, ascending=ascending
                )
                page = await stub.ListItems(asked, **IN_TIME)
                pages.append([found.ordinal for found in page.items])
                token = page.next_page_token
            assert pages == (
                [[1, 3, 4], [5, 6, 7], [8]] if ascending else [[8, 7, 6], [5, 4, 3], [1]]
            )

    async def test_conversations_newest_first_page_by_page(self, stub, write):
        for n in range(4):
            at = NOON + timedelta(minutes=n + 1)
            await write(item(conversation=f"more_{n}", at=at))
        pages, token = [], ""
        while not pages or token:
            asked = pb.ListConversationsRequest(page_size=3, page_token=token)
            page = await stub.ListConversations(asked, **IN_TIME)
            pages.append([found.conversation_id for found in page.conversations])
            token = page.next_page_token
        assert pages == [["more_3", "more_2", "more_1"], ["more_0", "conv_1"]]

    async def test_conversations_active_since_a_time(self, stub, write):
        await write(item(conversation="recent", at=NOON + timedelta(hours=2)))
        asked = pb.ListConversationsRequest()
        asked.active_since.FromDatetime(NOON + timedelta(hours=1))
        page = await stub.ListConversations(asked, **IN_TIME)
        assert [found.conversation_id for found in page.conversations] == ["recent"]

    async def test_a_page_token_is_good_for_its_own_list_only(self, stub, write):
        await write(item(ordinal=3), item(conversation="other", ordinal=1))
        page = await stub.ListItems(
            pb.ListItemsRequest(conversation_id="conv_1", page_size=1), **IN_TIME
        )
        token = page.next_page_token
        with Fails(Rejected, "page_token"):
            asked = pb.ListItemsRequest(conversation_id="other", page_token=token)
            await stub.ListItems(asked, **IN_TIME)
        with Fails(Rejected, "page_token"):
            await stub.ListConversations(pb.ListConversationsRequest(page_token=token), **IN_TIME)

    async def test_an_export_has_every_record_as_it_was_sent_oldest_first(self, stub, write):
        made = [
            item(f"{n}", ordinal=n, conversation="long", at=NOON + timedelta(seconds=n))
            for n in range(250)
        ]
        await write(*made)
        call = stub.ExportConversation(
            pb.ExportConversationRequest(conversation_id="long"), metadata=ACME
        )
        got = [record async for response in call for record in response.records]
        assert got == made

    async def test_an_export_comes_in_messages_of_bounded_size(self, stub, write):
        big = "x" * 400_000
        await write(*(item(big, ordinal=n, conversation="big") for n in range(5)))
        call = stub.ExportConversation(
            pb.ExportConversationRequest(conversation_id="big"), metadata=ACME
        )
        sizes = [response.ByteSize() async for response in call]
        assert len(sizes) == 3
        assert max(sizes) <= EXPORT_BYTES + 100

    async def test_a_deleted_conversation_is_gone_and_deleting_again_is_no_error(self, stub):
        asked = pb.DeleteConversationRequest(conversation_id="conv_1")
        await stub.DeleteConversation(asked, **IN_TIME)
        await stub.DeleteConversation(asked, **IN_TIME)
        with Fails(Missing, "conversation_id"):
            await stub.GetConversation(
                pb.GetConversationRequest(conversation_id="conv_1"), **IN_TIME
            )


UNARY = {
    "GetConversation": pb.GetConversationRequest(conversation_id="conv_1"),
    "ListConversations": pb.ListConversationsRequest(),
    "ListItems": pb.ListItemsRequest(conversation_id="conv_1"),
    "DeleteConversation": pb.DeleteConversationRequest(conversation_id="conv_1"),
}
NAMED = {name: request for name, request in UNARY.items() if name != "ListConversations"}


class TestCallers:
    @pytest.mark.parametrize("method", UNARY)
    async def test_a_call_without_a_tenant_is_refused(self, stub, method):
        with Fails(Unauthenticated):
            await getattr(stub, method)(UNARY[method], timeout=30)

    async def test_a_stream_without_a_tenant_is_refused(self, stub):
        with Fails(Unauthenticated):
            await append(stub, metadata=())
        with Fails(Unauthenticated):
            asked = pb.ExportConversationRequest(conversation_id="conv_1")
            [_ async for _ in stub.ExportConversation(asked)]

    @pytest.mark.parametrize("method", UNARY)
    async def test_a_unary_call_without_a_deadline_is_refused(self, stub, method):
        with Fails(Rejected):
            await getattr(stub, method)(UNARY[method], metadata=ACME)

    @pytest.mark.parametrize("conversation_id", ["", "x" * 201, "a\0"])
    @pytest.mark.parametrize("method", NAMED)
    async def test_a_conversation_must_be_named_by_what_can_be_an_id(
        self, stub, method, conversation_id
    ):
        asked = type(NAMED[method])(conversation_id=conversation_id)
        with Fails(Rejected, "conversation_id"):
            await getattr(stub, method)(asked, **IN_TIME)

    async def test_a_page_larger_than_the_most_is_refused(self, stub):
        with Fails(Rejected, "page_size"):
            await stub.ListConversations(pb.ListConversationsRequest(page_size=101), **IN_TIME)
        with Fails(Rejected, "page_size"):
            asked = pb.ListItemsRequest(conversation_id="conv_1", page_size=501)
            await stub.ListItems(asked, **IN_TIME)

    async def test_a_time_that_is_none_is_refused(self, stub):
        asked = pb.ListConversationsRequest()
        asked.active_since.seconds = 10**12
        with Fails(Rejected, "active_since"):
            await stub.ListConversations(asked, **IN_TIME)


class TestIsolation:
    """Tenant globex asks for what is acme's, by every method."""

    @pytest.fixture(autouse=True)
    async def of_acme(self, write):
        await write(*one_of_each())

    @pytest.mark.parametrize("method", ["GetConversation", "ListItems"])
    async def test_it_is_not_found(self, stub, method):
        with Fails(Missing, "conversation_id"):
            await getattr(stub, method)(UNARY[method], timeout=30, metadata=GLOBEX)

    async def test_nor_listed(self, stub):
        page = await stub.ListConversations(UNARY["ListConversations"], timeout=30, metadata=GLOBEX)
        assert not page.conversations

    async def test_nor_exported(self, stub):
        asked = pb.ExportConversationRequest(conversation_id="conv_1")
        with Fails(Missing, "conversation_id"):
            [_ async for _ in stub.ExportConversation(asked, metadata=GLOBEX)]

    async def test_nor_deleted(self, stub):
        await stub.DeleteConversation(UNARY["DeleteConversation"], timeout=30, metadata=GLOBEX)
        found = await stub.GetConversation(UNARY["GetConversation"], **IN_TIME)
        assert found.conversation.item_count == 1

    async def test_nor_written_to(self, stub, store):
        rejected, *_ = await append(
            stub, config(), batch(1, item("Mine now.", version=9)), FINISH, metadata=GLOBEX
        )
        assert rejected.rejected.error.param == "session.tenant_id"
        [kept] = await store.items("acme", "conv_1", limit=10)
        assert kept.text == "What is the weather?"

    async def test_a_token_of_one_tenant_lists_nothing_for_another(self, stub, write):
        await write(item(ordinal=3))
        asked = pb.ListItemsRequest(conversation_id="conv_1", page_size=1)
        asked.page_token = (await stub.ListItems(asked, **IN_TIME)).next_page_token
        with Fails(Rejected, "page_token"):
            await stub.ListItems(asked, timeout=30, metadata=GLOBEX)
