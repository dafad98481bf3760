"""The stream's decisions, with a voice activity that hears speech in whatever is loud."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from mesh.chain import Chain
from mesh.errors import Rejected
from stt_service import listener as module
from stt_service.denoise import NoiseReduction
from stt_service.endpointing import WINDOW_SAMPLES, Settings
from stt_service.engine import RATE_HZ, How
from stt_service.hearing import Final, Started, Stopped
from stt_service.listener import KEPT, Listener, Wishes
from stt_service.timeline import Timeline
from stt_service.turn_taking import Eagerness
from stt_service.vad import CONTEXT_SAMPLES
from stt_service.worker import Worker
from tests.fakes.stt import FakeEngine, text_of

MANUAL = Settings(server_vad=False)
VAD = Settings(prefix_ms=64, silence_ms=96)


class LoudIsSpeech:
    """In the place of Silero."""

    def run(self, windows, h, c):
        return np.abs(windows[:, CONTEXT_SAMPLES:]).max(axis=1), h, c


def loud(n_windows: int) -> bytes:
    return np.full(n_windows * WINDOW_SAMPLES, 30_000, dtype="<i2").tobytes()


def quiet(n_windows: int) -> bytes:
    return bytes(2 * n_windows * WINDOW_SAMPLES)


@asynccontextmanager
async def listening(settings: Settings = VAD, engine: FakeEngine | None = None, **wishes):
    worker = Worker(Chain({"fake": engine or FakeEngine()}), LoudIsSpeech(), max_waiting=9)
    heard: list = []
    async with asyncio.TaskGroup() as tasks:
        yield (
            Listener(
                worker,
                Wishes(settings=settings, how=How(), **wishes),
                Timeline(RATE_HZ, 0, KEPT),
                tasks=tasks,
                report=heard.append,
            ),
            heard,
        )
    await worker.close()


def spans(heard: list) -> list[tuple[int, int]]:
    """Start and end of the final transcripts, in windows."""
    return [
        (final.start_sample // WINDOW_SAMPLES, final.end_sample // WINDOW_SAMPLES)
        for final in heard
        if isinstance(final, Final)
    ]


async def test_speech_is_cut_out_of_silence():
    async with listening() as (listener, heard):
        listener.hear(quiet(10) + loud(20) + quiet(10))
        listener.hear(quiet(10) + loud(5) + quiet(10))
        await listener.finish(discard=False)
    assert spans(heard) == [(8, 33), (48, 58)]
    assert heard[:2] == [
        Started("utt_1", 8 * WINDOW_SAMPLES),
        Stopped("utt_1", 33 * WINDOW_SAMPLES),
    ]


async def test_the_engine_hears_the_utterance_and_no_more():
    async with listening() as (listener, heard):
        for pcm in (quiet(10), loud(20), quiet(10)):
            for at in range(0, len(pcm), 642):
                listener.hear(pcm[at : at + 642])
        await listener.finish(discard=False)
    assert [final.heard.text for final in heard if isinstance(final, Final)] == ["8 tenths"]


async def test_silence_is_not_needed_for_a_replay_but_for_the_padding():
    async with listening() as (listener, _):
        listener.hear(quiet(100))
        assert listener.replay_from == 98 * WINDOW_SAMPLES
        listener.hear(loud(9))
        assert listener.replay_from == 98 * WINDOW_SAMPLES
        await listener.finish(discard=True)
        assert listener.received == 109 * WINDOW_SAMPLES


async def test_what_waits_for_its_text_is_needed_for_a_replay():
    engine = FakeEngine()
    engine.may_finish.clear()
    async with listening(engine=engine) as (listener, heard):
        listener.hear(quiet(10) + loud(10) + quiet(100))
        assert listener.replay_from == 8 * WINDOW_SAMPLES
        engine.may_finish.set()
        await listener.finish(discard=False)
        assert spans(heard) == [(8, 23)]
        assert listener.replay_from == 118 * WINDOW_SAMPLES


async def test_in_manual_mode_silence_counts():
    async with listening(MANUAL) as (listener, heard):
        listener.hear(quiet(3) + loud(3))
        assert listener.replay_from == 0
        listener.commit("a")
        listener.hear(quiet(2))
        listener.commit("b")
        await listener.finish(discard=False)
    assert spans(heard) == [(0, 6), (6, 8)]


async def test_a_commit_behind_much_silence_takes_the_last_of_it():
    async with listening() as (listener, heard):
        for _ in range(20):
            listener.hear(quiet(25))
        listener.commit("a")
        await listener.finish(discard=False)
    [final] = heard
    assert final.end_sample - final.start_sample == KEPT


async def test_to_manual_and_back():
    async with listening() as (listener, heard):
        listener.hear(quiet(4) + loud(6))
        listener.update(replace(listener.wishes, settings=MANUAL))
        listener.hear(quiet(10))
        listener.commit("mine")
        listener.hear(quiet(5))
        listener.update(replace(listener.wishes, settings=VAD))
        listener.hear(quiet(5) + loud(5) + quiet(5))
        await listener.finish(discard=False)
    assert spans(heard) == [(2, 20), (28, 38)]
    assert [type(each).__name__ for each in heard] == [
        "Started", "Started", "Stopped", "Final", "Final"
    ]  # fmt: skip


async def test_how_to_recognize_changes_with_the_next_utterance():
    engine = FakeEngine()
    async with listening(MANUAL, engine) as (listener, _):
        listener.hear(loud(1))
        listener.update(replace(listener.wishes, how=How(prompt="new")))
        listener.commit("a")
        listener.hear(loud(1))
        listener.commit("b")
        await listener.finish(discard=False)
    assert [how.prompt for how in engine.asked] == ["", "new"]


async def test_a_clear_drops_an_utterance_that_has_hardly_begun():
    engine = FakeEngine()
    async with listening(MANUAL, engine) as (listener, heard):
        listener.hear(loud(3))
        listener.clear()  # its task has not run yet
        listener.hear(loud(2))
        listener.commit("a")
        await listener.finish(discard=False)
        assert listener.replay_from == 5 * WINDOW_SAMPLES
    assert spans(heard) == [(3, 5)]


async def test_finish_leaves_alone_what_only_the_client_may_commit():
    async with listening(MANUAL) as (listener, heard):
        listener.hear(loud(9))
        await listener.finish(discard=False)
    assert heard == []


async def test_finish_ends_speech_that_goes_on():
    async with listening() as (listener, heard):
        listener.hear(quiet(4) + loud(9) + loud(1)[:400])
        await listener.finish(discard=False)
    assert [type(each).__name__ for each in heard] == ["Started", "Stopped", "Final"]
    assert heard[-1].end_sample == listener.received == 13 * WINDOW_SAMPLES + 200


async def test_a_client_that_never_commits_is_stopped(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 10 * WINDOW_SAMPLES)
    async with listening(MANUAL) as (listener, _):
        listener.hear(loud(10))
        with pytest.raises(Rejected, match="commit"):
            listener.hear(loud(1))
        await listener.finish(discard=True)


class Halting(FakeEngine):
    """Has heard half a sentence up to a second of audio, and a whole one behind it."""

    def ear(self, tenant=""):
        ear = super().ear()
        make = ear.recognizer

        def recognizer(how):
            made = make(how)
            made.guess = lambda: "and then" if made._n_samples < RATE_HZ else "that's all"
            return made

        ear.recognizer = recognizer
        return ear


async def test_what_was_said_tells_how_long_a_pause_may_be():
    settings = Settings(prefix_ms=0, semantic=True, eagerness=Eagerness.HIGH)
    async with listening(settings, Halting()) as (listener, heard):
        for piece in listener.pieces(loud(15) + quiet(60) + loud(15) + quiet(20)):
            assert len(piece) <= 2 * 3 * WINDOW_SAMPLES
            listener.hear(piece)
            await listener.room()
        await listener.finish(discard=False)
    assert spans(heard) == [(0, 100)]  # 1.9 s of silence ended nothing, then 0.3 s did
    assert [type(each).__name__ for each in heard] == ["Started", "Stopped", "Final"]


async def test_audio_is_heard_in_one_piece_if_no_pause_has_a_meaning():
    async with listening() as (listener, _):
        assert listener.pieces(loud(50)) == [loud(50)]
        listener.update(replace(listener.wishes, settings=replace(MANUAL, semantic=True)))
        assert listener.pieces(loud(50)) == [loud(50)]
        await listener.finish(discard=True)


async def test_noise_reduction_comes_and_goes_in_mid_stream_and_loses_no_sample():
    async with listening(MANUAL) as (listener, heard):
        for noise in (None, NoiseReduction(), NoiseReduction(far=True), None):
            listener.update(replace(listener.wishes, noise=noise))
            for size in (700, 1, 3199):
                listener.hear(bytes(2 * size))
        listener.commit("a")
        await listener.finish(discard=False)
    [final] = heard
    assert (final.start_sample, final.end_sample) == (0, 4 * 3900)
    assert final.heard.text == text_of(4 * 3900)
