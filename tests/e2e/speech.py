"""What tests of spoken turns need: recordings, and judges of what was spoken back."""

from __future__ import annotations

import base64
import wave
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
RATE_HZ = 24_000
FRAME_BYTES = 960


def recording(name: str) -> bytes:
    """A recording of tests/data (PCM16 LE mono 24 kHz)."""
    with wave.open(str(DATA / f"{name}.wav")) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE_HZ, 1, 2)
        frames: bytes = wav.readframes(wav.getnframes())
        return frames


async def speak(connection: Any, pcm: bytes) -> None:
    """Append a recording through the stock client, as fast as it goes."""
    for at in range(0, len(pcm), FRAME_BYTES):
        audio = base64.b64encode(pcm[at : at + FRAME_BYTES]).decode()
        await connection.input_audio_buffer.append(audio=audio)
