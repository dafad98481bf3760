import json

import pytest

from mesh import keys


def test_a_hash_depends_on_key_and_pepper():
    hashed = keys.hash_key("aa", "sk-1")
    assert hashed.startswith("sha256:")
    assert hashed == keys.hash_key("aa", "sk-1")
    assert len({hashed, keys.hash_key("ab", "sk-1"), keys.hash_key("aa", "sk-2")}) == 3


def test_a_key_is_found_by_its_hash(tmp_path):
    hashed = keys.hash_key("aa", "sk-1")
    file = tmp_path / "keys.json"
    content = {"pepper": "aa", "keys": [{"hash": hashed, "tenant": "acme"}]}
    file.write_text(json.dumps(content))
    known = keys.load(file)
    assert known.find("sk-1") == keys.Key(hash=hashed, tenant="acme", name="")
    assert known.find("sk-2") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "keys.json"),
        ('{"keys": []}', "pepper"),
        ('{"pepper": "xyz", "keys": []}', "hex"),
        ('{"pepper": "", "keys": []}', "pepper is empty"),
        ('{"pepper": "aa", "keys": [{"hash": "h"}]}', r"tenant.*keys\[0\]"),
    ],
)
def test_a_wrong_file_says_where(tmp_path, content, said):
    file = tmp_path / "keys.json"
    file.write_text(content)
    with pytest.raises(keys.KeyFileError, match=said):
        keys.load(file)


def test_a_missing_file_says_who_makes_it(tmp_path):
    with pytest.raises(keys.KeyFileError, match="voicemesh keys add"):
        keys.load(tmp_path / "keys.json")


@pytest.mark.parametrize("tenant", ["", "müller", " acme", "acme\n"])
def test_a_tenant_that_grpc_cannot_carry_is_refused_when_read_and_when_made(tmp_path, tenant):
    file = tmp_path / "keys.json"
    written = {"pepper": "aa", "keys": [{"hash": "h", "tenant": tenant}]}
    file.write_text(json.dumps(written))
    with pytest.raises(keys.KeyFileError, match=r"printable ASCII.*keys\[0\]"):
        keys.load(file)
    with pytest.raises(keys.KeyFileError, match="printable ASCII"):
        keys.Key(hash="h", tenant=tenant)
