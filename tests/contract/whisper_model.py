"""A tiny Whisper that CTranslate2 and faster-whisper load and run as they do a real one.

Its weights are small random numbers, and for all it hears it says the same: what comes
next is written into the decoder's position table, which random layers barely disturb.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ctranslate2.specs import WhisperSpec
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SAYS = "hello there"
_PIECES = ["hello", "Ġthere"]
_SPECIALS = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
_TIMES = [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
_WIDTH, _HEADS, _MELS, _FRAMES, _TOKENS = 64, 4, 80, 1500, 448

_random = np.random.default_rng(0)


def make(models_dir: Path, name: str = "base.en") -> Path:
    """Write the model where the engine looks for `name`; returns its folder."""
    folder = models_dir / "whisper" / name
    folder.mkdir(parents=True)
    vocabulary = _vocabulary()
    spec = _spec(vocabulary)
    spec.register_vocabulary(vocabulary)
    spec.config.alignment_heads = [(1, head) for head in range(_HEADS)]
    spec.config.suppress_ids = spec.config.suppress_ids_begin = spec.config.lang_ids = []
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(str(folder))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["alignment_heads"]
    return folder


def _vocabulary() -> list[str]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return [*alphabet, *_PIECES, *_SPECIALS, *_TIMES]


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    n_text = vocabulary.index(_SPECIALS[0])
    ids = {token: n for n, token in enumerate(vocabulary[:n_text])}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(vocabulary[n_text:])
    return tokenizer


def _spec(vocabulary: list[str]) -> WhisperSpec:
    spec = WhisperSpec(2, _HEADS, 2, _HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    for conv, n_in in ((encoder.conv1, _MELS), (encoder.conv2, _WIDTH)):
        conv.weight, conv.bias = _small(_WIDTH, n_in, 3), _small(_WIDTH)
    encoder.position_encodings.encodings = _small(_FRAMES, _WIDTH)
    for layer in encoder.layer:
        _attention(layer.self_attention, (3, 1))
        _feed_forward(layer.ffn)
    for layer in decoder.layer:
        _attention(layer.self_attention, (3, 1))
        _attention(layer.attention, (1, 2, 1))
        _feed_forward(layer.ffn)
    for part in (encoder, decoder):
        _norm(part.layer_norm, gain=4.0)
    directions = _random.standard_normal((len(vocabulary), _WIDTH)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    decoder.embeddings.weight = 0.01 * directions
    decoder.projection.weight = directions
    said = ["<|0.00|>", *_PIECES, "<|2.00|>"]  # times only where the prompt asks for them
    said += ["<|endoftext|>"] * (_TOKENS - len(said))
    places = [vocabulary.index(token) for token in said]
    decoder.position_encodings.encodings = 4 * directions[places]
    return spec


def _attention(spec, widths: tuple[int, ...]) -> None:
    _norm(spec.layer_norm)
    for linear, width in zip(spec.linear, widths, strict=True):
        _linear(linear, width * _WIDTH, _WIDTH)


def _feed_forward(spec) -> None:
    _norm(spec.layer_norm)
    _linear(spec.linear_0, 4 * _WIDTH, _WIDTH)
    _linear(spec.linear_1, _WIDTH, 4 * _WIDTH)


def _linear(spec, n_out: int, n_in: int) -> None:
    spec.weight, spec.bias = _small(n_out, n_in), _small(n_out)


def _norm(spec, gain: float = 1.0) -> None:
    spec.gamma = np.full(_WIDTH, gain, dtype=np.float32)
    spec.beta = np.zeros(_WIDTH, dtype=np.float32)


def _small(*shape: int) -> np.ndarray:
    return (0.02 * _random.standard_normal(shape)).astype(np.float32)
