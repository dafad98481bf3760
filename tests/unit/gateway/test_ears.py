from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.backends import Unheard
from gateway.ears import MOST_BYTES, PIECE_BYTES, Ears
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import ServerVad
from mesh.errors import Unavailable
from tests.clock import Clock

DETECT, BY_HAND = do.Listening(ServerVad()), do.Listening(None)


class Mesh:
    """Records what microphones are told; `gate` holds `hear` back, `lose` breaks one."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.opened: list[tuple[do.Listening, int]] = []
        self.open = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.news: asyncio.Queue[sig.Hearing | Unheard | Unavailable] = asyncio.Queue()
        self.changed = asyncio.Event()

    @asynccontextmanager
    async def listen(
        self, how: do.Listening, from_sample: int, epoch: int = 1
    ) -> AsyncIterator[Mesh]:
        self.opened.append((how, from_sample))
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1
            self.changed.set()

    async def hear(self, pcm: bytes) -> None:
        await self.gate.wait()
        self._tell(pcm)

    async def end_utterance(self, utterance: str) -> None:
        self._tell(utterance)

    async def forget(self) -> None:
        self._tell("forget")

    async def listen_like(self, how: do.Listening) -> None:
        self._tell(how)

    async def __aiter__(self) -> AsyncIterator[sig.Hearing | Unheard]:
        while True:
            news = await self.news.get()
            if isinstance(news, Unavailable):
                raise news
            yield news

    def _tell(self, what: object) -> None:
        self.told.append(what)
        self.changed.set()

    async def until(self, holds) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


class Line:
    """The microphone of a Mesh under the port's names."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.hear, self.end_utterance, self.forget = mesh.hear, mesh.end_utterance, mesh.forget
        self.listen = mesh.listen_like

    def __aiter__(self) -> AsyncIterator[sig.Hearing | Unheard]:
        return aiter(self._mesh)


class Later:
    """Takes what could not be heard."""

    def __init__(self) -> None:
        self.taken: list[tuple[Unheard, do.Listening]] = []

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(unheard.utterance for unheard, _ in self.taken)

    def take(self, unheard: Unheard, how: do.Listening) -> None:
        self.taken.append((unheard, how))


class Backends:
    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    @asynccontextmanager
    async def listen(
        self, how: do.Listening, from_sample: int, epoch: int = 1
    ) -> AsyncIterator[Line]:
        async with self._mesh.listen(how, from_sample):
            yield Line(self._mesh)


@pytest.fixture
async def mesh():
    return Mesh()


@pytest.fixture
def reported():
    return []


@pytest.fixture
def later():
    return Later()


@pytest.fixture
async def ears(mesh, reported, later):
    ears = Ears(Backends(mesh), idle_s=60)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(ears.run(reported.append, later), name="ears")
        yield ears
        running.cancel()


async def test_a_silent_caller_costs_no_stream(mesh, ears):
    for how in (DETECT, BY_HAND):
        ears.put(do.Listen(how))
    ears.put(do.ForgetAudio())
    for _ in range(5):
        await asyncio.sleep(0)
    assert mesh.opened == []
    ears.put(do.Hear(b"\1\0"))
    await mesh.until(lambda: mesh.told == [b"\1\0"])
    assert mesh.opened == [(BY_HAND, 0)]


async def test_commands_keep_their_order_and_audio_batches_itself(mesh, ears):
    mesh.gate.clear()
    ears.put(do.Listen(DETECT))
    ears.put(do.Hear(b"\1\0"))
    for command in (
        do.Hear(b"\2\0"),
        do.Hear(b"\3\0"),
        do.EndUtterance("item_1"),
        do.Hear(b"\4\0"),
        do.Listen(BY_HAND),
        do.ForgetAudio(),
    ):
        ears.put(command)
    mesh.gate.set()
    await mesh.until(lambda: "forget" in mesh.told)
    audio = b"".join(told for told in mesh.told if isinstance(told, bytes))
    assert audio == b"\1\0\2\0\3\0\4\0"
    at = mesh.told.index("item_1")
    assert mesh.told[at - 1].endswith(b"\3\0")
    assert mesh.told[at:] == ["item_1", b"\4\0", BY_HAND, "forget"]


