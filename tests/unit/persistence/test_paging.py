"""Page tokens come back as the positions they were made of, and nothing else is one."""

import base64

import pytest

from mesh.errors import Rejected
from persistence import paging
from tests.records import NOON


def test_a_token_is_the_position_the_page_ended_at():
    token = paging.after_item("q", 7, "item_7")
    assert paging.item_position("q", token) == (7, "item_7")
    token = paging.after_conversation("q", NOON, "conv_1")
    assert paging.conversation_position("q", token) == (NOON, "conv_1")


def test_the_first_page_has_no_position():
    assert paging.item_position("q", "") is None
    assert paging.conversation_position("q", "") is None


@pytest.mark.parametrize(
    "token",
    [
        "!",
        "é",
        base64.urlsafe_b64encode(b"[1]").decode(),
        base64.urlsafe_b64encode(b"7").decode(),
        paging.after_item("another", 7, "item_7"),
        paging.after_item("q", -7, "item_7"),
        paging.after_item("q", 2**63, "item_7"),
        paging.after_item("q", 7, "a\0"),
        paging.after_conversation("q", NOON, "conv_1"),
    ],
)
def test_what_is_not_a_token_of_this_list_is_refused(token):
    with pytest.raises(Rejected) as refused:
        paging.item_position("q", token)
    assert refused.value.param == "page_token"


@pytest.mark.parametrize("token", [paging.after_item("q", 7, "a"), "e30"])
def test_a_token_of_items_does_not_list_conversations(token):
    with pytest.raises(Rejected):
        paging.conversation_position("q", token)


def test_a_time_without_a_zone_is_refused():
    token = paging.after_conversation("q", NOON.replace(tzinfo=None), "a")
    with pytest.raises(Rejected):
        paging.conversation_position("q", token)


def test_a_page_has_the_size_asked_for_or_the_default_but_not_more_than_the_most():
    assert paging.size(0, most=500, default=100) == 100
    assert paging.size(500, most=500, default=100) == 500
    with pytest.raises(Rejected) as refused:
        paging.size(501, most=500, default=100)
    assert refused.value.param == "page_size"
