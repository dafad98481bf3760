import dataclasses

import pytest

from persistence import rows
from tests.records import item


def test_a_fact_does_not_change():
    fact = rows.parse(item().SerializeToString())
    with pytest.raises(dataclasses.FrozenInstanceError):
        fact.tenant_id = "globex"


def test_the_bytes_it_came_as_are_not_shown():
    assert "record=b" not in repr(rows.parse(item().SerializeToString()))
