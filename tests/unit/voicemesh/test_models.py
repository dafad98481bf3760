"""Against a local server laid out like Hugging Face and GitHub."""

import json

import pytest

from tests.unit.voicemesh.hub import COMMIT, SMALL, WEIGHTS, WHISPER, sha256
from voicemesh import catalogue
from voicemesh.trouble import PullFailed


async def test_everything_lands_where_the_engines_look(hub, pull, tmp_path):
    await pull(tmp_path)
    found = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == {
        "whisper/base.en/config.json": SMALL,
        "whisper/base.en/model.bin": WEIGHTS,
        "whisper/base.en/vocabulary.txt": b"a\nb\n",
        "kokoro/kokoro-v1.0.onnx": WEIGHTS,
        "kokoro/voices-v1.0.bin": b"voices" * 10,
        "piper/en_US-lessac-medium.onnx": WEIGHTS,
        "piper/en_US-lessac-medium.onnx.json": SMALL,
    }


async def test_the_manifest_says_where_each_file_came_from(hub, pull, tmp_path):
    await pull(tmp_path, "whisper")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["whisper/base.en/model.bin"] == {
        "url": f"{hub.url}/{WHISPER}/resolve/{COMMIT}/model.bin",
        "size": len(WEIGHTS),
        "sha256": sha256(WEIGHTS),
    }


async def test_what_is_there_is_not_fetched_again(hub, pull, tmp_path):
    await pull(tmp_path)
    hub.requests.clear()
    said = await pull(tmp_path)
    assert hub.requests == []
    assert all(line.endswith("is there") for line in said)


async def test_what_was_put_there_by_hand_is_checked(hub, pull, tmp_path):
    (tmp_path / "kokoro").mkdir()
    (tmp_path / "kokoro" / "kokoro-v1.0.onnx").write_bytes(WEIGHTS)
    await pull(tmp_path, "kokoro")
    assert not any(path.endswith(".onnx") for path, _ in hub.requests)
    (tmp_path / "kokoro" / "voices-v1.0.bin").write_bytes(b"other")
    with pytest.raises(PullFailed, match="bytes"):
        await pull(tmp_path, "kokoro")


@pytest.mark.parametrize("kind", catalogue.KINDS)
async def test_without_internet_the_message_says_what_to_do(
    hub, pull, tmp_path, unused_tcp_port, kind
):
    hub.url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(PullFailed, match="needs internet"):
        await pull(tmp_path, kind)


async def test_a_full_disk_is_seen_before_the_download(hub, pull, tmp_path, monkeypatch):
    monkeypatch.setattr(
        catalogue, "_KOKORO_FILES", {"kokoro-v1.0.onnx": (1 << 60, sha256(WEIGHTS))}
    )
    with pytest.raises(PullFailed, match="free"):
        await pull(tmp_path, "kokoro")
    assert hub.requests == []
