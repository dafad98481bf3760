import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_service.endpointing import (
    MIN_SPEECH_SAMPLES,
    WINDOW_SAMPLES,
    Endpointer,
    Settings,
    Started,
    Stopped,
)

MS = 16  # samples
NO_PADDING = Settings(prefix_ms=0)
MANUAL = Settings(server_vad=False)


def windows(n: int) -> int:
    return n * WINDOW_SAMPLES


def play(endpointer: Endpointer, *probabilities: float) -> list:
    """What is noticed: (window's index, event)."""
    found = [(n, endpointer.hear(probability)) for n, probability in enumerate(probabilities)]
    return [(n, event) for n, event in found if event is not None]


def speaking(settings: Settings = NO_PADDING) -> Endpointer:
    """In the middle of speech that began at 0; two windows are heard."""
    endpointer = Endpointer(settings)
    play(endpointer, 0.9, 0.9)
    assert endpointer.in_speech
    return endpointer


def test_speech_starts_after_two_voiced_windows_at_the_first_of_them():
    endpointer = Endpointer(NO_PADDING)
    assert play(endpointer, 0.1, 0.9, 0.9) == [(2, Started(windows(1)))]


def test_a_click_is_no_speech():
    endpointer = Endpointer(NO_PADDING)
    assert play(endpointer, 0.1, 0.99, 0.1, 0.1, 0.99, 0.1) == []


def test_a_weak_window_between_two_strong_ones_belongs_to_the_speech():
    assert play(Endpointer(NO_PADDING), 0.6, 0.4, 0.4) == [(1, Started(0))]
    assert play(Endpointer(NO_PADDING), 0.4, 0.4, 0.4) == []


def test_padding_reaches_back_to_the_start_of_the_stream_at_most():
    long, short = Endpointer(Settings(prefix_ms=300)), Endpointer(Settings(prefix_ms=32))
    for n in range(4):
        long.hear(0.0)
        short.hear(0.0)
        assert n == 3 or not long.in_speech
    assert [short.hear(0.9), short.hear(0.9)] == [None, Started(windows(3))]
    assert [long.hear(0.9), long.hear(0.9)] == [None, Started(0)]


def test_speech_ends_after_the_silence_which_is_part_of_it():
    endpointer = speaking(Settings(prefix_ms=0, silence_ms=200))
    quiet = play(endpointer, *[0.1] * 7)
    assert quiet == [(6, Stopped(windows(2 + 7)))]  # 7 windows of 32 ms: the first past 200 ms
    assert not endpointer.in_speech


def test_a_pause_shorter_than_the_silence_ends_nothing():
    endpointer = speaking(Settings(prefix_ms=0, silence_ms=200))
    assert play(endpointer, *[0.1] * 6, 0.9, *[0.1] * 6, 0.9) == []
    assert endpointer.in_speech


def test_between_the_thresholds_a_pause_goes_on():
    endpointer = speaking(Settings(prefix_ms=0, silence_ms=96, threshold=0.5))
    assert play(endpointer, 0.4, 0.4, 0.4, 0.4) == []  # never below 0.35
    assert play(endpointer, 0.3, 0.4, 0.4) == [(2, Stopped(windows(9)))]


def test_with_semantic_settings_each_pause_lasts_as_long_as_it_is_allowed():
    endpointer = speaking(Settings(prefix_ms=0, silence_ms=32, semantic=True))
    assert play(endpointer, 0.1, 0.1, 0.1) == []
    assert (endpointer.pause, endpointer.pause_ms) == (windows(2), 96)
    endpointer.allow(200)
    assert play(endpointer, 0.9) == []
    assert (endpointer.pause, endpointer.pause_ms, endpointer.longest_pause_ms) == (None, 0, 96)
    assert play(endpointer, *[0.1] * 32) == [(31, Stopped(windows(38)))]  # 1 s: nobody knows
    play(endpointer, 0.9, 0.9)
    assert endpointer.longest_pause_ms == 0
    assert play(endpointer, 0.1) == []
    endpointer.allow(64)
    assert play(endpointer, 0.1) == [(0, Stopped(windows(42)))]


def test_between_server_and_semantic_detection_the_speech_goes_on():
    endpointer = speaking(Settings(prefix_ms=0, silence_ms=64))
    endpointer.update(Settings(prefix_ms=0, silence_ms=64, semantic=True), windows(2))
    assert endpointer.in_speech
    assert play(endpointer, *[0.1] * 9) == []
    endpointer.update(Settings(prefix_ms=0, silence_ms=64), windows(11))
    assert play(endpointer, 0.1) == [(0, Stopped(windows(12)))]


def test_pausing_is_told():
    endpointer = speaking()
    assert not endpointer.pausing
    endpointer.hear(0.1)
    assert endpointer.pausing
    endpointer.hear(0.9)
    assert not endpointer.pausing


def test_the_next_utterance_is_not_padded_with_the_last():
    endpointer = speaking(Settings(prefix_ms=5000, silence_ms=32))
    assert play(endpointer, 0.0, 0.9, 0.9) == [(0, Stopped(windows(3))), (2, Started(windows(3)))]


def test_the_longest_utterance_ends_without_silence_and_the_next_begins_there():
    endpointer = Endpointer(Settings(prefix_ms=300, max_utterance_ms=320))
    found = play(endpointer, *[0.9] * 12)
    assert found == [(1, Started(0)), (9, Stopped(windows(10))), (11, Started(windows(10)))]


