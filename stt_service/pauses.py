"""Semantic endpointing: each pause of a speaker is judged by what was said before it.

`turn_taking` decides; here it gets its text in time. When a pause has lasted for ASK_MS the
utterance is asked for its text so far, and the endpointer is told how long the pause may
last. When the speaker goes on first, the question is taken back.

Why audio waits for the answer: a pause ends at a place in the audio. Audio that comes
faster than it was spoken, or a slow engine, shall not move that place. Only when the engine
gets no further for PATIENCE_S does the stream go on without the answer; that counts when it
comes.
"""

from __future__ import annotations

import asyncio

from stt_service.endpointing import Endpointer
from stt_service.turn_taking import WAITS, wait_ms
from stt_service.utterance import Utterance

ASK_MS = 190  # shorter pauses lie between words; decoders have the last word right by then
PIECE_MS = 96  # three windows: so much audio at a time cannot skip from ASK_MS to an end
PATIENCE_S = 2.0  # a piece of half a second takes an engine 0.1 s, on a busy machine one


class Pauses:
    def __init__(self, endpointer: Endpointer) -> None:
        self._endpointer = endpointer
        self._utterance: Utterance | None = None  # that was asked last
        self._pause: int | None = None  # the one that is being judged: where it starts
        self._text: str | None = None  # what was said before it, once that is known
        self._language = ""
        self._known = asyncio.Event()  # or it is no longer waited for

    def look(self, utterance: Utterance, language: str) -> None:
        """Call it for the utterance being heard whenever that has been given audio."""
        settings = self._endpointer.settings
        pause = self._endpointer.pause if settings.server_vad and settings.semantic else None
        if pause is None:
            self._forget(utterance)
        elif pause != self._pause and self._endpointer.pause_ms >= ASK_MS:
            self._forget(utterance)
            self._utterance, self._pause, self._language = utterance, pause, language
            utterance.ask(lambda text: self._answer(pause, text))
        elif self._text is not None:
            self._judge(self._text)  # again, since the eagerness may be another by now

    async def settled(self) -> None:
        """Wait for the answer, if the pause might end in the audio that comes next."""
        if self._utterance is None or self._known.is_set() or not self._may_end():
            return
        left = self._utterance.behind_samples
        while not await self._is_known_in_time():
            left, behind = self._utterance.behind_samples, left
            if left >= behind:
                self._known.set()

    async def _is_known_in_time(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._known.wait()
        except TimeoutError:
            return self._known.is_set()

    def _may_end(self) -> bool:
        """Whether a pause that is being judged may end with the next piece of audio."""
        shortest_ms = WAITS[self._endpointer.settings.eagerness].finished
        return (
            self._pause is not None
            and self._pause == self._endpointer.pause
            and self._endpointer.pause_ms >= shortest_ms - PIECE_MS
        )

    def _answer(self, pause: int, text: str) -> None:
        if pause == self._pause == self._endpointer.pause:
            self._text = text
            self._judge(text)
            self._known.set()

    def _judge(self, text: str) -> None:
        longest_ms = self._endpointer.longest_pause_ms
        eagerness = self._endpointer.settings.eagerness
        allowed_ms = wait_ms(
            text, eagerness, language=self._language, longest_pause_ms=longest_ms
        )  # fmt: skip
        self._endpointer.allow(allowed_ms)

    def _forget(self, utterance: Utterance) -> None:
        if self._pause is not None:
            self._utterance = self._pause = self._text = None
            self._known.clear()
            utterance.ask(None)
