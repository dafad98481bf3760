"""Which statement a fact runs, with which values."""

from datetime import timedelta

from persistence import rows, writing
from tests.records import NOON, deleted, item, one_of_each


def facts(*records):
    return [rows.parse(made.SerializeToString()) for made in records]


def test_each_kind_of_fact_has_its_statement():
    changes = writing.changes(facts(*one_of_each()))
    assert {name: len(values) for name, values in changes.items()} == {
        "start_conversation": 1,
        "put_item": 2,
        "remove_item": 1,
        "add_response": 1,
        "add_event": 1,
        "open_session": 1,
        "close_session": 1,
    }


def test_items_are_removed_after_they_are_put_whatever_the_order_of_the_facts():
    changes = writing.changes(facts(deleted("item_1"), item(ordinal=1)))
    names = [name for name, values in changes.items() if values]
    assert names == ["put_item", "remove_item"]


def test_every_row_names_its_tenant():
    changes = writing.changes(facts(*one_of_each(tenant="acme")))
    assert {row["tenant_id"] for rows_ in changes.values() for row in rows_} == {"acme"}


def test_a_conversation_is_opened_once_at_its_earliest_fact():
    later = NOON + timedelta(hours=1)
    values = writing.opened(facts(item(at=later), item(ordinal=2, at=NOON), item(conversation="b")))
    assert values["conversation_id"] == ["conv_1", "b"]
    assert values["occurred_at"] == [NOON, NOON]


def test_facts_without_a_conversation_open_none():
    opened = one_of_each(conversation="")[0]
    assert writing.opened(facts(opened))["tenant_id"] == []
