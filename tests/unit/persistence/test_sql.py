"""Rules about the SQL that PostgreSQL does not check."""

import re
from pathlib import Path

import pytest

import persistence
from persistence.sql import Migration, migrations, queries

SOURCES = [path.read_text() for path in Path(persistence.__file__).parent.glob("*.py")]
TABLES = (
    r"(?:FROM|JOIN|UPDATE|INTO)\s+(conversations|items|responses|sessions|session_events|records)\b"
)


@pytest.mark.parametrize("name", queries())
def test_every_statement_is_used(name):
    assert any(f'"{name}"' in source for source in SOURCES)


@pytest.mark.parametrize(("name", "text"), queries().items())
def test_every_statement_on_a_table_names_the_tenant(name, text):
    assert not re.search(TABLES, text) or "tenant_id" in text


@pytest.mark.parametrize(("name", "text"), queries().items())
def test_comments_stay_out_of_what_is_sent(name, text):
    assert "--" not in text
    assert text.strip()


def test_migrations_are_numbered_from_one_without_gaps():
    assert [m.number for m in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_checkout_with_other_line_ends_is_the_same_migration():
    assert Migration(1, "a", "x\r\ny\r\n").checksum == Migration(1, "a", "x\ny\n").checksum
