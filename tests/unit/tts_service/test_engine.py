import numpy as np

from tts_service.engine import PIECE_S, Halt, Word, pieces

RATE_HZ = 1000


def test_a_halt_wakes_whoever_works():
    halt, woken = Halt(), []
    halt.calls(lambda: woken.append(1))
    halt.stop()
    assert halt.stopped
    assert woken == [1]


def test_work_that_begins_after_the_halt_is_woken_at_once():
    halt, woken = Halt(), []
    halt.stop()
    halt.calls(lambda: woken.append(1))
    assert woken == [1]


def test_work_that_has_ended_is_left_alone():
    halt, woken = Halt(), []
    halt.calls(lambda: woken.append(1))
    halt.calls(None)
    halt.stop()
    assert woken == []


def test_ready_audio_is_given_in_pieces_with_the_words_first():
    samples, words = np.arange(500, dtype=np.float32), (Word(0, 1, 0),)
    given = list(pieces(samples, RATE_HZ, Halt(), words))
    assert [len(piece.samples) for piece in given] == [200, 200, 100]
    assert len(given[0].samples) == PIECE_S * RATE_HZ
    assert [piece.words for piece in given] == [words, (), ()]
