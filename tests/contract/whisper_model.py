"""A Whisper that CTranslate2 and faster-whisper load and run as they do a real one.

Its weights are small random numbers, and for all it hears it says the same: what comes
next is written into the decoder's position table, which random layers barely disturb.
Made at the size of a published model, it takes as long as that one for as many words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ctranslate2.specs import WhisperSpec
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SAYS = "hello there"
_PIECES = ["hello", "Ġhello", "Ġthere", "Ġmy", "Ġfriend", "Ġagain"]
_SPECIALS = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
_TIMES = [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
_MELS, _FRAMES, _TOKENS = 80, 1500, 448


@dataclass(frozen=True, slots=True)
class Size:
    width: int = 64
    heads: int = 4
    layers: int = 2
    n_vocabulary: int = 0
    """At least; 0 is what it needs."""

    multilingual: bool = False

    hearing: float = 1.0
    """How much what it hears disturbs it: at 6 how sure it is depends on the audio, above
    that also what it says."""


SMALLEST = Size()
TINY = Size(width=384, heads=6, layers=4, n_vocabulary=51864)
BASE = Size(width=512, heads=8, layers=6, n_vocabulary=51864)
MULTILINGUAL = Size(multilingual=True)


def make(
    models_dir: Path,
    name: str = "base.en",
    size: Size = SMALLEST,
    says: str = SAYS,
    quantization: str = "float32",
) -> Path:
    """Write the model where the engine looks for `name`; returns its folder.

    Args:
        says: Words of _PIECES, "hello" first.
    """
    folder = models_dir / "whisper" / name
    folder.mkdir(parents=True)
    vocabulary = _vocabulary(size)
    spec = _Maker(size, vocabulary).spec(says)
    spec.register_vocabulary(vocabulary)
    spec.config.alignment_heads = [(1, head) for head in range(size.heads)]
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [vocabulary.index(token) for token in ("<|en|>", "<|de|>")]
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["alignment_heads"]
    return folder


def _vocabulary(size: Size) -> list[str]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if size.multilingual:
        alphabet.append("")  # by which CTranslate2 tells
    n_more = size.n_vocabulary - len([*alphabet, *_PIECES, *_SPECIALS, *_TIMES])
    more = [f"Ġw{n}" for n in range(n_more)]
    return [*alphabet, *_PIECES, *more, *_SPECIALS, *_TIMES]


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    n_text = vocabulary.index(_SPECIALS[0])
    ids = {token: n for n, token in enumerate(vocabulary[:n_text])}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(vocabulary[n_text:])
    return tokenizer


class _Maker:
    def __init__(self, size: Size, vocabulary: list[str]) -> None:
        self._size, self._vocabulary = size, vocabulary
        self._random = np.random.default_rng(0)

    def spec(self, says: str) -> WhisperSpec:
        size = self._size
        spec = WhisperSpec(size.layers, size.heads, size.layers, size.heads)
        encoder, decoder = spec.encoder, spec.decoder
        for conv, n_in in ((encoder.conv1, _MELS), (encoder.conv2, size.width)):
            conv.weight, conv.bias = self._small(size.width, n_in, 3), self._small(size.width)
        encoder.position_encodings.encodings = self._small(_FRAMES, size.width)
        for layer in encoder.layer:
            self._attention(layer.self_attention, (3, 1))
            self._feed_forward(layer.ffn)
        for layer in decoder.layer:
            self._attention(layer.self_attention, (3, 1))
            self._attention(layer.attention, (1, 2, 1))
            layer.attention.linear[-1].weight *= size.hearing
            self._feed_forward(layer.ffn)
        for part in (encoder, decoder):
            self._norm(part.layer_norm, gain=4.0)
        shape = (len(self._vocabulary), size.width)
        directions = self._random.standard_normal(shape).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        decoder.embeddings.weight = 0.01 * directions
        decoder.projection.weight = directions
        decoder.position_encodings.encodings = 4 * directions[self._places(says)]
        return spec

    def _places(self, says: str) -> list[int]:
        """What is said at each position; times only where the prompt asks for them."""
        first, *others = says.split()
        said = ["<|0.00|>", first, *(f"Ġ{word}" for word in others), "<|2.00|>"]
        said += ["<|endoftext|>"] * (_TOKENS - len(said))
        return [self._vocabulary.index(token) for token in said]

    def _attention(self, spec, widths: tuple[int, ...]) -> None:
        self._norm(spec.layer_norm)
        for linear, width in zip(spec.linear, widths, strict=True):
            self._linear(linear, width * self._size.width, self._size.width)

    def _feed_forward(self, spec) -> None:
        self._norm(spec.layer_norm)
        self._linear(spec.linear_0, 4 * self._size.width, self._size.width)
        self._linear(spec.linear_1, self._size.width, 4 * self._size.width)

    def _linear(self, spec, n_out: int, n_in: int) -> None:
        spec.weight, spec.bias = self._small(n_out, n_in), self._small(n_out)

    def _norm(self, spec, gain: float = 1.0) -> None:
        spec.gamma = np.full(self._size.width, gain, dtype=np.float32)
        spec.beta = np.zeros(self._size.width, dtype=np.float32)

    def _small(self, *shape: int) -> np.ndarray:
        scale = 0.02 * SMALLEST.width / self._size.width
        return (scale * self._random.standard_normal(shape)).astype(np.float32)
