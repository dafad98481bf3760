"""Fixtures of the command line's tests."""

import asyncio

import pytest
from aiohttp import web

from tests.unit.voicemesh.hub import COMMIT, SMALL, VOICE, WEIGHTS, WHISPER, Hub, sha256
from voicemesh import catalogue, models
from voicemesh.catalogue import Catalogue


@pytest.fixture
async def hub(aiohttp_server, monkeypatch):
    hub = Hub()
    app = web.Application()
    app.router.add_get("/{path:.*}", hub.serve)
    hub.url = str((await aiohttp_server(app)).make_url("")).rstrip("/")
    whisper = {"config.json": SMALL, "model.bin": WEIGHTS, "vocabulary.txt": b"a\nb\n"}
    hub.publish(WHISPER, COMMIT, "", {**whisper, "README.md": b"no weights"})
    folder = VOICE.rpartition("/")[0]
    hub.publish("rhasspy/piper-voices", "v1.0.0", folder, {VOICE: WEIGHTS, f"{VOICE}.json": SMALL})
    kokoro = {"voices-v1.0.bin": b"voices" * 10, "kokoro-v1.0.onnx": WEIGHTS}
    expected = {name: (len(content), sha256(content)) for name, content in kokoro.items()}
    monkeypatch.setattr(catalogue, "_KOKORO_FILES", expected)
    for name, content in kokoro.items():
        hub.files[f"/{catalogue._KOKORO}/{name}"] = content
    return hub


@pytest.fixture
def pull(hub):
    """Pulls from the local server; returns what it said."""

    async def pull(folder, *kinds, **changes):
        said = []
        source = Catalogue(hub=hub.url, github=hub.url, **changes)
        await asyncio.to_thread(
            models.pull, folder, kinds or catalogue.KINDS, source, say=said.append, rest_s=0.01
        )
        return said

    return pull
