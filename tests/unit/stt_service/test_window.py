from stt_service.engine import RATE_HZ
from stt_service.window import FULL, Part, Window

ONE, TWO, THREE = (Part(f" {name}.", n * RATE_HZ) for n, name in enumerate(("a", "b", "c"), 1))


def test_it_moves_only_when_it_is_full():
    window = Window()
    assert not window.is_full(FULL)
    assert window.is_full(FULL + 1)
    window.start = RATE_HZ
    assert not window.is_full(FULL + RATE_HZ)


def test_what_two_guesses_in_a_row_found_is_left_behind_but_for_the_last_part():
    window = Window()
    assert window.guessed([ONE, TWO]) == "a. b."
    assert window.start == 0
    assert window.guessed([ONE, TWO, THREE]) == "a. b. c."
    assert (window.start, window.before) == (2 * RATE_HZ, " a. b.")
    assert window.guessed([Part(" c.", RATE_HZ), Part(" d.", 2 * RATE_HZ)]) == "a. b. c. d."
    assert window.start == 2 * RATE_HZ, "one guess of this window is not enough"


def test_where_guesses_differ_it_stays():
    window = Window()
    window.guessed([Part(" x.", RATE_HZ), TWO, THREE])
    assert window.guessed([ONE, TWO, THREE]) == "a. b. c."
    assert window.start == 0
    window.guessed([ONE, Part(" y.", 2 * RATE_HZ), THREE])
    assert window.start == RATE_HZ


def test_a_guess_of_one_part_or_none_moves_nothing():
    window = Window()
    for parts in ([ONE], [ONE], [], []):
        window.guessed(parts)
    assert (window.start, window.before) == (0, "")
