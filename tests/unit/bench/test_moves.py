from __future__ import annotations

import asyncio

import pytest

from bench.moves import Crowd


class FakeCaller:
    """Answers at once; loses a word in its last answer."""

    def __init__(self, crowd_of: list[Crowd], *, loses: bool) -> None:
        self._crowd_of, self._loses = crowd_of, loses
        self.connections, self.gaps_s = 2, [0.05]
        self.whole, self.text, self.audio = "It is noon.", "", b"\0"
        self._asked = 0

    async def ask(self, text: str) -> None:
        self._asked += 1
        is_last = self._asked == 3
        self.text = "It is" if self._loses and is_last else self.whole
        if is_last:
            self._crowd_of[0].is_over.set()

    async def hear(self) -> str:
        return "completed"


@pytest.mark.parametrize("loses", [False, True])
async def test_a_lost_word_fails_the_run(loses, capsys):
    crowds: list[Crowd] = []
    callers = [FakeCaller(crowds, loses=loses)]
    crowds.append(Crowd(callers, 0))
    async with asyncio.timeout(30):
        await crowds[0].talk(callers[0])
    assert crowds[0].report() is not loses
    assert "1 sessions, 3 turns" in capsys.readouterr().out


def test_sessions_that_never_moved_prove_nothing(capsys):
    caller = FakeCaller([], loses=False)
    caller.connections = 1
    assert not Crowd([caller], 0).report()
