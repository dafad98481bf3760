"""One engine breaks off, another of another rate and loudness goes on: what is heard."""

from dataclasses import replace

import numpy as np
import pytest

from mesh.audio import n_samples, to_float32
from mesh.chain import Chain
from mesh.threads import ModelThreads
from tests.fakes.tts import CHAR_SAMPLES, RATE_HZ, FakeEngine
from tts_service.engine import Manner, Word
from tts_service.loudness import TARGET_RMS, Levels
from tts_service.progress import Sound
from tts_service.worker import Worker, warm_up

TEXT = "Hello there, my old friend."
WORD_STARTS = (0, 6, 13, 16, 20)


class Hum(FakeEngine):
    """The fake at a loudness and a rate of its own."""

    def __init__(self, rms: float, rate_hz: int, *, tells: bool = True, fails_at=None) -> None:
        super().__init__()
        self.sample_rate_hz, self._rms, self._tells, self._fails_at = rate_hz, rms, tells, None
        self._fails_after = fails_at

    def synthesize(self, text, manner, halt):
        size = CHAR_SAMPLES * self.sample_rate_hz // RATE_HZ
        wave = np.sqrt(2) * self._rms * np.sin(2 * np.pi * 200 * np.arange(size) / (50 * size))
        for n, piece in enumerate(super().synthesize(text, manner, halt)):
            if n == self._fails_after:
                raise RuntimeError("the fake fails as told")
            words = [replace(w, start_sample=w.start_char * size) for w in piece.words]
            yield replace(
                piece, samples=wave.astype(np.float32), words=tuple(words) if self._tells else ()
            )


@pytest.fixture
async def threads():
    threads = ModelThreads("test")
    yield threads
    await threads.close()


async def heard(threads, rate_hz: int, text: str, *engines: Hum) -> tuple[bytes, list[Word]]:
    levels, pcm, words = Levels(), b"", []
    for engine in engines:
        after, engine._fails_after = engine._fails_after, None
        warm_up(engine, levels)
        engine._fails_after = after
        engine.texts.clear()
    worker = Worker(Chain({str(n): engine for n, engine in enumerate(engines)}), threads, levels)
    async for sound in worker.speaker(Manner(), rate_hz).speak(text):
        if isinstance(sound, Sound):
            pcm += sound.pcm
            words += sound.words
    return pcm, words


@pytest.mark.parametrize("first_rate_hz", [16_000, 22_050, 24_000])
@pytest.mark.parametrize("fails_after", [1, 9, 14, 20])
async def test_a_change_of_engine_is_no_change_of_loudness(threads, first_rate_hz, fails_after):
    first = Hum(0.03, first_rate_hz, fails_at=fails_after)
    pcm, _ = await heard(threads, RATE_HZ, TEXT, first, Hum(0.25, 22_050))
    frames = to_float32(pcm)[: n_samples(pcm) // CHAR_SAMPLES * CHAR_SAMPLES]
    rms = np.sqrt(np.mean(frames.reshape(-1, CHAR_SAMPLES) ** 2, axis=1))
    edge = int(np.argmin(np.abs(np.arange(len(rms)) - fails_after)))
    steady = np.delete(rms, [0, max(0, edge - 1), min(edge, len(rms) - 1), -1])  # filter edges
    steps_db = 20 * np.log10(steady / TARGET_RMS)
    assert np.abs(steps_db).max() < 1.0


@pytest.mark.parametrize("fails_after", range(len(TEXT)))
async def test_at_every_character_the_rest_is_spoken_and_nothing_twice(threads, fails_after):
    good = Hum(0.1, RATE_HZ)
    pcm, words = await heard(threads, RATE_HZ, TEXT, Hum(0.1, RATE_HZ, fails_at=fails_after), good)
    resumed = next((start for start in WORD_STARTS if start >= fails_after), len(TEXT))
    assert good.texts == ([TEXT[resumed:]] if resumed < len(TEXT) else [])
    assert [word.start_char for word in words] == list(WORD_STARTS)
    assert n_samples(pcm) == (fails_after + len(TEXT) - resumed) * CHAR_SAMPLES


@pytest.mark.parametrize("breaks", [(1, 1), (7, 3), (14, 14), (0, 0), (13, 2)])
async def test_a_third_engine_goes_on_where_the_second_broke_off(threads, breaks):
    one, two = (Hum(0.1, RATE_HZ, fails_at=after) for after in breaks)
    _, words = await heard(threads, RATE_HZ, TEXT, one, two, Hum(0.2, 16_000))
    assert [word.start_char for word in words] == list(WORD_STARTS)
    samples = [word.start_sample for word in words]
    assert samples == sorted(set(samples))


@pytest.mark.parametrize("fails_after", range(1, len(TEXT), 4))
async def test_an_engine_without_word_timing_is_not_repeated(threads, fails_after):
    good = Hum(0.1, RATE_HZ)
    silent = Hum(0.1, RATE_HZ, tells=False, fails_at=fails_after)
    pcm, _ = await heard(threads, RATE_HZ, TEXT, silent, good)
    assert good.texts == []
    assert n_samples(pcm) == fails_after * CHAR_SAMPLES