def test_near_the_longest_a_single_quiet_window_is_a_better_end():
    endpointer = Endpointer(Settings(prefix_ms=0, max_utterance_ms=3200, silence_ms=1000))
    soft = [0.9] * 79 + [0.1]  # 80 windows are 2560 ms: past three quarters
    assert play(endpointer, *soft) == [(1, Started(0)), (79, Stopped(windows(80)))]
    endpointer = Endpointer(Settings(prefix_ms=0, max_utterance_ms=3200, silence_ms=1000))
    assert play(endpointer, *[0.9] * 60, 0.1, 0.9) == [(1, Started(0))]


def test_a_commit_takes_the_speech_being_heard():
    endpointer = Endpointer(NO_PADDING)
    play(endpointer, 0.0, 0.0, 0.9, 0.9, 0.9)
    assert endpointer.commit(windows(5) + 7) == windows(2)
    assert not endpointer.in_speech
    assert endpointer.floor == windows(5) + 7


def test_a_commit_without_speech_takes_all_since_the_last():
    endpointer = Endpointer(Settings())
    play(endpointer, 0.0, 0.0)
    assert endpointer.commit(windows(2)) == 0
    play(endpointer, 0.0, 0.0)
    assert endpointer.commit(windows(4)) == windows(2)
    assert endpointer.commit(windows(4)) == windows(4)


def test_who_speaks_on_after_a_commit_starts_anew_where_it_was_cut():
    endpointer = speaking(Settings(prefix_ms=300))
    endpointer.commit(windows(2) + 100)
    assert play(endpointer, 0.9, 0.9) == [(1, Started(windows(2) + 100))]


def test_a_clear_drops_the_speech_without_an_end():
    endpointer = speaking()
    endpointer.clear(windows(2))
    assert not endpointer.in_speech
    assert play(endpointer, *[0.0] * 20) == []
    assert endpointer.commit(windows(22)) == windows(2)


def test_settings_may_change_in_mid_speech():
    endpointer = speaking(Settings(prefix_ms=0, silence_ms=10_000))
    endpointer.update(Settings(prefix_ms=0, silence_ms=64), windows(2))
    assert play(endpointer, 0.1, 0.1) == [(1, Stopped(windows(4)))]


def test_switched_to_manual_in_mid_speech_the_next_commit_takes_it():
    endpointer = speaking(Settings(prefix_ms=0))
    endpointer.update(MANUAL, windows(2))
    assert not endpointer.in_speech
    assert endpointer.open_from == 0
    assert endpointer.commit(windows(9)) == 0


def test_switched_from_manual_detection_begins_at_the_audio_that_comes():
    endpointer = Endpointer(MANUAL)
    endpointer.update(NO_PADDING, windows(5) + 3)
    assert play(endpointer, 0.9, 0.9) == [(1, Started(windows(5) + 3))]


@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.0])
def test_every_threshold_sees_silence(threshold):
    endpointer = Endpointer(Settings(prefix_ms=0, threshold=threshold))
    play(endpointer, 1.0, 1.0)
    assert play(endpointer, *[0.0] * 7) == [(6, Stopped(windows(9)))]


def test_only_what_a_start_could_reach_back_to_is_still_needed():
    endpointer = Endpointer(Settings(prefix_ms=64))
    play(endpointer, *[0.0] * 10)
    assert endpointer.open_from == windows(8)
    play(endpointer, 0.9)
    assert endpointer.open_from == windows(8)  # it may have started in the last window
    play(endpointer, 0.9, 0.9, 0.9)
    assert endpointer.open_from == windows(8)


@given(
    st.lists(
        st.one_of(
            st.floats(0, 1),
            st.sampled_from(["commit", "clear"]),
            st.builds(
                Settings,
                server_vad=st.booleans(),
                semantic=st.booleans(),
                threshold=st.floats(0, 1),
                prefix_ms=st.integers(0, 1000),
                silence_ms=st.integers(0, 500),
                max_utterance_ms=st.integers(1, 2000),
            ),
        )
    )
)
def test_utterances_never_overlap_and_starts_and_stops_alternate(script):
    endpointer, at, taken = Endpointer(Settings()), 0, 0
    speech: int | None = None
    for step in script:
        match step:
            case Settings():
                changed = step.server_vad != endpointer.settings.server_vad
                speech = None if changed else speech
                endpointer.update(step, at)
            case "commit":
                assert taken <= endpointer.commit(at) <= at
                taken, speech = at, None
            case "clear":
                endpointer.clear(at)
                taken, speech = at, None
            case float():
                at += WINDOW_SAMPLES
                if endpointer.settings.server_vad:
                    taken, speech = after(endpointer.hear(step), taken, speech, at)
        assert endpointer.in_speech == (speech is not None)
        assert taken <= endpointer.open_from <= at


def after(event, taken: int, speech: int | None, at: int) -> tuple[int, int | None]:
    match event:
        case Started(start):
            assert speech is None
            assert taken <= start <= max(taken, at - MIN_SPEECH_SAMPLES)
            return taken, start
        case Stopped(end):
            assert speech is not None
            assert speech < end == at
            return end, None
    return taken, speech
