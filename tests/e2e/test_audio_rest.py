"""Speech and transcription over REST with the stock `openai` client, over the real mesh."""

from __future__ import annotations

import asyncio
import io
import wave

import av
import pytest

from gateway.rest.encoding import RATE_HZ, encoder
from tests.e2e import judges
from tests.e2e.speech import recording

SAID = "What is the weather in Paris?"


@pytest.fixture
async def client(stack):
    async with stack.openai() as client:
        yield client


def wav(pcm: bytes) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm)
    return out.getvalue()


def mp3(pcm: bytes) -> bytes:
    it = encoder("mp3")
    return it.feed(pcm) + it.finish()


def pcm_of(file: bytes) -> bytes:
    """PCM16 LE mono, RATE_HZ."""
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    with av.open(io.BytesIO(file)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    frames += resampler.resample(None)
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)


async def test_text_is_spoken_into_a_file_and_heard_in_it_again(client):
    asked = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": SAID, "response_format": "mp3"}
    async with client.audio.speech.with_streaming_response.create(**asked) as response:
        spoken = await response.read()
    judges.speech_fits(pcm_of(spoken), SAID)
    heard = await client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", spoken))
    # Our smallest recogniser hears our smallest voice badly, and not the same in each process.
    assert len(heard.text.split()) >= 3, heard.text
    assert heard.usage.seconds in range(1, 5)


async def test_what_is_spoken_can_be_understood_also_when_it_is_fast(client):
    for speed in (1.0, 1.25):
        spoken = await client.audio.speech.create(
            model="tts-1", voice="alloy", input=SAID, response_format="pcm", speed=speed
        )
        judges.speech_fits(spoken.content, SAID)


async def test_speech_comes_before_it_is_finished(client):
    text = " ".join(f"This is sentence number {n}." for n in range(1, 40))
    asked = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm"}
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    first_s = n_bytes = 0
    async with client.audio.speech.with_streaming_response.create(**asked) as response:
        async for chunk in response.iter_bytes():
            first_s = first_s or loop.time() - began_s
            n_bytes += len(chunk)
    assert n_bytes / 2 / RATE_HZ > 30
    assert first_s < (loop.time() - began_s) / 2


@pytest.mark.parametrize("container", [wav, mp3])
async def test_recordings_are_transcribed(client, container):
    file = container(recording("what_time_is_it_in_london_today"))
    heard = await client.audio.transcriptions.create(model="whisper-1", file=("a", file))
    assert heard.text.lower().rstrip(".?") == "what time is it in london today"


async def test_a_recording_with_pauses_comes_passage_by_passage_with_its_times(client):
    pause = bytes(2 * RATE_HZ * 2)
    first, second = (
        recording(name)
        for name in ("what_time_is_it_in_london_today", "what_is_the_weather_in_paris")
    )
    file = ("a.wav", wav(pause + first + pause + second))
    stream = await client.audio.transcriptions.create(model="m", file=file, stream=True)
    *deltas, done = [event async for event in stream]
    assert len(deltas) == 2
    assert done.text.lower().split()[-2:] == ["in", "paris"]

    found = await client.audio.transcriptions.create(
        model="m",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    where = [(segment.start, segment.end) for segment in found.segments]
    first_s, second_s = len(first) / 2 / RATE_HZ, len(second) / 2 / RATE_HZ
    assert where[0] == (pytest.approx(2, abs=0.5), pytest.approx(2 + first_s, abs=0.8))
    assert where[1][0] == pytest.approx(4 + first_s, abs=0.5)
    assert found.duration == pytest.approx(4 + first_s + second_s, abs=0.05)
    starts = [word.start for word in found.words]
    assert starts == sorted(starts)
    assert found.words[-1].word.lower().strip(".?") == "paris"
