"""Whisper through CTranslate2: on a GPU when there is one, else int8 on the CPU.

It cannot decode while you speak: a guess decodes again what was said so far, or the last of
it (see `window`). So guesses are far apart, and none is made while the model has other work.

Several utterances are decoded in one call: see `whisper_batch`. One thread calls the model
(or WHISPER_PARALLEL), and as many utterances as fit in a call are on their way at a time,
each on a thread that does for it what is not the model's.

Why not on few cores (seconds an utterance of 26 tokens, int8, two cores of an EPYC):

    utterances in a call     tiny: encode  decode      base: encode  decode
              1                     0.23    0.13             0.53    0.24
              4                     0.18    0.07             0.57    0.13
             10                     0.24    0.06             0.78    0.15

Encoding uses both cores whatever the batch is; decoding reads all weights for each token,
once for all. Together that is a tenth more utterances a second at best (base at 10: fewer), and
each takes as long as all of its batch: whoever speaks alone would wait for others. On a GPU,
and on many cores, one utterance leaves most of the hardware idle.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment

from mesh.audio import to_float32
from mesh.errors import NotInstalled
from stt_service.config import Config
from stt_service.engine import RATE_HZ, Heard, How, Word
from stt_service.whisper_batch import Together
from stt_service.window import Part, Window

NEEDED_FILES = ("model.bin", "config.json", "tokenizer.json")
GPU_BATCH = 10  # R5.4
CORES_AN_UTTERANCE = 4  # so many are busy with one utterance, of a batch on the CPU
FINAL, GUESS = 0, 1  # ranks
MOST_CONTEXT = 200  # characters of what was said before a window that it is decoded with
GPU_BEAMS, CPU_BEAMS = 5, 1  # five beams cost the CPU half as much time again
TEMPERATURES = (0.0, 0.4)  # one more try for text that loops, and no endless ladder of them
N_FRAMES = 3000  # of 10 ms: Whisper's window of 30 s
LEAST_SAMPLES = RATE_HZ // 10  # of less than 0.1 s Whisper makes up words

log = logging.getLogger(__name__)


class FasterWhisper:
    streaming = False
    guess_every_ms = 600

    def __init__(self, config: Config) -> None:
        """
        Raises:
            NotInstalled: the weights are not there, or do not load.
        """
        self.model = config.whisper_model
        folder = config.models_dir / "whisper" / config.whisper_model
        missing = [name for name in NEEDED_FILES if not (folder / name).is_file()]
        if missing:
            raise NotInstalled(
                f"no Whisper weights: {', '.join(missing)} not in {folder};"
                " run `voicemesh models pull whisper`"
            )
        parallel = config.whisper_parallel
        self._whisper = _load(folder, parallel)
        batch = config.whisper_batch or _batch(self._whisper.model.device)
        self._together = _together(self._whisper, batch, config.whisper_batch_ms, parallel)
        self.threads = batch * parallel
        self._beams = CPU_BEAMS if self._whisper.model.device == "cpu" else GPU_BEAMS
        multilingual = self._whisper.model.is_multilingual
        self.languages: Sequence[str] = () if multilingual else ("en",)

    def ear(self, tenant: str = "") -> _Ear:
        return _Ear(self)

    def close(self) -> None:
        self._whisper.model.unload_model()

    def decode(
        self, pcm: bytes, how: How, beams: int, rank: int = FINAL, *, times: bool = False
    ) -> tuple[list[Segment], str]:
        """Decode a whole utterance. Blocks.

        Args:
            times: Whether it is to be cut into segments where sentences end.

        Returns:
            Segments and the code of their language.
        """
        if len(pcm) < LEAST_SAMPLES * 2:
            return [], how.language
        with self._together.member(rank) if self._together else nullcontext():
            return self._transcribe(pcm, how, beams, times)

    def _transcribe(
        self, pcm: bytes, how: How, beams: int, times: bool
    ) -> tuple[list[Segment], str]:
        segments, info = self._whisper.transcribe(
            to_float32(pcm),
            language=self._language(how.language),
            beam_size=beams,
            best_of=1,
            temperature=TEMPERATURES,
            condition_on_previous_text=False,
            initial_prompt=how.prompt or None,
            hotwords=", ".join(how.hints) or None,
            without_timestamps=not (times or how.needs_words),
            word_timestamps=how.needs_words,
        )
        return list(segments), info.language

    def hear(self, pcm: bytes, how: How) -> Heard:
        segments, language = self.decode(pcm, how, self._beams)
        return Heard(
            text=_text(segments),
            language=language,
            confidence=_confidence(segments),
            words=_words(segments, len(pcm) // 2) if how.needs_words else (),
        )

    def guess(self, pcm: bytes, how: How, window: Window | None = None) -> str:
        """
        Args:
            window: Of the guesses at this utterance.
        """
        window = window or Window()
        times = window.is_full(len(pcm) // 2)
        prompt = f"{how.prompt} {window.before[-MOST_CONTEXT:]}".strip()
        how = How(language=how.language, prompt=prompt)
        part = pcm[window.start * 2 :]
        segments, _ = self.decode(part, how, beams=1, rank=GUESS, times=times)
        if not times:
            return f"{window.before} {_text(segments)}".strip()
        return window.guessed([Part(one.text, int(one.end * RATE_HZ)) for one in segments])

    def _language(self, tag: str) -> str | None:
        code = tag.partition("-")[0].lower()
        return code if code in self._whisper.supported_languages else None


class _Ear:
    def __init__(self, engine: FasterWhisper) -> None:
        self._engine = engine

    def recognizer(self, how: How) -> _Recognizer:
        return _Recognizer(self._engine, how)


class _Recognizer:
    lags = False

    def __init__(self, engine: FasterWhisper, how: How) -> None:
        self._engine, self._how = engine, how
        self._pcm = bytearray()
        self._window = Window()
        self._closed = threading.Event()

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm

    def guess(self) -> str:
        if self._closed.is_set():
            return ""
        return self._engine.guess(bytes(self._pcm), self._how, self._window)

    def finish(self) -> Heard:
        if self._closed.is_set():
            return Heard(text="")
        return self._engine.hear(bytes(self._pcm), self._how)

    def close(self) -> None:
        self._closed.set()


def _load(folder: Path, parallel: int) -> WhisperModel:
    """The model on the best device that works.

    Raises:
        NotInstalled: what is in the folder does not load.
    """
    if ctranslate2.get_cuda_device_count() > 0:
        try:
            return _open(folder, "cuda", parallel)
        except RuntimeError as error:  # a driver without the libraries, or no memory left
            log.warning("no GPU for Whisper", extra={"reason": str(error)})
    try:
        return _open(folder, "cpu", parallel)
    except RuntimeError as error:
        raise NotInstalled(
            f"the Whisper weights in {folder} do not load: {error};"
            " run `voicemesh models pull whisper`"
        ) from error


def _open(folder: Path, device: str, parallel: int) -> WhisperModel:
    model = WhisperModel(
        str(folder),
        device=device,
        compute_type="int8" if device == "cpu" else "float16",
        cpu_threads=max(1, (os.cpu_count() or 1) // parallel),
        num_workers=parallel,
        local_files_only=True,
    )
    if device != "cpu":  # libraries that are missing are missed by the first inference only
        model.encode(np.zeros((model.model.n_mels, N_FRAMES), dtype=np.float32))
    return model


def _batch(device: str) -> int:
    """Utterances in a call, unless the settings say how many."""
    if device != "cpu":
        return GPU_BATCH
    return min(GPU_BATCH, max(1, (os.cpu_count() or 1) // CORES_AN_UTTERANCE))


def _together(whisper: WhisperModel, batch: int, wait_ms: int, parallel: int) -> Together | None:
    """What stands in for the model from now on; nothing if there are no batches."""
    if batch == 1:
        return None
    start = whisper.hf_tokenizer.token_to_id("<|startoftranscript|>")
    together = Together(
        whisper.model, start=start, most=batch, wait_s=wait_ms / 1000, parallel=parallel
    )
    whisper.model = together
    return together


def _text(segments: list[Segment]) -> str:
    return "".join(segment.text for segment in segments).strip()


def _confidence(segments: list[Segment]) -> float | None:
    """The mean probability of a token."""
    n_tokens = sum(len(segment.tokens) for segment in segments)
    if not n_tokens:
        return None
    total = sum(segment.avg_logprob * len(segment.tokens) for segment in segments)
    return math.exp(min(0.0, total / n_tokens))


def _words(segments: list[Segment], n_samples: int) -> tuple[Word, ...]:
    return tuple(
        Word(
            word.word.strip(),
            min(int(word.start * RATE_HZ), n_samples),
            min(int(word.end * RATE_HZ), n_samples),
            float(word.probability),
        )
        for segment in segments
        for word in segment.words or ()
    )
