from __future__ import annotations

import numpy as np
import onnx
import pytest

from bench import kokoro_like
from tts_service.config import Config
from tts_service.engine import Halt, Manner
from tts_service.engines.kokoro import Kokoro


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("like")
    kokoro_like.write(folder)
    return folder


def test_kokoro_speaks_with_it(models_dir):
    kokoro = Kokoro(Config(models_dir=models_dir))
    pieces = list(kokoro.synthesize("Well.", Manner(), Halt()))
    samples = np.concatenate([piece.samples for piece in pieces])
    assert 0.1 < len(samples) / kokoro.sample_rate_hz < 3
    assert 0.01 < np.abs(samples).max() <= 1


def test_it_has_the_blocks_of_the_published_vocoder():
    graph = kokoro_like.model()
    onnx.checker.check_model(graph)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("ConvTranspose") == 2
    assert kinds.count("Conv") == 2 * 3 * 3 * 2 + 1
