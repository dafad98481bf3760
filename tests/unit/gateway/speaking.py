"""Voices whose audio says which text it is, on streams as the synthesis tier makes them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.realtime import signals as sig
from ovos.tts.v1 import tts_pb2 as pb
from tts_service import wire
from tts_service.engine import Word
from tts_service.speech import Degraded, Speech

_CODES = 128
_STEPS = 8  # most samples a character


@dataclass(frozen=True, slots=True)
class Voice:
    """An engine that says every character as so many samples; each says which one it is."""

    name: str
    number: int = 0
    char_samples: int = 3
    is_timed: bool = True
    chunk_samples: int = 7  # so that chunks end anywhere

    def say(self, text: str) -> tuple[bytes, tuple[Word, ...]]:
        samples = [
            (self.number * _CODES + ord(char)) * _STEPS + step
            for char in text
            for step in range(self.char_samples)
        ]
        words = [
            Word(word.start(), word.end(), word.start() * self.char_samples)
            for word in re.finditer(r"\S+", text)
        ]
        return struct.pack(f"<{len(samples)}h", *samples), tuple(words) if self.is_timed else ()

    def stream(
        self, text: str, *, continues: bool = False, worse: str = ""
    ) -> list[pb.StreamingSynthesizeResponse]:
        """All that a worker answers to a text.

        Args:
            worse: The engine for which this one speaks.
        """
        return [
            pb.StreamingSynthesizeResponse(ready=pb.SynthesisReady(engine=worse or self.name)),
            *(wire.response_of(event) for event in self._events(text, continues, worse)),
            pb.StreamingSynthesizeResponse(finished=pb.SynthesisFinished()),
        ]

    def _events(self, text: str, continues: bool, worse: str) -> Iterator:
        speech = Speech(
            rate_hz=24_000,
            chunk_samples=self.chunk_samples,
            allowed_until=1 << 40,
            manual=False,
            continues=continues,
        )
        speech.say(text, 1)
        speech.finish()
        while not speech.is_done:
            if (work := speech.next_work()) is not None:
                if worse:
                    speech.degrade(work.key, Degraded(worse, self.name, "it rests"))
                speech.add(work.key, *self.say(work.segment.text))
                speech.end(work.key)
            while (event := speech.take()) is not None:
                yield event


def heard(sounds: Iterable[object]) -> str:
    """The text that the audio says; "�" where a character was not said to its end."""
    pcm = b"".join(sound.pcm for sound in sounds if isinstance(sound, sig.ReplyAudio))
    samples = list(struct.unpack(f"<{len(pcm) // 2}h", pcm))
    text, at = "", 0
    while at < len(samples):
        code = samples[at] // _STEPS
        run = 1
        while at + run < len(samples) and samples[at + run] == samples[at] + run:
            run += 1
        is_whole = samples[at] % _STEPS == 0 and run in (3, 5)
        text += chr(code % _CODES) if is_whole else "�"
        at += run
    return text
