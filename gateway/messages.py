"""What other processes tell this one, through its inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import assert_never

import msgspec

from gateway import metrics, notices
from gateway.connection import Connection
from gateway.endings import Closed
from gateway.notices import ABSENT, Batch, Close, Left, Message, Moved, Notice, Over, Told
from gateway.queued_turns import words_of
from gateway.realtime import signals as sig
from gateway.sessions.store import Outcome, Store
from gateway.sideband import Sidebands
from mesh import log as logs
from mesh.errors import Unavailable
from mesh.stream import stop_if_cancelled
from mesh.turns import Heard

MOST_HOPS = 3  # of what a session that keeps moving is told
_LOOK_S = 1.0  # a session whose client comes back may have no owner that has it, for a moment

log = logging.getLogger(__name__)


class Messages:
    def __init__(self, live: Mapping[str, Connection], sidebands: Sidebands) -> None:
        """
        Args:
            live: The sessions of this process, by id.
            sidebands: Those of this process.
        """
        self._live, self._sidebands = live, sidebands
        self._numbers: dict[str, int] = {}  # of the last batch of each sender

    async def attend(self, store: Store) -> None:
        """Do what is asked of this process, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            async for packed in store.inbox():
                try:
                    message = notices.decode(packed)
                except msgspec.MsgspecError:
                    log.warning("message not understood", extra={"bytes": len(packed)})
                    continue
                try:
                    if not self.take(message) and isinstance(message, Heard):
                        tasks.create_task(self._onward(store, message), name="pass on")
                except Exception:  # a bug: it must not keep the others from being heard
                    log.exception("message failed")

    def take(self, message: Message) -> bool:
        """Returns whether it was for us."""
        match message:
            case Moved(session_id, epoch):
                connection = self._live.get(session_id)
                if connection is not None and connection.kept.epoch < epoch:
                    connection.kept.lose(Outcome.MOVED)
            case Close(session_id):
                if (connection := self._live.get(session_id)) is not None:
                    connection.end(Closed())
            case Batch():
                self._batch(message)
            case Heard():
                return self._heard(message)
            case _:
                assert_never(message)
        return True

    def _heard(self, heard: Heard) -> bool:
        connection = self._live.get(heard.session_id)
        if connection is None or connection.kept.meta.tenant != heard.tenant:
            return False
        words = words_of(heard.utterance, heard.result)
        outcome = "done" if isinstance(words, sig.Transcribed) else "failed"
        metrics.QUEUED_TURNS.labels(outcome).inc()
        with logs.bound(tenant_id=heard.tenant, session_id=heard.session_id):
            connection.take(words)  # what it starts is that tenant's
        return True

    async def _onward(self, store: Store, heard: Heard) -> None:
        try:
            await self._pass_on(store, heard)
        except Exception:  # a bug: it must not end the process
            log.exception("message failed")

    async def _pass_on(self, store: Store, heard: Heard) -> None:
        """To the gateway that has the session now: it has moved, or its client is on its way
        back."""
        for _ in range(MOST_HOPS):
            try:
                owner = await store.owner(heard.session_id, heard.tenant)
                if owner not in (None, store.gateway_id):
                    if heard.hops < MOST_HOPS:
                        onward = msgspec.structs.replace(heard, hops=heard.hops + 1)
                        await store.tell(owner, notices.encode(onward))
                    return
            except Unavailable:
                pass
            stop_if_cancelled()
            await asyncio.sleep(_LOOK_S)
            if self._heard(heard):
                return
        log.info("words of a session that is gone", extra={"session_id": heard.session_id})

    def _batch(self, batch: Batch) -> None:
        before = self._numbers.get(batch.sender)
        self._numbers[batch.sender] = batch.number
        if before is not None and batch.number != before + 1:
            log.warning("batches missed", extra={"gateway": batch.sender})
            self._sidebands.missed(batch.sender)
            for connection in self._live.values():
                connection.audience.deaf(batch.sender)
        for notice in batch.notices:
            try:
                self._notice(batch.sender, notice)
            except Exception:  # a mistake of ours: it must not end the process
                log.exception("notice failed")

    def _notice(self, sender: str, notice: Notice) -> None:
        if isinstance(notice, Told | Over):
            return self._sidebands.told(sender, notice)
        connection = self._live.get(notice.session_id)
        ids = {"session_id": notice.session_id}
        if connection is not None:
            ids["tenant_id"] = connection.kept.meta.tenant
        with logs.bound(**ids):  # what it starts is that tenant's
            is_known = connection is not None and connection.hear(sender, notice)
        if not is_known and not isinstance(notice, Left):
            absent = Over(notice.session_id, [notice.sideband_id], ABSENT)
            self._sidebands.relay.put(sender, absent)
