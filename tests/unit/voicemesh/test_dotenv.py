import pytest

from voicemesh import dotenv
from voicemesh.trouble import BadLine


def test_lines_become_variables(tmp_path):
    file = tmp_path / ".env"
    lines = ["# settings", "", "A=1", "export B = two words  # why", "C='kept # all'"]
    lines += ['D="x" # note', "E=", "F=a#b"]
    file.write_text("\n".join(lines))
    assert dotenv.read(file) == {
        "A": "1", "B": "two words", "C": "kept # all", "D": "x", "E": "", "F": "a#b",
    }  # fmt: skip


def test_no_file_is_no_variables(tmp_path):
    assert dotenv.read(tmp_path / ".env") == {}


def test_a_bad_line_is_named_without_its_content(tmp_path):
    file = tmp_path / ".env"
    file.write_text("A=1\nsk-secret\n")
    with pytest.raises(BadLine, match="line 2") as bad:
        dotenv.read(file)
    assert "secret" not in str(bad.value)
