"""Piper: small and natural enough, fast on a CPU, one language a voice file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from piper import PiperVoice
from piper.config import PiperConfig, SynthesisConfig
from piper.phonemize_espeak import ESPEAK_DATA_DIR

from mesh.errors import NotInstalled
from tts_service import languages
from tts_service.config import Config
from tts_service.engine import CannotSay, Halt, Manner, Piece, Stopped, Voice, pieces
from tts_service.inference import Session
from tts_service.short_path import short_path
from tts_service.voices import OPENAI_NAMES

MOST_CHARS = 120  # about 7 s of speech


class Piper:
    """A voice id is the name of the file and, if it holds several speakers, one of them:
    `en_US-libritts_r-medium#3922`. OpenAI's names are spread over the speakers."""

    def __init__(self, config: Config) -> None:
        """
        Raises:
            NotInstalled: the voice is not in `models_dir`, or does not load.
        """
        model = config.models_dir / "piper" / f"{config.piper_voice}.onnx"
        settings = model.with_name(f"{model.name}.json")
        for file in (model, settings):
            if not file.is_file():
                raise NotInstalled(f"no {file}; run `voicemesh models pull piper`")
        described = json.loads(settings.read_text())
        self._config = PiperConfig.from_dict(described)
        self._session = Session(model)
        self.most_chars = self._session.most_chars(on_cpu=MOST_CHARS)
        self._piper = PiperVoice(
            config=self._config,
            session=self._session,
            espeak_data_dir=Path(short_path(str(ESPEAK_DATA_DIR))),
            download_dir=model.parent,
        )
        code = described.get("language", {}).get("code") or self._config.espeak_voice
        self._language = str(code).lower().replace("_", "-")
        self._speakers = _speakers(config.piper_voice, self._config)
        self.voices: Sequence[Voice] = [
            Voice(name, name, (self._language,)) for name in self._speakers
        ]

    @property
    def sample_rate_hz(self) -> int:
        return self._config.sample_rate

    def voice_for(self, manner: Manner) -> str:
        if manner.language and languages.nearest(manner.language, [self._language]) is None:
            raise CannotSay(f"no voice speaks {manner.language}")
        if manner.voice_id in self._speakers:
            return manner.voice_id
        names = list(self._speakers)
        wanted = manner.voice_id.lower()
        if wanted not in OPENAI_NAMES:
            return names[0]
        return names[OPENAI_NAMES.index(wanted) * len(names) // len(OPENAI_NAMES)]

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        asked = SynthesisConfig(
            speaker_id=self._speakers[self.voice_for(manner)],
            length_scale=self._config.length_scale / manner.speed,
            normalize_audio=False,  # to full scale sentence by sentence: a "hm" would be shouted
        )
        said = False
        try:
            with self._session.until(halt):
                # Two brackets would begin phonemes.
                for sentence in self._piper.synthesize(text.replace("[[", "["), asked):
                    said = True
                    yield from pieces(sentence.audio_float_array, self.sample_rate_hz, halt)
        except Stopped:
            return
        if not said:
            raise CannotSay("no sounds of this model")


def _speakers(voice: str, config: PiperConfig) -> dict[str, int | None]:
    """Voice id → number of the speaker in the model."""
    if config.num_speakers <= 1:
        return {voice: None}
    names = config.speaker_id_map or {str(n): n for n in range(config.num_speakers)}
    return {f"{voice}#{name}": number for name, number in names.items()}
