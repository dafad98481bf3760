from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from gateway.pacer import FRAME_BYTES, SLOTS, Track, Wheel
from tests.clock import simulated

SECOND = 48_000  # bytes


class Studio:
    """A wheel that turns in simulated time, and what its tracks have sent when."""

    def __init__(self) -> None:
        self.wheel = Wheel()
        self.sent: list[tuple[float, bytes]] = []
        self.times_s: list[list[float]] = []
        """The same, for each track."""

    def track(self, lead_s: float = 0.4) -> Track:
        times_s: list[float] = []
        self.times_s.append(times_s)

        def send(frame: bytes) -> None:
            times_s.append(self.wheel.now_s())
            self._send(frame)

        track = Track(self.wheel, send, lead_s)
        self.wheel.join(track)
        return track

    def _send(self, frame: bytes) -> None:
        self.sent.append((self.wheel.now_s(), frame))

    def sent_by(self, now_s: float) -> float:
        """Seconds of audio sent until then."""
        return sum(len(frame) for at_s, frame in self.sent if at_s <= now_s + 1e-9) / SECOND

    @property
    def audio(self) -> bytes:
        return b"".join(frame for _, frame in self.sent)


def perform(act: Callable[[Studio], Awaitable[None]]) -> Studio:
    """Run `act` while the wheel turns."""

    async def run() -> Studio:
        studio = Studio()
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(studio.wheel.run(), name="wheel")
            await act(studio)
            turning.cancel()
        return studio

    with simulated() as loop:
        return loop.run_until_complete(run())


def pcm(seconds: float) -> bytes:
    n = int(seconds * SECOND) // 2 * 2
    return bytes(k % 251 for k in range(n))


