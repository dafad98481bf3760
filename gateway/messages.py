"""What other processes tell this one about its sessions, through its inbox."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from gateway.connection import Connection
from gateway.endings import Closed
from gateway.sessions.store import Outcome, Store

log = logging.getLogger(__name__)


class Moved(msgspec.Struct, frozen=True, tag_field="kind", tag="moved"):
    """Another gateway has claimed the session."""

    session_id: str
    epoch: int


class Close(msgspec.Struct, frozen=True, tag_field="kind", tag="close"):
    """Somebody who may ends the session."""

    session_id: str


Message = Moved | Close

_decoder = msgspec.msgpack.Decoder(Message)
encode = msgspec.msgpack.Encoder().encode


async def attend(store: Store, live: Mapping[str, Connection]) -> None:
    """Do what is asked of the sessions of this process, until cancelled.

    Args:
        live: By id.
    """
    async for packed in store.inbox():
        try:
            message = _decoder.decode(packed)
        except msgspec.MsgspecError:
            log.warning("message not understood", extra={"bytes": len(packed)})
            continue
        connection = live.get(message.session_id)
        if connection is None:
            continue
        match message:
            case Moved(epoch=epoch):
                if connection.kept.epoch < epoch:
                    connection.kept.lose(Outcome.MOVED)
            case Close():
                connection.end(Closed())
