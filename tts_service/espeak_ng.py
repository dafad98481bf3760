"""The espeak-ng library from the `espeakng-loader` wheel, through ctypes.

Why one object a process and a lock: espeak-ng keeps its state in globals. Kokoro's
phonemizer works on a copy of the library file and Piper on one built into it, so the
three engines do not disturb each other; `tests/contract` holds them to that.

Source: espeak-ng 1.52, `src/include/espeak-ng/speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass

import espeakng_loader

from mesh.errors import NotInstalled
from tts_service.short_path import short_path

SLOWEST_WPM = 80
# Audio a callback, and how often a synthesis asks whether to go on: a millisecond's work. Each
# callback waits for Python's lock, which a busy event loop gives up some 0.3 ms later: with
# 50 ms, two seconds of speech waited forty times.
BUFFER_MS = 1000

_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_POS_CHARACTER, _CHARS_UTF8 = 1, 1
_RATE = 1
_LIST_TERMINATED, _WORD = 0, 1
_GO_ON, _ABORT = 0, 1


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language espeak-ng speaks."""

    tag: str
    """BCP-47, lower case."""

    name: str
    identifier: str
    """What selects it, such as "gmw/en-US". A variant goes behind it: "gmw/en-US+f3"."""


@dataclass(slots=True)
class Speech:
    """What one call said."""

    pcm: bytearray
    """PCM16 LE mono at the library's rate."""

    words: list[tuple[int, int]]
    """Character of the text → milliseconds. A number is several words at one place or the next."""


class Library:
    """espeak-ng, loaded. Its calls wait for each other."""

    def __init__(self, data_path: str) -> None:
        """
        Raises:
            NotInstalled: the library or its data do not load here.
        """
        self._lock = threading.Lock()
        try:
            self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise NotInstalled(f"the espeak-ng library does not load: {error}") from error
        self._declare()
        data = short_path(data_path)
        self.sample_rate_hz: int = self._lib.espeak_Initialize(
            _SYNCHRONOUS, BUFFER_MS, data.encode(), _DONT_EXIT
        )
        if self.sample_rate_hz <= 0:
            raise NotInstalled(f"espeak-ng finds no data in {data_path}")

    def languages(self) -> list[Language]:
        """In the library's order; where two voices share a tag, the library's favourite."""
        listed = self._lib.espeak_ListVoices(None)
        languages: dict[str, Language] = {}
        index = 0
        while listed[index]:
            voice = listed[index].contents
            tag = voice.languages[1:].decode().lower()  # its first byte is a priority
            languages.setdefault(tag, Language(tag, voice.name.decode(), voice.identifier.decode()))
            index += 1
        return list(languages.values())

    def speak(self, text: str, voice: str, wpm: int, stopped: Callable[[], bool]) -> Speech:
        """Say `text`. Blocks for about a hundredth of the time it takes to listen to it.

        Args:
            voice: Identifier of a language, with or without a variant.
            wpm: Words a minute, SLOWEST_WPM or more.
            stopped: Asked every BUFFER_MS of audio; true ends the call with what there is.

        Raises:
            RuntimeError: the library refuses the voice or the text.
        """
        said = Speech(bytearray(), [])

        def hear(wav: ctypes._Pointer[ctypes.c_short], n: int, events: object) -> int:
            if stopped():
                return _ABORT
            if wav and n > 0:
                said.pcm.extend(ctypes.string_at(wav, n * 2))
            said.words.extend(_words(events))
            return _GO_ON

        callback = _Callback(hear)
        utf8 = text.encode()
        with self._lock:
            if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
                raise RuntimeError(f"espeak-ng has no voice {voice}")
            self._lib.espeak_SetParameter(_RATE, wpm, 0)
            self._lib.espeak_SetSynthCallback(callback)
            status = self._lib.espeak_Synth(
                utf8, len(utf8) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
            )
        if status != 0:
            raise RuntimeError(f"espeak_Synth returned {status}")
        return said

    def _declare(self) -> None:
        lib = self._lib
        lib.espeak_Initialize.argtypes = (
            ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int,
        )  # fmt: skip
        lib.espeak_ListVoices.argtypes = (ctypes.c_void_p,)
        lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        lib.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
        lib.espeak_SetParameter.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
        lib.espeak_SetSynthCallback.argtypes = (_Callback,)
        lib.espeak_SetSynthCallback.restype = None
        lib.espeak_Synth.argtypes = (
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip


@functools.cache
def library() -> Library:
    """The one of this process, loaded at the first call.

    Raises:
        NotInstalled: it does not load here.
    """
    return Library(espeakng_loader.get_data_path())


def _words(events: object) -> list[tuple[int, int]]:
    found = []
    index = 0
    while (event := events[index]).type != _LIST_TERMINATED:  # type: ignore[index]
        if event.type == _WORD:
            found.append((event.text_position - 1, event.audio_position))
        index += 1
    return found
