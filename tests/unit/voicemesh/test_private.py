import stat

from voicemesh import private


def test_a_file_is_ours_alone_and_its_folder_is_made(tmp_path):
    file = tmp_path / "a" / "b"
    private.write(file, "secret")
    assert file.read_text() == "secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["b"]


def test_what_is_kept_stays_the_same(tmp_path):
    first = private.kept(tmp_path / "password")
    assert first
    assert private.kept(tmp_path / "password") == first
