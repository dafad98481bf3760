"""Records become facts, or are refused with the field at fault."""

from datetime import UTC, datetime

import pytest

from ovos.persistence.v1 import persistence_pb2 as pb
from persistence import facts, rows
from tests.records import NOON, deleted, event, item, one_of_each, record


def fact(made: pb.Record) -> facts.Fact:
    return rows.parse(made.SerializeToString())


@pytest.mark.parametrize("made", one_of_each(), ids=lambda made: made.WhichOneof("body"))
def test_every_kind_of_record_becomes_a_fact_that_keeps_its_bytes(made):
    kept = fact(made)
    assert kept.kind == made.WhichOneof("body")
    assert (kept.tenant_id, kept.session_id, kept.conversation_id) == ("acme", "sess_1", "conv_1")
    assert kept.occurred_at == NOON
    assert pb.Record.FromString(kept.record) == made


def test_an_item_goes_to_the_wire_as_it_came():
    made = item("Grüße!", ordinal=7, version=3).item
    made.conversation_id = "conv_1"
    made.response_id = "resp_1"
    made.tool_json = '{"city": "paris"}'
    made.usage.output_tokens = 12
    made.created_at.FromDatetime(NOON)
    sent = record("item", made)
    body = fact(sent).body
    assert isinstance(body, facts.Item)
    assert rows.item(body) == made


@pytest.mark.parametrize("type_", [n for n in pb.ItemType.values() if n])
def test_an_item_of_every_type_keeps_it(type_):
    made = item().item
    made.type = type_
    body = fact(record("item", made)).body
    assert isinstance(body, facts.Item)
    assert rows.item(body).type == type_


def test_an_item_without_a_time_was_added_when_it_was_reported():
    body = fact(item(at=NOON)).body
    assert isinstance(body, facts.Item)
    assert body.created_at == NOON


def test_a_conversation_without_items_has_no_last_one():
    kept = facts.Conversation(
        conversation_id="conv_1", created_at=NOON, last_item_at=None, item_count=0, metadata={}
    )
    assert not rows.conversation(kept).HasField("last_item_at")


def test_text_postgres_cannot_keep_is_made_keepable_and_the_bytes_stay():
    kept = fact(item("a\0b"))
    assert isinstance(kept.body, facts.Item)
    assert kept.body.text == "a\N{REPLACEMENT CHARACTER}b"
    assert b"a\0b" in kept.record


def test_an_item_may_name_the_conversation_instead_of_its_session():
    made = item(conversation="")
    made.item.conversation_id = "conv_2"
    assert fact(made).conversation_id == "conv_2"


def test_a_session_may_have_facts_before_it_has_a_conversation():
    assert fact(event(conversation="")).conversation_id == ""


def broken(change) -> pb.Record:
    made = item()
    change(made)
    return made


def set_(path: str, value: object):
    def change(made: pb.Record) -> None:
        *parents, last = path.split(".")
        target = made
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, last, value)

    return change


BROKEN = {
    "record_id": set_("record_id", "7"),
    "record_id of another version": set_("record_id", "16fd2706-8baf-433b-82eb-8c7fada847da"),
    "session.tenant_id": set_("session.tenant_id", ""),
    "session.session_id": set_("session.session_id", ""),
    "session.conversation_id": set_("session.conversation_id", ""),
    "session.conversation_id with a NUL": set_("session.conversation_id", "a\0"),
    "item.conversation_id": set_("item.conversation_id", "conv_2"),
    "item.item_id": set_("item.item_id", ""),
    "item.item_id too long": set_("item.item_id", "x" * 201),
    "item.ordinal": set_("item.ordinal", 2**63),
    "occurred_at": lambda made: made.ClearField("occurred_at"),
    "occurred_at far away": set_("occurred_at.seconds", 10**12),
    "body": lambda made: made.ClearField("item"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_record_is_refused_with_the_field_at_fault(fault):
    with pytest.raises(rows.BadRecord) as refused:
        fact(broken(BROKEN[fault]))
    assert refused.value.param == fault.split()[0]


@pytest.mark.parametrize("data", ["{", "NaN", "[" * 100_000])
def test_event_data_that_is_not_json_is_refused(data):
    with pytest.raises(rows.BadRecord, match=r"event\.data_json: not JSON"):
        fact(event(data))


def test_bytes_that_are_no_record_are_refused():
    with pytest.raises(rows.BadRecord, match="not a serialized"):
        rows.parse(b"\xff\xff\xff")


def test_why_a_record_is_refused_never_says_what_was_said():
    made = item("my secret")
    made.session.conversation_id = ""
    with pytest.raises(rows.BadRecord) as refused:
        fact(made)
    assert "secret" not in str(refused.value)


def test_an_unknown_role_is_kept_as_not_stated():
    body = fact(broken(set_("item.role", 99))).body
    assert isinstance(body, facts.Item)
    assert body.role == ""


def test_a_removal_needs_a_conversation():
    with pytest.raises(rows.BadRecord, match="is required"):
        fact(deleted("item_1", conversation=""))


def test_times_are_aware():
    assert fact(item(at=datetime(2026, 1, 1, tzinfo=UTC))).occurred_at.tzinfo is UTC
