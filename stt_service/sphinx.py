"""PocketSphinx's C library, called so that other threads run meanwhile.

Why not its Python class: that one holds the GIL through every call, up to 0.1 s at the
end of an utterance, and the event loop with it. The wheel's extension module exports
the C functions (docs: cmusphinx.github.io/doc/pocketsphinx); ctypes lets go of the GIL.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mesh.audio import n_samples
from mesh.errors import NotInstalled

FRAME_SAMPLES = 160  # samples: word times come in frames of 10 ms
MODEL = "en-us"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the best path: a word, or a filler such as <sil>."""

    word: str
    first_frame: int
    last_frame: int
    logprob: float
    """Natural logarithm of its posterior probability in the word lattice."""


class Decoder:
    """One decoder: 90 MB and 0.3 s to make. Every method blocks; one thread at a time."""

    def __init__(self, settings: dict[str, object]) -> None:
        """
        Args:
            settings: Over the defaults of the model in the wheel. Names as in
                `pocketsphinx -help`.

        Raises:
            NotInstalled: the pocketsphinx wheel is not there, or not as we know it.
        """
        self._c = _library()
        model = _package() / "model" / MODEL
        files = {
            "hmm": str(model / MODEL),
            "lm": str(model / f"{MODEL}.lm.bin"),
            "dict": str(model / f"cmudict-{MODEL}.dict"),
        }
        config = self._c.ps_config_parse_json(None, json.dumps(files | settings).encode())
        self._decoder = self._c.ps_init(config)
        self._c.ps_config_free(config)  # the decoder keeps a reference of its own
        # `ps_init` turns its log on again, which tells the words it considers.
        self._c.err_set_loglevel_str(b"FATAL")
        if not self._decoder:
            raise NotInstalled(f"pocketsphinx cannot load its model in {model}")
        self._in_utterance = False

    def start(self, mean: str) -> None:
        """Begin an utterance; one that was left open is dropped.

        Args:
            mean: Cepstral mean to begin with, as from `mean`.
        """
        if self._in_utterance:
            self._c.ps_end_utt(self._decoder)
        self._c.ps_set_cmn(self._decoder, mean.encode())
        self._check(self._c.ps_start_utt(self._decoder))
        self._in_utterance = True

    def feed(self, pcm: bytes) -> None:
        """Decode PCM16 LE mono 16 kHz."""
        self._check(self._c.ps_process_raw(self._decoder, pcm, n_samples(pcm), 0, 0))

    def end(self) -> None:
        self._in_utterance = False
        self._check(self._c.ps_end_utt(self._decoder))

    def mean(self) -> str:
        """The cepstral mean, with all that was heard since the last `start`."""
        found: bytes = self._c.ps_get_cmn(self._decoder, 1)
        return found.decode()

    def text(self) -> str:
        """The best hypothesis; before `end` a quick one."""
        found: bytes | None = self._c.ps_get_hyp(self._decoder, None)
        return found.decode() if found else ""

    def segments(self) -> list[Segment]:
        """The best path after `end`."""
        found = []
        first, last = ctypes.c_int(), ctypes.c_int()
        logmath = self._c.ps_get_logmath(self._decoder)
        at = self._c.ps_seg_iter(self._decoder)
        while at:
            word: bytes = self._c.ps_seg_word(at)
            self._c.ps_seg_frames(at, ctypes.byref(first), ctypes.byref(last))
            posterior = self._c.ps_seg_prob(at, None, None, None)
            logprob = min(0.0, self._c.logmath_log_to_ln(logmath, posterior))
            found.append(Segment(word.decode(), first.value, last.value, logprob))
            at = self._c.ps_seg_next(at)  # frees itself behind the last one
        return found

    def free(self) -> None:
        """Give the memory back. Nothing can be called after it."""
        self._c.ps_free(self._decoder)
        self._decoder = None

    def _check(self, status: int) -> None:
        """
        Raises:
            RuntimeError: the decoder failed; it says no more than that.
        """
        if status < 0:
            raise RuntimeError("pocketsphinx failed to decode")


def _package() -> Path:
    found = importlib.util.find_spec("pocketsphinx")
    if found is None or found.origin is None:
        raise NotInstalled("PocketSphinx is not here: pip install pocketsphinx")
    return Path(found.origin).parent


@cache
def _library() -> ctypes.CDLL:
    _package()
    extension = importlib.util.find_spec("pocketsphinx._pocketsphinx")
    if extension is None or extension.origin is None:
        raise NotInstalled("pocketsphinx has no extension module; install 5.0 or later")
    library = ctypes.CDLL(extension.origin)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    try:
        for name, result, arguments in (
            ("err_set_loglevel_str", text, [text]),
            ("ps_config_parse_json", pointer, [pointer, text]),
            ("ps_config_free", number, [pointer]),
            ("ps_init", pointer, [pointer]),
            ("ps_free", number, [pointer]),
            ("ps_set_cmn", number, [pointer, text]),
            ("ps_get_cmn", text, [pointer, number]),
            ("ps_start_utt", number, [pointer]),
            ("ps_process_raw", number, [pointer, text, ctypes.c_size_t, number, number]),
            ("ps_end_utt", number, [pointer]),
            ("ps_get_hyp", text, [pointer, pointer]),
            ("ps_seg_iter", pointer, [pointer]),
            ("ps_seg_next", pointer, [pointer]),
            ("ps_seg_word", text, [pointer]),
            ("ps_seg_frames", None, [pointer, pointer, pointer]),
            ("ps_seg_prob", number, [pointer, pointer, pointer, pointer]),
            ("ps_get_logmath", pointer, [pointer]),
            ("logmath_log_to_ln", ctypes.c_double, [pointer, number]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise NotInstalled(f"this pocketsphinx does not export its C functions: {error}") from error
    library.err_set_loglevel_str(b"FATAL")
    return library
