"""Callers who speak recordings in real time, and when what of the answer reached them."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from bench.raw_client import RawClient
from bench.talkers import FRAME_BYTES, FRAME_S, RECORDINGS, recording
from bench.websocket import TEXT, masked

PATH = "/v1/realtime?model=gpt-realtime"
SAMPLES_A_MS, FRAME_SAMPLES = 24, FRAME_BYTES // 2
PATIENCE_S = 60.0  # of a caller for an answer
WINDOW_FRAMES = 8  # of 20 ms, until they and windows of 32 ms begin together again
STAGES = (
    "input_audio_buffer.speech_stopped",
    "conversation.item.input_audio_transcription.completed",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
)
"""Of a turn, in order. What a session tells of each kind first is timed."""
_SETTINGS = (
    b'{"type":"session.update","session":{"type":"realtime",'
    b'"audio":{"input":{"transcription":{"model":"whisper-1"}}}}}'
)


@dataclass(slots=True)
class Turn:
    """Of one caller. All times are of one clock."""

    sent_s: float
    """When the audio was sent in which the end of speech was found."""
    came_s: list[float] = field(default_factory=list)
    """When the first event of each stage came."""


class _Event(msgspec.Struct):
    type: str
    audio_end_ms: int = 0


class _Done(msgspec.Struct):
    class Response(msgspec.Struct):
        status: str

    response: Response


_decode = msgspec.json.Decoder(_Event).decode
_decode_done = msgspec.json.Decoder(_Done).decode


def frames_of(pcm: bytes) -> list[bytes]:
    """Whole messages, ready to be sent: making them shall cost nothing later."""
    whole = len(pcm) // FRAME_BYTES * FRAME_BYTES
    return [_append(pcm[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)]


def _append(frame: bytes) -> bytes:
    audio = base64.b64encode(frame)
    return masked(TEXT, b'{"type":"input_audio_buffer.append","audio":"' + audio + b'"}')


class Caller:
    """Says something, hears the answer to its end, is silent for a while, and so on.

    It sends audio all the time, as a microphone does.
    """

    def __init__(self, number: int, n_turns: int, think_s: float) -> None:
        """
        Args:
            think_s: Of silence between an answer and what is said next.
        """
        self.turns: list[Turn] = []
        self.strange: list[str] = []
        """Statuses of answers that were not completed, and errors."""
        self._number, self._n_turns, self._think_s = number, n_turns, think_s
        self._silence, self._chance = _append(bytes(FRAME_BYTES)), random.Random(number)
        self._sent_s: list[float] = []  # by frame
        self._turn: Turn | None = None
        self._answered = asyncio.Event()

    async def call(self, url: str, key: str) -> None:
        client = await RawClient.to(url, PATH, key, self._hear)
        client.text(_SETTINGS)
        try:
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(self._speak(client), name="speak")
                tasks.create_task(self._hang_up(client, speaking), name="hang up")
        finally:
            client.close()

    async def _hang_up(self, client: RawClient, speaking: asyncio.Task[None]) -> None:
        await asyncio.wait({speaking, client.closed}, return_when=asyncio.FIRST_COMPLETED)
        if not speaking.done():
            self.strange.append("closed")
            speaking.cancel()

    async def _speak(self, client: RawClient) -> None:
        due_s = time.perf_counter()
        for n in range(self._n_turns):
            self._answered.clear()
            name = RECORDINGS[(self._number + n) % len(RECORDINGS)]
            # Or the end would come at the same few places of the windows that are judged.
            pause = [self._silence] * self._chance.randrange(WINDOW_FRAMES)
            frames = iter([*pause, *frames_of(recording(name))])
            until_s = time.perf_counter() + PATIENCE_S
            quiet_s = 0.0
            while quiet_s < self._think_s:
                due_s += FRAME_S
                await asyncio.sleep(due_s - time.perf_counter())
                client.say(next(frames, self._silence))
                self._sent_s.append(time.perf_counter())
                quiet_s = quiet_s + FRAME_S if self._answered.is_set() else 0.0
                if time.perf_counter() > until_s:
                    self.strange.append("no answer")
                    break

    def _hear(self, now_s: float, message: bytes) -> None:
        event = _decode(message)
        if event.type in STAGES:
            self._note(now_s, event)
        elif event.type == "response.done":
            status = _decode_done(message).response.status
            if status != "completed":
                self.strange.append(status)
            self._answered.set()
        elif event.type == "error":
            self.strange.append(message.decode())

    def _note(self, now_s: float, event: _Event) -> None:
        stage = STAGES.index(event.type)
        if stage == 0:
            last = event.audio_end_ms * SAMPLES_A_MS - 1
            self._turn = Turn(self._sent_s[last // FRAME_SAMPLES])
        if (turn := self._turn) is None or len(turn.came_s) != stage:
            return  # not the first of its kind
        turn.came_s.append(now_s)
        if len(turn.came_s) == len(STAGES):
            self.turns.append(turn)


def stages_ms(turns: list[Turn]) -> list[list[float]]:
    """How long each stage took after the one before it; the first after the audio was sent."""
    times = [[turn.sent_s, *turn.came_s] for turn in turns]
    return [
        [1000 * (of[n + 1] - of[n]) for of in times] for n, _ in enumerate(pairwise(["", *STAGES]))
    ]
