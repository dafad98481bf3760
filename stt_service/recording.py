"""A whole recording as text: cut at its pauses, as a stream is, and heard one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mesh.errors import Rejected, first_of
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import hearing, wire
from stt_service.denoise import denoiser_for
from stt_service.endpointing import Settings
from stt_service.engine import Heard
from stt_service.listener import KEPT, Listener, Wishes
from stt_service.timeline import Timeline
from stt_service.worker import Worker

_STEP_MS = 200  # of audio that is listened to at a time, with room for others in between


def wishes_of(config: pb.SubmissionConfig, defaults: Settings) -> tuple[Wishes, int]:
    """How to recognise it, and the rate of the audio.

    Raises:
        Rejected: it cannot be.
    """
    wishes = Wishes(
        settings=wire.settings_of(config.endpointing, defaults),
        how=wire.how_of(config.recognition),
        model=config.recognition.model,
        noise=wire.noise_of(config.recognition),
    )
    return wishes, wire.rate_of(config.audio_format)


async def recognised(
    worker: Worker, wishes: Wishes, rate_hz: int, audio: AsyncIterator[bytes], tenant_id: str = ""
) -> pb.Transcript:
    """
    Args:
        tenant_id: Whose it is: what is scarce is shared between tenants.
        audio: PCM16 LE mono, in whole samples.

    Raises:
        MeshError: an utterance of it has no text, or it is too long to be one.
    """
    timeline = Timeline(rate_hz, 0, KEPT, denoiser_for(wishes.noise))
    outcomes: list[hearing.Final | hearing.Failed] = []

    def report(news: hearing.Hearing) -> None:
        if isinstance(news, hearing.Final | hearing.Failed):
            outcomes.append(news)

    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            listener = Listener(
                worker, wishes, timeline, tasks=tasks, report=report, tenant_id=tenant_id
            )
            async for piece in audio:
                await _hear(listener, piece, rate_hz)
            if not wishes.settings.server_vad:
                listener.commit("")
            await listener.finish(discard=False)
    except* Exception as errors:  # noqa: BLE001 - whatever reads the audio may raise as well
        failure = first_of(errors)
    if failure is not None:
        raise failure  # out here, where it is not wrapped in another group
    failed = next((o for o in outcomes if isinstance(o, hearing.Failed)), None)
    if failed is not None:
        raise failed.error
    finals = [o for o in outcomes if isinstance(o, hearing.Final)]
    return wire.transcript_of(_whole(finals, timeline.received))


async def _hear(listener: Listener, piece: bytes, rate_hz: int) -> None:
    if len(piece) % 2:
        raise Rejected("audio is whole samples", param="audio")
    step = 2 * (rate_hz * _STEP_MS // 1000)
    for at in range(0, len(piece), step):
        for part in listener.pieces(piece[at : at + step]):
            listener.hear(part)
            await listener.room()
        await asyncio.sleep(0)


def _whole(finals: list[hearing.Final], n_samples: int) -> hearing.Final:
    """All of them as one. Who speaks is known by the same name in all."""
    heard = [final.heard for final in finals]
    confidences = [each.confidence for each in heard if each.confidence is not None]
    whole = Heard(
        text=" ".join(text for each in heard if (text := each.text.strip())),
        language=next((each.language for each in heard if each.language), ""),
        confidence=min(confidences, default=None),
        words=tuple(word for each in heard for word in each.words),
        tokens=tuple(token for each in heard for token in each.tokens),
        segments=tuple(segment for each in heard for segment in each.segments),
    )
    return hearing.Final("utt_1", whole, 1, 0, n_samples)
