from tts_service.listener import SILENT, SUPPLIED, Listener


def test_who_waits_for_the_first_piece_hears_nothing():
    turn = Listener("acme").turn(now_s=5.0)
    assert (turn.tenant, turn.rank, turn.deadline_s) == ("acme", SILENT, 5.0)


def test_what_was_made_is_heard_at_the_speed_of_speech():
    listener = Listener()
    listener.hears(2.0, now_s=10.0)
    listener.hears(1.0, now_s=10.5)
    assert listener.has_heard
    turn = listener.turn(now_s=11.0)
    assert (turn.rank, turn.deadline_s) == (SUPPLIED, 13.0)


def test_who_has_heard_all_waits_in_silence_and_has_done_so_since():
    listener = Listener()
    listener.hears(2.0, now_s=10.0)
    turn = listener.turn(now_s=14.0)
    assert (turn.rank, turn.deadline_s) == (SILENT, 12.0)


def test_a_gap_is_not_made_up_for():
    listener = Listener()
    listener.hears(1.0, now_s=10.0)
    listener.hears(1.0, now_s=20.0)
    assert listener.turn(now_s=20.5).deadline_s == 21.0


def test_after_an_interruption_a_reply_begins_anew():
    listener = Listener()
    listener.hears(60.0, now_s=10.0)
    listener.interrupts()
    assert not listener.has_heard
    assert listener.turn(now_s=11.0).rank == SILENT
