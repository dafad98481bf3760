"""One stream: finds utterances in the audio and has each one heard.

Everything here but `room` and `finish` happens at once, without waiting: voice activity
is cheap (see `vad.py`), and each utterance is followed by a task of its own. So the
transcript of one never holds up the hearing of the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mesh.audio import n_bytes
from mesh.errors import Rejected
from stt_service import hearing
from stt_service.denoise import NoiseReduction, denoiser_for
from stt_service.endpointing import Endpointer, Settings, Started, Stopped
from stt_service.engine import RATE_HZ, How
from stt_service.pauses import PIECE_MS, Pauses
from stt_service.pending import Pending, Spoken
from stt_service.timeline import Timeline
from stt_service.utterance import Utterance
from stt_service.vad import Vad
from stt_service.worker import Ears, Worker

KEPT = 10 * RATE_HZ  # audio in which no speech was detected, for a client that commits it
LONGEST = 340 * RATE_HZ  # uncommitted audio: what the largest append of a client holds, and more


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a client wants of a stream, and may change."""

    settings: Settings
    how: How
    model: str = ""
    """The engine's model to hear with, if it can be had; empty means the best."""

    interim: bool = False
    """Whether interim transcripts are wanted."""

    noise: NoiseReduction | None = None
    """How the audio is cleaned before anything listens to it; None leaves it as it is."""


class Listener:
    def __init__(
        self,
        worker: Worker,
        wishes: Wishes,
        timeline: Timeline,
        *,
        tasks: asyncio.TaskGroup,
        report: Callable[[hearing.Hearing], None],
        tenant_id: str = "",
    ) -> None:
        """
        Args:
            tasks: Outlives the stream; utterances are followed in it.
            report: Called with everything that is heard, in order.
            tenant_id: Whose stream it is.
        """
        self._worker, self._wishes, self._report = worker, wishes, report
        self._timeline = timeline
        self._vad = Vad(worker.silero)
        self._endpointer = Endpointer(wishes.settings)
        self._pauses = Pauses(self._endpointer)
        self._ears = Ears(tenant_id)
        self._pending = Pending(timeline, tasks, report)
        self._live: Spoken | None = None  # the last of those pending, while it goes on

    @property
    def wishes(self) -> Wishes:
        return self._wishes

    @property
    def received(self) -> int:
        """The stream's samples before this one have been taken in."""
        return self._timeline.received

    @property
    def replay_from(self) -> int:
        """The stream's samples before this one are not needed any more."""
        return self._timeline.in_stream(min([self._endpointer.open_from, *self._pending.starts]))

    def pieces(self, pcm: bytes) -> list[bytes]:
        """Audio in the pieces to `hear` it in, with `room` after each: where what was said
        tells how long a pause may be, none may reach from before a pause to its end."""
        settings = self._wishes.settings
        if not (settings.server_vad and settings.semantic):
            return [pcm]
        size = n_bytes(PIECE_MS, self._timeline.rate_hz)
        return [pcm[at : at + size] for at in range(0, len(pcm), size)]

    def hear(self, pcm: bytes) -> None:
        """Take in audio (PCM16 LE mono of the stream's rate).

        Raises:
            Rejected: the client has left more than LONGEST uncommitted.
        """
        self._judge(self._timeline.add(pcm))

    async def room(self) -> None:
        """Wait while recognition is behind, or a pause waits to be judged."""
        await self._pending.room()
        await self._pauses.settled()

    def commit(self, utterance_id: str) -> None:
        """End the utterance now. An empty id leaves it the one it has."""
        rest = self._timeline.flush()
        start = self._endpointer.commit(self._timeline.at)
        spoken = self._live or self._begin(start)
        spoken.utterance_id = utterance_id or spoken.utterance_id
        self._end(spoken, self._timeline.at)
        self._detect(rest)  # only now, or it might find another end

    def clear(self) -> None:
        """Drop what is not committed."""
        self._timeline.flush()
        self._vad.reset()
        self._endpointer.clear(self._timeline.at)
        self._drop()

    def update(self, wishes: Wishes) -> None:
        """Go on with other settings; how to recognize changes with the next utterance."""
        if wishes.noise != self._wishes.noise:
            self._judge(self._timeline.clean_with(denoiser_for(wishes.noise)))
        before, self._wishes = self._wishes, wishes
        if wishes.settings != before.settings:
            self._endpointer.update(wishes.settings, self._timeline.at)
        if wishes.settings.server_vad != before.settings.server_vad:
            self._vad.reset()
            if wishes.settings.server_vad:
                self._drop()  # it began with the last commit; speech will begin it anew
        if self._live is not None:
            self._live.utterance.interim = wishes.interim

    async def finish(self, *, discard: bool) -> None:
        """No more audio will come. Waits until all that is committed has its outcome.

        Speech being heard ends here. What only the client may commit is dropped, and with
        `discard` so is everything that has no outcome.
        """
        if self._endpointer.in_speech and not discard:
            self._judge(self._timeline.flush())
            if self._live is not None:
                self._endpointer.commit(self._timeline.at)
                self._stop(self._live, self._timeline.at)
        self._drop()
        await self._pending.done(discard=discard)

    def _judge(self, pcm: bytes) -> None:
        """Look for starts and ends of speech in new audio, and pass it on."""
        self._detect(pcm)
        if not self._wishes.settings.server_vad and self._live is None and pcm:
            self._begin(self._endpointer.floor)
        if self._live is not None:
            self._live.utterance.pausing = self._endpointer.pausing
            self._give(self._live, self._timeline.at)
            self._pauses.look(self._live.utterance, self._wishes.how.language)

    def _detect(self, pcm: bytes) -> None:
        if self._wishes.settings.server_vad:
            for probability in self._vad.feed(pcm):
                self._act(self._endpointer.hear(probability))

    def _act(self, event: Started | Stopped | None) -> None:
        match event:
            case Started(start):
                spoken = self._begin(start)
                place = self._timeline.in_stream(spoken.start)
                self._report(hearing.Started(spoken.utterance_id, place))
            case Stopped(end) if self._live is not None:
                self._stop(self._live, end)

    def _begin(self, start: int) -> Spoken:
        wishes = self._wishes
        utterance = Utterance(
            self._worker, self._ears, wishes.how, model=wishes.model, interim=wishes.interim
        )
        self._live = self._pending.follow(utterance, max(start, self._timeline.oldest))
        return self._live

    def _stop(self, spoken: Spoken, end: int) -> None:
        self._end(spoken, end)  # first: the engine should not wait until it has been told
        self._report(hearing.Stopped(spoken.utterance_id, self._timeline.in_stream(end)))

    def _end(self, spoken: Spoken, end: int) -> None:
        self._give(spoken, end)
        self._live = None
        spoken.end()

    def _drop(self) -> None:
        if self._live is not None:
            self._live.drop()
            self._live = None

    def _give(self, spoken: Spoken, until: int) -> None:
        """
        Raises:
            Rejected: the utterance has become longer than LONGEST.
        """
        if until - spoken.start > LONGEST:
            raise Rejected("too much audio without a commit", tier="stt")
        if until > spoken.until:
            spoken.utterance.hear(self._timeline.between(spoken.until, until))
            spoken.until = until
