"""What other processes tell this one, through its inbox."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import assert_never

import msgspec

from gateway import notices
from gateway.connection import Connection
from gateway.endings import Closed
from gateway.notices import ABSENT, Batch, Close, Left, Message, Moved, Notice, Over, Told
from gateway.sessions.store import Outcome, Store
from gateway.sideband import Sidebands

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
        async for packed in store.inbox():
            try:
                message = notices.decode(packed)
            except msgspec.MsgspecError:
                log.warning("message not understood", extra={"bytes": len(packed)})
                continue
            try:
                self.take(message)
            except Exception:  # a bug: it must not keep the others from being heard
                log.exception("message failed")

    def take(self, message: Message) -> None:
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
            case _:
                assert_never(message)

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
        is_known = connection is not None and connection.hear(sender, notice)
        if not is_known and not isinstance(notice, Left):
            absent = Over(notice.session_id, [notice.sideband_id], ABSENT)
            self._sidebands.relay.put(sender, absent)
