"""One utterance on its way to text, while it is being spoken.

All its audio is kept: an engine that fails is replaced, and the next one hears it all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from mesh.audio import SAMPLE_BYTES
from mesh.errors import Broken, MeshError, Overloaded
from mesh.fair_queue import Turn
from stt_service import details, metrics
from stt_service.engine import RATE_HZ, Heard, How, Recognizer
from stt_service.worker import Ears, Seat, Worker

ATTEMPTS = 2  # R5.6: retry once, then say that it failed
PIECE_BYTES = RATE_HZ // 2 * SAMPLE_BYTES  # 0.5 s, some 0.1 s of work: others wait no longer
PATIENCE_S = 5.0  # for a free decoder or thread; later words are of no use to a conversation
AGAIN_S = 0.05

FINAL, LIVE, GUESS = 0, 1, 2  # ranks: whose speech has ended waits for an answer

T = TypeVar("T")

log = logging.getLogger(__name__)


class Utterance:
    """Give it audio with `hear`, say `end`; `outcome` is what was said.

    All audio is PCM16 LE mono 16 kHz.
    """

    def __init__(
        self, worker: Worker, ears: Ears, how: How, *, model: str = "", interim: bool = False
    ) -> None:
        """
        Args:
            model: The engine's model that is wanted, if it can be had.
            interim: Whether guesses are wanted.
        """
        self._worker, self._ears, self._how, self._model = worker, ears, how, model
        self.interim = interim
        self.pausing = False
        """The speaker may be done: no time for a guess that the end would wait for."""

        self.moved: Callable[[], None] = lambda: None
        """Called whenever `behind_samples` has become less."""

        self.engine = ""
        """Name of the engine that hears it."""

        self._pcm = bytearray()
        self._fed = 0  # bytes that the engine has heard
        self._asked: Callable[[str], None] | None = None
        self._ended_s: float | None = None
        self._is_over = False
        self._more = asyncio.Event()

    @property
    def behind_samples(self) -> int:
        """Audio that an engine is yet to hear."""
        return 0 if self._is_over else (len(self._pcm) - self._fed) // SAMPLE_BYTES

    def hear(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._more.set()

    def ask(self, told: Callable[[str], None] | None) -> None:
        """Have the text of all that was given so far told once, whether or not guesses are
        wanted; empty if it cannot be had now. None takes the question back."""
        self._asked = told
        self._more.set()

    def end(self) -> None:
        """No more audio will come."""
        self._ended_s = time.monotonic()
        self._more.set()

    async def outcome(self, guessed: Callable[[str, int], None] = lambda text, at: None) -> Heard:
        """Hear all of it. Runs from the first audio to the end; cancelling it drops all.

        Args:
            guessed: Called with the text so far and the samples that it covers.

        Raises:
            Rejected: no engine here knows the language.
            Overloaded: no engine has had room for it for PATIENCE_S.
            Broken: ATTEMPTS failed.
        """
        try:
            heard = await self._attempts(guessed)
            return await self._with_details(heard)
        finally:
            self._is_over = True
            self.moved()

    async def _with_details(self, heard: Heard) -> Heard:
        if not self._how.needs_words:
            return heard
        return await asyncio.to_thread(
            details.added, heard, self._how, bytes(self._pcm), self._ears.voices
        )

    async def _attempts(self, guessed: Callable[[str, int], None]) -> Heard:
        tried: list[str] = []
        while len(tried) < ATTEMPTS:
            seat = self._worker.seat(self._how, self._model, tried)
            self.engine = seat.name
            if tried:
                metrics.HANDOVERS.labels(tried[-1], seat.name).inc()
            try:
                heard = await self._hear_with(seat, guessed)
            except (MeshError, asyncio.CancelledError):
                self._worker.chain.released(seat.name)
                raise
            except Exception as error:  # whatever a library raises, the next one hears it
                log.debug("engine raised", extra={"engine": seat.name}, exc_info=True)
                self._worker.chain.failed(seat.name, type(error).__name__)
                tried.append(seat.name)
            else:
                self._worker.chain.worked(seat.name)
                return heard
        raise Broken(f"recognition failed with {' and '.join(tried)}", tier="stt")

    async def _hear_with(self, seat: Seat, guessed: Callable[[str, int], None]) -> Heard:
        recognizer = self._ears.of(seat).recognizer(self._how)
        self._fed, told_at = 0, 0
        try:
            while True:
                while self._fed < len(self._pcm):
                    await self._feed(seat, recognizer)
                if self._ended_s is not None:
                    return await self._finish(seat, recognizer)
                if self._asked is not None or self._may_guess(seat, told_at):
                    told_at = self._fed
                    text = await self._guess(seat, recognizer)
                    if self.interim and text and self._ended_s is None:
                        guessed(text, told_at // SAMPLE_BYTES)
                    continue  # more may have come meanwhile
                self._more.clear()
                await self._more.wait()
        finally:
            recognizer.close()

    async def _feed(self, seat: Seat, recognizer: Recognizer) -> None:
        piece = bytes(self._pcm[self._fed : self._fed + PIECE_BYTES])
        if seat.engine.streaming:
            await self._patiently(seat, recognizer.feed, piece)
        else:
            recognizer.feed(piece)
        self._fed += len(piece)
        self.moved()

    async def _finish(self, seat: Seat, recognizer: Recognizer) -> Heard:
        """
        Raises:
            Overloaded: there was no room for it for PATIENCE_S.
        """
        until_s = time.monotonic() + PATIENCE_S
        while True:
            while recognizer.lags:
                await self._patiently(seat, recognizer.feed, b"")
                until_s = time.monotonic() + PATIENCE_S
            try:
                return await seat.run(recognizer.finish, turn=self._turn())
            except Overloaded:
                if time.monotonic() > until_s:
                    raise
            if not recognizer.lags:
                await asyncio.sleep(AGAIN_S)

    async def _guess(self, seat: Seat, recognizer: Recognizer) -> str:
        """The text so far; told to whoever asked for it."""
        asked = self._asked
        try:
            text = await seat.run(
                recognizer.guess, turn=Turn(tenant=self._ears.tenant_id, rank=GUESS)
            )
        except Overloaded:  # that is no failure of the utterance
            text = ""
        if asked is not None and asked is self._asked:
            self._asked = None
            asked(text)
        return text

    def _may_guess(self, seat: Seat, told_at: int) -> bool:
        new_ms = (self._fed - told_at) * 1000 // (SAMPLE_BYTES * RATE_HZ)
        return (
            self.interim
            and not self.pausing
            and new_ms >= seat.engine.guess_every_ms
            and not seat.threads.waiting
        )

    def _turn(self) -> Turn:
        """Finals before all else, and of those the earliest end of speech first."""
        if self._ended_s is None:
            return Turn(tenant=self._ears.tenant_id, rank=LIVE)
        return Turn(tenant=self._ears.tenant_id, rank=FINAL, deadline_s=self._ended_s)

    async def _patiently(self, seat: Seat, work: Callable[..., T], *args: object) -> T:
        """Run work that may find no room, until it does.

        Raises:
            Overloaded: it found none for PATIENCE_S.
        """
        for _ in range(int(PATIENCE_S / AGAIN_S)):
            try:
                return await seat.run(work, *args, turn=self._turn())
            except Overloaded:
                await asyncio.sleep(AGAIN_S)
        raise Overloaded("no decoder is free", tier="stt", retry_after_s=1.0)
