"""Against a local server laid out like Hugging Face."""

import pytest

from voicemesh.trouble import PullFailed


async def test_the_largest_file_comes_last(hub, pull, tmp_path):
    await pull(tmp_path, "whisper")
    assert hub.requests[-1][0].endswith("model.bin")


async def test_an_unknown_model_or_voice_says_so(hub, pull, tmp_path):
    with pytest.raises(PullFailed, match="faster-whisper-huge"):
        await pull(tmp_path, "whisper", whisper="huge")
    with pytest.raises(PullFailed, match="fr_FR"):
        await pull(tmp_path, "piper", piper="fr_FR-nobody-low")
    with pytest.raises(PullFailed, match="not a Piper voice"):
        await pull(tmp_path, "piper", piper="nonsense")
