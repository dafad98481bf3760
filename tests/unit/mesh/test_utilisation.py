import pytest

from mesh.utilisation import WINDOW_S, Utilisation


def test_idle_threads_are_not_busy():
    assert Utilisation(2, now_s=5.0).share(5.0) == 0.0
    assert Utilisation(2, now_s=5.0).share(9.0) == 0.0


def test_work_that_ended_and_work_that_runs_both_count():
    threads = Utilisation(2, now_s=0.0)
    threads.began(0.0)
    threads.began(1.0)
    threads.ended(2.0)
    assert threads.share(4.0) == pytest.approx(5 / 8)
    threads.began(4.0)
    assert threads.share(8.0) == pytest.approx(13 / 16)


def test_what_was_long_ago_does_not_count():
    threads = Utilisation(1, now_s=0.0)
    threads.began(0.0)
    threads.ended(WINDOW_S)
    assert threads.share(WINDOW_S) == 1.0
    shares = [threads.share(WINDOW_S * (1 + n / 4)) for n in range(1, 5)]
    assert shares == pytest.approx([0.8, 2 / 3, 4 / 7, 0.0])


def test_asked_rarely_it_covers_the_time_between():
    threads = Utilisation(1, now_s=0.0)
    threads.share(5.0)
    threads.began(5.0)
    threads.ended(5.0 + WINDOW_S)
    assert threads.share(5.0 + 2 * WINDOW_S) == pytest.approx(0.5)


def test_asked_often_it_keeps_no_more_than_a_window():
    threads = Utilisation(1, now_s=0.0)
    for n in range(5000):
        threads.share(n / 100)
    assert len(threads._seen) <= WINDOW_S * 100 + 2
