import stat

import pytest

from mesh.keys import load
from voicemesh import keys
from voicemesh.trouble import NoSuchKey


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


def test_an_added_key_is_found_and_is_not_in_the_file(file):
    key = keys.add(file, "acme", "phone bot")
    assert key.startswith("sk-")
    assert key not in file.read_text()
    found = load(file).find(key)
    assert found is not None
    assert (found.tenant, found.name) == ("acme", "phone bot")


def test_only_the_owner_reads_the_file(file):
    keys.add(file, "acme")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_adding_keeps_the_keys_there_are(file):
    first, second = keys.add(file, "acme"), keys.add(file, "bbb")
    known = load(file)
    assert [known.find(key).tenant for key in (first, second)] == ["acme", "bbb"]


def test_a_revoked_key_is_found_no_longer(file):
    kept, key = keys.add(file, "acme", "kept"), keys.add(file, "acme", "lost")
    keys.revoke(file, "lost")
    assert load(file).find(key) is None
    keys.revoke(file, keys.identity(load(file).find(kept)))
    assert load(file).keys == ()


def test_revoking_what_is_not_there_or_not_one_says_so(file):
    keys.add(file, "acme", "twin")
    keys.add(file, "acme", "twin")
    with pytest.raises(NoSuchKey, match="0 keys"):
        keys.revoke(file, "nobody")
    with pytest.raises(NoSuchKey, match="2 keys"):
        keys.revoke(file, "twin")


def test_the_development_key_is_made_once_and_let_in(tmp_path, file):
    first = keys.development(tmp_path / "dev-key", file)
    before = file.read_bytes()
    assert keys.development(tmp_path / "dev-key", file) == first
    assert first.startswith("sk-dev-")
    assert file.read_bytes() == before
    assert load(file).find(first).tenant == "dev"
    assert stat.S_IMODE((tmp_path / "dev-key").stat().st_mode) == 0o600


def test_a_lost_development_key_is_replaced_not_joined(tmp_path, file):
    lost = keys.development(tmp_path / "dev-key", file)
    other = keys.add(file, "acme")
    (tmp_path / "dev-key").unlink()
    keys.development(tmp_path / "dev-key", file)
    known = load(file)
    assert known.find(lost) is None
    assert known.find(other) is not None
    assert len(known.keys) == 2
