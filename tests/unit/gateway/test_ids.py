import re

from gateway.ids import event_id, new_id


def test_ids_have_the_prefix_the_length_and_the_letters_of_the_live_service():
    assert re.fullmatch(r"item_[0-9A-Za-z]{21}", new_id("item"))
    assert re.fullmatch(r"call_[0-9A-Za-z]{16}", new_id("call"))


def test_no_two_are_the_same():
    assert len({new_id("item") for _ in range(1000)} | {event_id() for _ in range(1000)}) == 2000


def test_event_ids_can_stand_in_json_as_they_are():
    assert re.fullmatch(r"event_[0-9a-f]{20}", event_id())
