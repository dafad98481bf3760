"""The gRPC face of this tier: ovos.persistence.v1.PersistenceService.

Whose call it is says the metadata, and nothing in a request can name another tenant.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from mesh import call
from mesh.errors import (
    Broken,
    MeshError,
    Missing,
    Rejected,
    detail_of,
)
from mesh.health import Load
from ovos.persistence.v1 import persistence_pb2 as pb
from ovos.persistence.v1 import persistence_pb2_grpc
from persistence import metrics, paging, rows
from persistence.facts import Fact
from persistence.intake import Intake
from persistence.store import FIRST, LATEST, Outcome, Store

MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 1 << 20
EXPORT_RECORDS = 100  # a page of the export, held in memory
EXPORT_BYTES = 1 << 20  # a message of it; gRPC's own limit is 4 MiB

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class PersistenceServicer(persistence_pb2_grpc.PersistenceServiceServicer):
    def __init__(self, store: Store, *, buffered: Intake, committed: Intake) -> None:
        self._store = store
        self._intakes: dict[int, Intake] = {
            pb.DURABILITY_UNSPECIFIED: buffered,
            pb.DURABILITY_BUFFERED: buffered,
            pb.DURABILITY_COMMITTED: committed,
        }
        self._busy = 0

    def load(self) -> Load:
        """Streams that are in the middle of something. An append stream between two batches
        is not: all it sent is acknowledged, and it loses nothing by ending."""
        return Load(active_streams=self._busy)

    async def AppendRecords(
        self, request_iterator: AsyncIterator[pb.AppendRecordsRequest], context: Context
    ) -> AsyncIterator[pb.AppendRecordsResponse]:
        async with call.served(context, needs_deadline=False) as caller:
            with metrics.STREAMS_OPEN.track_inprogress():
                first = await call.first(request_iterator, "config")
                append = _Append(caller.tenant_id, self._intake(first.config.durability))
                async for request in request_iterator:
                    with self._working():
                        for response in await append.take(request):
                            yield response
                    if append.finished:
                        return
                raise call.unfinished()  # what was acknowledged stays

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: Context
    ) -> pb.GetConversationResponse:
        async with call.served(context) as caller:
            tenant_id, conversation_id = caller.tenant_id, _named(request.conversation_id)
            found = await self._store.conversation(tenant_id, conversation_id)
        return pb.GetConversationResponse(conversation=rows.conversation(found))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        async with call.served(context) as caller:
            tenant_id = caller.tenant_id
            size = paging.size(request.page_size, most=100, default=20)
            with _asked():
                given = request.HasField("active_since")
                since = rows.time_of(request.active_since, "active_since") if given else None
            query = f"{tenant_id} conversations since {since}"
            before = paging.conversation_position(query, request.page_token)
            found = await self._store.conversations(
                tenant_id, before=before or LATEST, active_since=since, limit=size + 1
            )
        response = pb.ListConversationsResponse(conversations=map(rows.conversation, found[:size]))
        if len(found) > size:
            last = found[size - 1]
            token = paging.after_conversation(query, last.created_at, last.conversation_id)
            response.next_page_token = token
        return response

    async def ListItems(
        self, request: pb.ListItemsRequest, context: Context
    ) -> pb.ListItemsResponse:
        async with call.served(context) as caller:
            tenant_id, conversation_id = caller.tenant_id, _named(request.conversation_id)
            size = paging.size(request.page_size, most=500, default=100)
            query = f"{tenant_id} items of {conversation_id} ascending {request.ascending}"
            found = await self._store.items(
                tenant_id,
                conversation_id,
                ascending=request.ascending,
                position=paging.item_position(query, request.page_token),
                limit=size + 1,
            )
        response = pb.ListItemsResponse(items=map(rows.item, found[:size]))
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = paging.after_item(query, last.ordinal, last.item_id)
        return response

    async def ExportConversation(
        self, request: pb.ExportConversationRequest, context: Context
    ) -> AsyncIterator[pb.ExportConversationResponse]:
        async with call.served(context, needs_deadline=False) as caller:
            tenant_id, conversation_id = caller.tenant_id, _named(request.conversation_id)
            after = FIRST
            with metrics.STREAMS_OPEN.track_inprogress(), self._working():
                while page := await self._store.records(
                    tenant_id, conversation_id, after=after, limit=EXPORT_RECORDS
                ):
                    for response in _messages([rows.record(kept) for kept in page]):
                        yield response
                    after = (page[-1].occurred_at, page[-1].record_id)

    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: Context
    ) -> pb.DeleteConversationResponse:
        """One that is unknown, or another tenant's, is deleted too: facts of this tenant
        that would make it are dropped from now on, and the other tenant's stays."""
        async with call.served(context) as caller:
            tenant_id, conversation_id = caller.tenant_id, _named(request.conversation_id)
            await self._store.delete(tenant_id, conversation_id)
            log.info("conversation deleted", extra={"conversation_id": conversation_id})
        return pb.DeleteConversationResponse()

    def _intake(self, durability: pb.Durability.ValueType) -> Intake:
        if durability not in self._intakes:
            raise Rejected("not a durability", param="durability")
        return self._intakes[durability]

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1


