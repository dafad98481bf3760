"""Utterances that wait in Redis until somebody can recognise them; see `mesh.turns`.

Their words come through the inbox of the gateway that queued them, or of the one that owns the
session by then. An utterance has one place in the queue, whoever queues it: its id is made of
its names.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from gateway.backends import Words
from gateway.generation import session_ref
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from gateway.recognition import FORMAT, recognition, transcribed
from mesh import log as logs
from mesh.errors import Unavailable
from mesh.stream import stop_if_cancelled
from mesh.turns import MOST_BYTES, OVER, PIECE_BYTES, Turn, Turns
from ovos.stt.v1 import stt_pb2 as pb


class MeshTurns:
    """The queue that the workers of the stt tier share."""

    def __init__(self, turns: Turns, inbox: str, patience_s: float, model: str = "") -> None:
        """
        Args:
            inbox: The stream where words are wanted.
        """
        self._turns, self._inbox, self._model = turns, inbox, model
        self.patience_s = patience_s

    def with_model(self, model: str) -> MeshTurns:
        return MeshTurns(self._turns, self._inbox, self.patience_s, model)

    async def put(self, utterance: str, pcm: bytes, how: Listening) -> Words | None:
        if not self.patience_s or len(pcm) > MOST_BYTES:
            raise Unavailable("it may not wait", tier="stt")
        tenant, session_id = logs.tenant_id.get(), logs.session_id.get()
        turn = Turn(
            tenant=tenant,
            id=id_of(tenant, session_id, utterance),
            config=self._config(how).SerializeToString(),
            patience_s=self.patience_s,
            session_id=session_id,
            utterance=utterance,
            inbox=self._inbox,
        )
        for n, at in enumerate(range(0, len(pcm), PIECE_BYTES)):
            await self._turns.add(tenant, turn.id, n, pcm[at : at + PIECE_BYTES])
        await self._turns.put(turn)
        state = await self._turns.look(tenant, turn.id)
        stop_if_cancelled()
        if state is None or state.stage != OVER:
            return None
        return words_of(utterance, state.result)

    def _config(self, how: Listening) -> pb.SubmissionConfig:
        config = pb.SubmissionConfig(
            session=session_ref(),
            audio_format=FORMAT,
            recognition=recognition(how, self._model),
            endpointing=pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MANUAL),
        )
        config.patience.FromTimedelta(timedelta(seconds=self.patience_s))
        return config


def id_of(tenant: str, session_id: str, utterance: str) -> str:
    """The name of an utterance among all of its tenant's."""
    names = "\0".join((tenant, session_id, utterance))
    return hashlib.sha256(names.encode()).hexdigest()[:32]


def words_of(utterance: str, result: bytes) -> Words:
    """What became of a turn.

    Args:
        result: ovos.stt.v1.TurnResult; empty of one that nobody took in time.
    """
    found = pb.TurnResult.FromString(result)
    if found.HasField("transcript"):
        return transcribed(utterance, found.transcript)
    return sig.NotTranscribed(utterance, found.error.message or "It was not recognised in time.")
