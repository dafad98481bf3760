"""Against a local server that cuts and forges."""

import pytest

from tests.unit.voicemesh.hub import COMMIT, WEIGHTS, WHISPER
from voicemesh.trouble import PullFailed


async def test_a_cut_download_goes_on_where_it_stopped(hub, pull, tmp_path):
    hub.cut_after = [1000, 400_000, 300_000]
    await pull(tmp_path, "piper")
    assert (tmp_path / "piper" / "en_US-lessac-medium.onnx").read_bytes() == WEIGHTS
    begins = [begin for path, begin in hub.requests if path.endswith(".onnx")]
    assert begins[0] == 0
    assert begins[1:] == sorted(begins[1:])
    assert begins[-1] > 0


async def test_a_download_that_keeps_being_cut_says_so_and_keeps_its_part(hub, pull, tmp_path):
    hub.cut_after = [0] * 100
    with pytest.raises(PullFailed, match="next pull goes on"):
        await pull(tmp_path, "kokoro")
    hub.cut_after = []
    await pull(tmp_path, "kokoro")
    assert (tmp_path / "kokoro" / "kokoro-v1.0.onnx").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["model.bin", "config.json"])
async def test_a_file_that_is_not_what_was_published_is_not_kept(hub, pull, tmp_path, name):
    path = f"/{WHISPER}/resolve/{COMMIT}/{name}"
    hub.files[path] = hub.files[path][:-1] + b"!"
    with pytest.raises(PullFailed, match="not the"):
        await pull(tmp_path, "whisper")
    assert not list(tmp_path.rglob(f"{name}*"))