class _Append:
    """One AppendRecords stream after its config."""

    def __init__(self, tenant_id: str, intake: Intake) -> None:
        self.finished = False
        self._tenant_id, self._intake = tenant_id, intake
        self._sequence = 0
        self._counts = dict.fromkeys(Outcome, 0)

    async def take(self, request: pb.AppendRecordsRequest) -> list[pb.AppendRecordsResponse]:
        """
        Raises:
            Rejected: the client breaks the protocol.
        """
        match request.WhichOneof("payload"):
            case "batch":
                return await self._take_batch(request.batch)
            case "finish":
                self.finished = True
                finished = pb.AppendFinished(
                    stored=self._counts[Outcome.STORED], duplicates=self._counts[Outcome.DUPLICATE]
                )
                return [pb.AppendRecordsResponse(finished=finished)]
            case other:
                raise call.unexpected(other)

    async def _take_batch(self, batch: pb.RecordBatch) -> list[pb.AppendRecordsResponse]:
        self._sequence += 1
        if batch.sequence != self._sequence:
            detail = f"expected {self._sequence}, got {batch.sequence}"
            raise Rejected(detail, param="batch.sequence")
        if len(batch.records) > MAX_BATCH_RECORDS or batch.ByteSize() > MAX_BATCH_BYTES:
            detail = f"at most {MAX_BATCH_RECORDS} records and {MAX_BATCH_BYTES} bytes"
            raise Rejected(detail, param="batch.records")
        facts: list[Fact] = []
        responses: list[pb.AppendRecordsResponse] = []
        for record in batch.records:
            try:
                facts.append(self._fact(record))
            except rows.BadRecord as error:
                refused = Rejected(error.detail, param=error.param)
                responses.append(_rejected(record.record_id, refused))
        for fact, outcome in zip(facts, await self._intake.take(facts), strict=True):
            self._counts[outcome] += 1
            if outcome in _WHY:
                responses.append(_rejected(str(fact.record_id), _WHY[outcome]))
        ack = pb.AppendAck(sequence=batch.sequence)
        return [*responses, pb.AppendRecordsResponse(ack=ack)]

    def _fact(self, record: pb.Record) -> Fact:
        fact = rows.fact(record, record.SerializeToString())
        if fact.tenant_id != self._tenant_id:
            raise rows.BadRecord("not the tenant of this call", "session.tenant_id")
        return fact


_WHY: dict[Outcome, MeshError] = {
    Outcome.DELETED: Missing("its conversation was deleted"),
    Outcome.REFUSED: Rejected("PostgreSQL cannot hold it"),
    Outcome.FAILED: Broken("PostgreSQL failed on it"),
}
"""Why a record was not stored, where it was not."""


def _rejected(record_id: str, error: MeshError) -> pb.AppendRecordsResponse:
    rejected = pb.RecordRejected(record_id=record_id, error=detail_of(error))
    return pb.AppendRecordsResponse(rejected=rejected)


def _messages(records: Sequence[pb.Record]) -> Iterator[pb.ExportConversationResponse]:
    """Records in messages of bounded size."""
    message, size = pb.ExportConversationResponse(), 0
    for record in records:
        if message.records and size + record.ByteSize() > EXPORT_BYTES:
            yield message
            message, size = pb.ExportConversationResponse(), 0
        message.records.append(record)
        size += record.ByteSize()
    yield message


def _named(conversation_id: str) -> str:
    with _asked():
        return rows.id_of(conversation_id, "conversation_id", required=True)


@contextmanager
def _asked() -> Iterator[None]:
    """A request's bad field, as the caller is told of it."""
    try:
        yield
    except rows.BadRecord as error:
        raise Rejected(error.detail, param=error.param) from error