def test_audio_leaves_in_frames_of_20_ms_the_last_may_be_shorter():
    async def act(studio: Studio) -> None:
        track = studio.track()
        await track.add(pcm(0.05))
        await track.drain()

    studio = perform(act)
    assert [len(frame) for _, frame in studio.sent] == [FRAME_BYTES, FRAME_BYTES, FRAME_BYTES // 2]
    assert studio.audio == pcm(0.05)


def test_a_part_of_a_frame_waits_for_its_rest():
    async def act(studio: Studio) -> None:
        track = studio.track()
        await track.add(pcm(0.03))
        await asyncio.sleep(1)
        assert len(studio.audio) == FRAME_BYTES
        await track.add(pcm(0.03))
        await track.drain()

    assert perform(act).audio == pcm(0.03) * 2


@pytest.mark.parametrize("lead_s", [0.1, 0.4])
def test_the_lead_goes_at_once_and_the_rest_in_real_time(lead_s):
    async def act(studio: Studio) -> None:
        track = studio.track(lead_s)
        await track.add(pcm(1.5))
        assert studio.sent_by(0) == pytest.approx(lead_s)
        await track.drain()

    studio = perform(act)
    for now_s in (0.1, 0.5, 1.0):
        ahead_s = studio.sent_by(now_s) - now_s
        assert lead_s - 0.021 <= ahead_s <= lead_s + 0.021
    assert studio.audio == pcm(1.5)
    assert studio.sent[-1][0] == pytest.approx(1.5 - lead_s, abs=0.041)


def test_the_clock_waits_while_there_is_nothing_to_hear():
    async def act(studio: Studio) -> None:
        track = studio.track(0.1)
        await track.add(pcm(0.2))
        await asyncio.sleep(5)
        await track.add(pcm(1.0))
        assert studio.sent_by(5) == pytest.approx(0.2 + 0.1, abs=0.021)
        await track.drain()

    studio = perform(act)
    assert studio.sent[-1][0] == pytest.approx(5.9, abs=0.041)


def test_who_adds_too_much_waits_until_less_than_two_seconds_wait():
    async def act(studio: Studio) -> None:
        track = studio.track(0.4)
        await track.add(pcm(3.0))
        assert studio.wheel.now_s() == pytest.approx(0.6, abs=0.041)

    perform(act)


def test_a_late_turn_is_made_up_for_as_far_as_the_lead_went():
    async def act(studio: Studio) -> None:
        track = Track(studio.wheel, studio._send, 0.4)  # nobody turns it but us
        await track.add(pcm(2.0))
        track.turn(0.3)
        assert len(studio.audio) / SECOND == pytest.approx(0.7, abs=0.021)
        track.turn(5.0)  # the user has waited: only the lead is due again
        assert len(studio.audio) / SECOND == pytest.approx(1.1, abs=0.041)

    perform(act)


def test_two_replies_are_moved_side_by_side():
    async def act(studio: Studio) -> None:
        async with asyncio.TaskGroup() as tasks:
            for track in (studio.track(), studio.track()):
                tasks.create_task(_play(track), name="play")

    async def _play(track: Track) -> None:
        await track.add(pcm(1.0))
        await track.drain()

    studio = perform(act)
    assert studio.sent[-1][0] == pytest.approx(0.6, abs=0.041)
    assert len(studio.audio) == 2 * SECOND


def test_many_replies_leave_spread_over_the_twenty_milliseconds_each_in_even_steps():
    n_tracks = 5 * SLOTS

    async def act(studio: Studio) -> None:
        async with asyncio.TaskGroup() as tasks:
            for n in range(n_tracks):
                await asyncio.sleep(0.0033)  # at no moment of the wheel's
                tasks.create_task(play(studio.track(0.1)), name=f"play {n}")

    async def play(track: Track) -> None:
        for _ in range(30):  # as synthesis makes it
            await track.add(pcm(0.1))
        await track.drain()

    studio = perform(act)
    together: Counter[float] = Counter()
    for times_s in studio.times_s:
        steps_ms = [1000 * (b - a) for a, b in itertools.pairwise(times_s[6:])]  # behind the lead
        assert steps_ms == pytest.approx([20] * len(steps_ms), abs=0.01)
        together.update(round(at_s, 6) for at_s in times_s if 1 < at_s < 2)
    assert set(together.values()) == {n_tracks // SLOTS}


def test_a_wheel_that_was_held_up_turns_what_it_missed_once_and_keeps_its_step():
    async def act(studio: Studio) -> None:
        tracks = [studio.track(0.1) for _ in range(SLOTS)]
        for track in tracks:
            await track.add(pcm(1.0))
        await asyncio.sleep(0.201)
        before = [len(times_s) for times_s in studio.times_s]
        studio.wheel._turn(int(0.213 / 0.002))  # what it finds after 13 ms
        missed = [len(times_s) - n for times_s, n in zip(studio.times_s, before, strict=True)]
        assert sorted(missed) == [0] * 4 + [1] * 6
        async with asyncio.TaskGroup() as tasks:
            for track in tracks:
                tasks.create_task(track.drain(), name="drain")

    studio = perform(act)
    for times_s in studio.times_s:
        late_ms = [1000 * (b - a) - 20 for a, b in itertools.pairwise(times_s[6:])]
        assert sum(late_ms) == pytest.approx(0, abs=0.01)
    assert len(studio.audio) == SLOTS * SECOND


def test_a_track_that_left_is_moved_no_more():
    async def act(studio: Studio) -> None:
        track = studio.track(0.1)
        await track.add(pcm(1.0))
        studio.wheel.leave(track)
        await asyncio.sleep(5)

    assert len(perform(act).audio) == SECOND // 10


def test_an_error_while_sending_is_the_replys_and_not_the_wheels():
    class Gone(Exception):
        pass

    async def act(studio: Studio) -> None:
        def send(frame: bytes) -> None:
            if studio.wheel.now_s() > 0:
                raise Gone

        broken = Track(studio.wheel, send, 0.1)
        studio.wheel.join(broken)
        await broken.add(pcm(1.0))
        with pytest.raises(Gone):
            await broken.drain()
        studio.wheel.leave(broken)
        other = studio.track()
        await other.add(pcm(1.0))
        await other.drain()

    assert len(perform(act).audio) == SECOND
