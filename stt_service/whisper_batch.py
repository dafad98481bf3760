"""Whisper for several utterances in one call of CTranslate2.

Why it stands in for the model inside faster-whisper, instead of a pipeline of its own: what
faster-whisper does around the model (windows of 30 s, the fallback to a higher temperature,
silence, word times) stays its code, utterance by utterance, and so the transcripts stay what
they are without batches. Each utterance is transcribed by a thread; where such threads ask
the model for the same thing at the same time, one call answers them all. What is not alike
goes alone, in the same order as ever: nothing is refused or done differently.

Alike are: any windows to encode, any whose language is sought, windows to decode whose
prompts have as many tokens and start at the same place (CTranslate2 takes no others
together) and are searched in the same way, and words to place that are in one language.

Its results differ from those of single calls by rounding at most; a temperature above zero
draws by chance, as it does without batches.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ctranslate2
import numpy as np

from stt_service import metrics
from stt_service.batching import Batcher, Do, Member


class Together:
    """A `ctranslate2.models.Whisper` for those of its methods that faster-whisper calls.

    They are to be called inside `member`.
    """

    def __init__(
        self,
        model: ctranslate2.models.Whisper,
        *,
        start: int,
        most: int,
        wait_s: float,
        parallel: int = 1,
    ) -> None:
        """
        Args:
            start: The token <|startoftranscript|>.
            most: Utterances in a call.
            wait_s: How long a call is held back for others to join.
            parallel: Calls at a time.
        """
        self._model, self._start = model, start
        self._batcher = Batcher("whisper", most, wait_s, parallel)
        self._here = threading.local()
        self.device, self.device_index = model.device, model.device_index
        self.is_multilingual, self.n_mels = model.is_multilingual, model.n_mels

    @contextmanager
    def member(self, rank: int) -> Iterator[None]:
        """Whoever transcribes an utterance, on the thread that does.

        Args:
            rank: The lesser comes first.
        """
        with self._batcher.member(rank) as member:
            self._here.member = member
            yield

    def unload_model(self) -> None:
        self._batcher.close()
        self._model.unload_model()

    def encode(self, features: ctranslate2.StorageView, to_cpu: bool = False) -> _Row:
        def encode(windows: Sequence[np.ndarray]) -> list[_Row]:
            _count("encode", windows)
            batch = ctranslate2.StorageView.from_array(np.concatenate(windows))
            encoded = _Encoded(self._model.encode(batch, to_cpu=to_cpu))
            return [_Row(encoded, at) for at in range(len(windows))]

        window = np.asarray(features)  # float32, (1, n_mels, n_frames)
        row: _Row = self._ask(("encode", window.shape), encode, window)
        return row

    def detect_language(self, row: _Row) -> list[list[tuple[str, float]]]:
        def detect(rows: Sequence[_Row]) -> list[list[tuple[str, float]]]:
            _count("detect", rows)
            found: list[list[tuple[str, float]]] = self._model.detect_language(_gathered(rows))
            return found

        return [self._ask("detect", detect, row)]

    def generate(self, row: _Row, prompts: list[list[int]], **how: Any) -> list[Any]:
        def generate(asked: Sequence[tuple[_Row, list[int]]]) -> list[Any]:
            _count("decode", asked)
            rows, each = zip(*asked, strict=True)
            found: list[Any] = self._model.generate(_gathered(rows), list(each), **how)
            return found

        [prompt] = prompts
        kind = ("generate", len(prompt), prompt.index(self._start), _frozen(how))
        return [self._ask(kind, generate, (row, prompt))]

    def align(
        self, row: _Row, start: list[int], tokens: list[list[int]], n_frames: int, **how: Any
    ) -> list[Any]:
        def align(asked: Sequence[tuple[_Row, list[int], int]]) -> list[Any]:
            _count("align", asked)
            rows, each, frames = zip(*asked, strict=True)
            placed = self._model.align(_gathered(rows), start, list(each), list(frames), **how)
            return list(placed)

        [text] = tokens
        return [self._ask(("align", tuple(start), _frozen(how)), align, (row, text, n_frames))]

    def _ask(self, kind: Hashable, do: Do, item: Any) -> Any:
        member: Member = self._here.member
        return self._batcher.call(member, kind, do, item)


class _Encoded:
    """What one call has encoded, of several utterances."""

    def __init__(self, view: ctranslate2.StorageView) -> None:
        self.view = view

    @cached_property
    def rows(self) -> np.ndarray:
        """Copied from the device, if it is there."""
        view = self.view
        return np.asarray(view if view.device == "cpu" else view.to_device(ctranslate2.Device.cpu))


@dataclass(frozen=True, slots=True)
class _Row:
    """An utterance's part of it."""

    encoded: _Encoded
    at: int


def _gathered(rows: Sequence[_Row]) -> ctranslate2.StorageView:
    """These as one; without a copy if they are what one call has encoded."""
    first = rows[0].encoded
    whole = range(first.view.shape[0])
    if all(row.encoded is first for row in rows) and [row.at for row in rows] == list(whole):
        return first.view
    return ctranslate2.StorageView.from_array(np.stack([row.encoded.rows[row.at] for row in rows]))


def _count(step: str, items: Sequence[object]) -> None:
    metrics.BATCH_UTTERANCES.labels(step).observe(len(items))


def _frozen(how: dict[str, Any]) -> Hashable:
    return tuple(sorted((name, _hashable(value)) for name, value in how.items()))


def _hashable(value: Any) -> Hashable:
    return tuple(value) if isinstance(value, list) else value