async def test_a_recording_in_one_piece_goes_on_in_several(mesh, ears):
    recording = bytes(range(256)) * (5 * PIECE_BYTES // 512)
    mesh.gate.clear()
    ears.put(do.Hear(recording))
    assert ears.behind_s == len(recording) / 48_000
    mesh.gate.set()
    await mesh.until(lambda: sum(map(len, mesh.told)) == len(recording))
    assert b"".join(mesh.told) == recording
    assert max(map(len, mesh.told)) == PIECE_BYTES
    assert ears.behind_s == 0


async def test_how_to_listen_is_known_before_it_was_passed_on(ears):
    assert ears.how == do.Listening(None)
    ears.put(do.Listen(DETECT))
    assert ears.how == DETECT


async def test_a_client_that_sends_faster_than_it_is_heard_waits(mesh, ears):
    mesh.gate.clear()
    ears.put(do.Hear(bytes(2)))
    for _ in range(5):
        await asyncio.sleep(0)  # that much is on its way
    ears.put(do.Hear(bytes(MOST_BYTES)))
    await ears.room()
    ears.put(do.Hear(bytes(2)))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ears.room(), name="room")
        await asyncio.sleep(0)
        assert not waiting.done()
        mesh.gate.set()


async def test_what_is_heard_is_reported(mesh, ears, reported):
    ears.put(do.Hear(b"\1\0"))
    mesh.news.put_nowait(sig.SpeechStarted("u1", 0))
    async with asyncio.timeout(10):
        while not reported:
            await asyncio.sleep(0)
    assert reported == [sig.SpeechStarted("u1", 0)]


async def test_a_long_silence_gives_the_stream_back_and_the_clock_goes_on(mesh, ears):
    clock = Clock(asyncio.get_running_loop())
    ears.put(do.Listen(DETECT))
    ears.put(do.Hear(bytes(480)))
    await mesh.until(lambda: bool(mesh.told))
    await asyncio.sleep(0)
    clock.advance(61)
    await mesh.until(lambda: mesh.open == 0)
    ears.put(do.Hear(bytes(480)))
    await mesh.until(lambda: len(mesh.opened) == 2)
    assert mesh.opened[1] == (DETECT, 240)


async def test_lost_recognition_is_reported_and_tried_again_with_the_next_audio(
    mesh, ears, reported
):
    ears.put(do.Hear(bytes(480)))
    await mesh.until(lambda: bool(mesh.told))
    mesh.gate.clear()
    ears.put(do.Hear(bytes(480)))
    mesh.news.put_nowait(Unavailable("gone", tier="stt"))
    async with asyncio.timeout(10):
        while not reported:
            await asyncio.sleep(0)
    assert reported == [sig.EarsLost("It cannot be reached.")]
    mesh.gate.set()
    ears.put(do.Hear(bytes(480)))
    await mesh.until(lambda: len(mesh.opened) == 2)
    assert mesh.opened[1][1] == 480  # what was lost has passed, too


async def test_what_could_not_be_heard_is_heard_later_and_not_lost_with_the_rest(
    mesh, ears, reported, later
):
    ears.put(do.Listen(BY_HAND))
    ears.put(do.Hear(bytes(480)))
    unheard = Unheard("u1", b"\1\0")
    mesh.news.put_nowait(unheard)
    mesh.news.put_nowait(Unavailable("gone", tier="stt"))
    async with asyncio.timeout(10):
        while not reported:
            await asyncio.sleep(0)
    assert later.taken == [(unheard, BY_HAND)]
    assert reported == [sig.EarsLost("It cannot be reached.", ("u1",))]
