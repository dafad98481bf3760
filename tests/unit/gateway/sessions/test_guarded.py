from __future__ import annotations

from gateway.sessions import guarded
from gateway.sessions.guarded import news, portions, written
from gateway.sessions.store import Outcome, Write


class Session:
    """As much of a Kept as is asked here."""

    def __init__(self, n_bytes: int, *, fails: bool = False) -> None:
        self.session_id, self.fails = "sess_1", fails
        self._n_bytes = n_bytes
        self.journal = self
        self.seq = 7
        self.outcomes: list[Outcome] = []
        self.lost: list[Outcome] = []

    def write(self) -> Write | None:
        if self.fails:
            raise OverflowError
        return Write("sess_1", 1, 0, (bytes(self._n_bytes),)) if self._n_bytes else None

    def written(self, write: Write, outcome: Outcome, made: int) -> None:
        if self.fails:
            raise ValueError
        self.outcomes.append(outcome)

    def lose(self, outcome: Outcome) -> None:
        self.lost.append(outcome)


def test_a_round_trip_carries_so_much_and_no_more(monkeypatch):
    monkeypatch.setattr(guarded, "PORTION_BYTES", 100)
    batch = [Session(n) for n in (60, 40, 0, 1, 500, 99)]
    sizes = [[len(write.entries[0]) for _, write, _ in part] for part in portions(batch)]
    assert sizes == [[60, 40], [1], [500], [99]]


def test_one_that_fails_is_lost_and_the_others_are_not(caplog):
    bad, good = Session(1, fails=True), Session(1)
    [[(kept, write, made)]] = list(portions([bad, good]))
    assert (kept, made) == (good, 7)
    written(good, write, Outcome.KEPT, made)
    assert good.outcomes == [Outcome.KEPT]
    assert bad.lost == [Outcome.GONE]
    assert news(bad) is None
    written(bad, write, Outcome.KEPT, made)
    assert len(bad.lost) == 3
    assert "session cannot be kept" in caplog.text
