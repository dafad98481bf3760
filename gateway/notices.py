"""What the processes of the gateway tell each other about sessions and their sidebands.

A sideband is a second connection to a running session, at any gateway. The gateway that owns
the session tells those of its sidebands what happens in it, and they tell it what the sidebands
say. Between two processes everything goes in order, in numbered batches: who misses one knows.
"""

from __future__ import annotations

import msgspec

from mesh.turns import Heard

MOST_BATCH = 256 << 10  # bytes of a batch; one notice may be more


class Moved(msgspec.Struct, frozen=True, tag_field="kind", tag="moved"):
    """Another gateway has claimed the session."""

    session_id: str
    epoch: int


class Close(msgspec.Struct, frozen=True, tag_field="kind", tag="close"):
    """Somebody who may ends the session."""

    session_id: str


class Join(msgspec.Struct, frozen=True, tag_field="kind", tag="join"):
    """A sideband wants to hear the session. To the owner, as the next three."""

    session_id: str
    tenant: str
    sideband_id: str


class Stay(msgspec.Struct, frozen=True, tag_field="kind", tag="stay"):
    """It is still there."""

    session_id: str
    tenant: str
    sideband_id: str


class Said(msgspec.Struct, frozen=True, tag_field="kind", tag="said"):
    """It said something: one client event, as GA has it."""

    session_id: str
    tenant: str
    sideband_id: str
    message: bytes


class Left(msgspec.Struct, frozen=True, tag_field="kind", tag="left"):
    """It is gone."""

    session_id: str
    tenant: str
    sideband_id: str


class Told(msgspec.Struct, frozen=True, tag_field="kind", tag="told"):
    """One server event, for the sidebands `to`."""

    session_id: str
    to: list[str]
    message: bytes


class Over(msgspec.Struct, frozen=True, tag_field="kind", tag="over"):
    """The sidebands `to` hear no more of the session."""

    session_id: str
    to: list[str]
    why: str
    """One of the words below."""


ENDED, MOVED, SLOW, CROWDED, ABSENT = "ended", "moved", "slow", "crowded", "absent"
"""The session ended. It goes on elsewhere. The sideband says more than the session can take.
There are as many as may be. The session is not here."""

ToOwner = Join | Stay | Said | Left
ToSidebands = Told | Over
Notice = ToOwner | ToSidebands


class Batch(msgspec.Struct, frozen=True, tag_field="kind", tag="batch"):
    """What one process has to tell another."""

    sender: str
    """The process's gateway id."""
    number: int
    """Of this batch, among those of the two."""
    notices: list[Notice]


Message = Moved | Close | Batch | Heard
"""`Heard` comes from the queue of turns."""

_decoder = msgspec.msgpack.Decoder(Message)
encode = msgspec.msgpack.Encoder().encode


def decode(packed: bytes) -> Message:
    """
    Raises:
        msgspec.MsgspecError: it is none.
    """
    message: Message = _decoder.decode(packed)
    return message


def size(notice: Notice) -> int:
    """About how many bytes it takes."""
    return 200 + (len(notice.message) if isinstance(notice, Said | Told) else 0)
