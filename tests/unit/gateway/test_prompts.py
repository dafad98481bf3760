from __future__ import annotations

import pytest

from gateway.prompts import PromptsFileError, load
from gateway.realtime.prompts import Stored


@pytest.fixture
def file(tmp_path):
    return tmp_path / "prompts.toml"


def test_without_a_file_nothing_is_stored():
    assert load(None) == {}


def test_versions_keep_their_order(file):
    file.write_text(
        '[[prompt]]\nid = "a"\ntext = "one"\n'
        '[[prompt]]\nid = "b"\ntext = "other"\n'
        '[[prompt]]\nid = "a"\nversion = "2"\ntext = "two {{x}}"\n'
    )
    assert load(file) == {
        "a": (Stored("one"), Stored("two {{x}}", "2")),
        "b": (Stored("other"),),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[prompt]", "line 1"),
        ('[[prompt]]\nid = "a"', "text"),
        ('[[prompt]]\nid = "a"\ntext = 5', "prompt"),
        ('[[prompt]]\nid = "a"\ntext = "x"\nmore = 1', "more"),
        ('[[prompt]]\nid = "a"\ntext = "x"\n[[prompt]]\nid = "a"\ntext = "y"', "twice"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(file, text, says):
    file.write_text(text)
    with pytest.raises(PromptsFileError, match=says) as error:
        load(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_an_error(file):
    with pytest.raises(PromptsFileError, match="No such file"):
        load(file)
