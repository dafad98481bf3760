"""Kokoro-82M through `kokoro-onnx`: natural, some fifty voices in nine languages.

Its phonemizer is espeak-ng on a copy of the library file made for it, behind a lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import espeakng_loader
import kokoro_onnx
import numpy as np
from kokoro_onnx.config import SAMPLE_RATE, EspeakConfig

from mesh.audio import Samples
from mesh.errors import NotInstalled
from tts_service import languages
from tts_service.config import Config
from tts_service.engine import CannotSay, Halt, Manner, Piece, Stopped, Voice, pieces
from tts_service.inference import Session
from tts_service.short_path import short_path
from tts_service.stretch import stretch

# About 5 s of speech. On two cores that takes 1.3 s, and the largest step of it, within which
# it cannot be stopped, up to 50 ms.
MOST_CHARS = 80

SLOWEST, FASTEST = 0.5, 2.0  # the library's bounds; beyond them the audio is stretched

# The first letter of a voice's name is its language, the second f or m.
LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi",
    "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip

DEFAULT_VOICE = "af_heart"
OPENAI_VOICES = {
    "alloy": "af_alloy",
    "ash": "am_michael",
    "ballad": "bm_george",
    "cedar": "am_fenrir",
    "coral": "af_bella",
    "echo": "am_echo",
    "fable": "bm_fable",
    "marin": "af_heart",
    "nova": "af_nova",
    "onyx": "am_onyx",
    "sage": "af_sarah",
    "shimmer": "af_sky",
    "verse": "am_puck",
}


class Kokoro:
    sample_rate_hz: int = SAMPLE_RATE

    def __init__(self, config: Config) -> None:
        """
        Raises:
            NotInstalled: the weights are not in `models_dir`, or do not load.
        """
        folder = config.models_dir / "kokoro"
        self._session = Session(_only(folder, "*.onnx"))
        self.most_chars = self._session.most_chars(on_cpu=MOST_CHARS)
        voices = _only(folder, "voices*.bin")
        espeak = EspeakConfig(
            lib_path=espeakng_loader.get_library_path(),
            data_path=short_path(espeakng_loader.get_data_path()),
        )
        self._model = kokoro_onnx.Kokoro.from_session(self._session, str(voices), espeak)
        with np.load(voices) as styles:  # read once: the library would for every segment
            self._styles: dict[str, np.ndarray] = {
                name: styles[name] for name in sorted(styles.files) if name[0] in LANGUAGES
            }
        if not self._styles:
            raise NotInstalled(f"{voices} holds no voice this engine knows")
        names = sorted(self._styles, key=lambda name: name != DEFAULT_VOICE)
        self.voices: Sequence[Voice] = [
            Voice(name, name[3:].capitalize(), (LANGUAGES[name[0]],)) for name in names
        ]

    def voice_for(self, manner: Manner) -> str:
        wanted = manner.voice_id.lower()
        name = OPENAI_VOICES.get(wanted, wanted)
        if name not in self._styles:
            name = self.voices[0].voice_id
        if not manner.language or languages.covers(manner.language, LANGUAGES[name[0]]):
            return name
        language = languages.nearest(manner.language, (v.languages[0] for v in self.voices))
        if language is None:
            raise CannotSay(f"no voice speaks {manner.language}")
        speakers = [each for each in self._styles if LANGUAGES[each[0]] == language]
        alike = [each for each in speakers if each[1] == name[1]]
        return (alike or speakers)[0]

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        voice = self.voice_for(manner)
        tokenizer = self._model.tokenizer
        phonemes = tokenizer.phonemize(text, LANGUAGES[voice[0]])
        if not tokenizer.tokenize(phonemes, limit=None):
            raise CannotSay("no sounds of this model")
        speed = min(max(manner.speed, SLOWEST), FASTEST)
        try:
            with self._session.until(halt):
                samples: Samples
                samples, _ = self._model.create(
                    phonemes, self._styles[voice], speed, is_phonemes=True
                )
        except Stopped:
            return
        factor = speed / manner.speed
        samples = stretch(samples, self.sample_rate_hz, factor, lambda: halt.stopped)
        yield from pieces(samples, self.sample_rate_hz, halt)


def _only(folder: Path, pattern: str) -> Path:
    """The first file of that name in the folder."""
    for found in sorted(folder.glob(pattern)):
        return found
    raise NotInstalled(f"no {pattern} in {folder}; run `voicemesh models pull kokoro`")
