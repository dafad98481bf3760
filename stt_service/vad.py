"""Voice activity: Silero VAD over a stream, 16 kHz, one probability per 32 ms window.

The model file comes inside the faster-whisper wheel. It is found without importing
that package, which would load PyAV and CTranslate2 too.

Why it runs on the event loop and not on a model thread: a window costs 0.1 to 0.2 ms; the
way to a thread and back would still cost the loop 0.06 ms, and make that 0.26 ms long.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime

from mesh import audio
from mesh.errors import NotInstalled
from stt_service import metrics
from stt_service.endpointing import WINDOW_SAMPLES

CONTEXT_SAMPLES = 64  # samples of the window before, which the model wants in front of each
STATE_SHAPE = (1, 1, 128)


class Silero:
    """The loaded model. Knows nothing of streams: their state goes in and comes out."""

    def __init__(self, path: Path | None = None) -> None:
        """
        Args:
            path: The ONNX file; None means the one in the faster-whisper wheel.

        Raises:
            NotInstalled: that wheel is not there.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(path or _model_file()), options, providers=["CPUExecutionProvider"]
        )

    def run(
        self, windows: np.ndarray, h: np.ndarray, c: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Windows of one stream, in order: float32 (n, CONTEXT_SAMPLES + WINDOW_SAMPLES), −1…1.

        Returns:
            Probabilities (n,) and the state after the last window.
        """
        probabilities, h, c = self._session.run(None, {"input": windows, "h": h, "c": c})
        return probabilities.reshape(-1), h, c


class Vad:
    """One stream's voice activity."""

    def __init__(self, model: Silero) -> None:
        self._model = model
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far; the next sample fed is the first of a window."""
        self._h = np.zeros(STATE_SHAPE, dtype=np.float32)
        self._c = np.zeros(STATE_SHAPE, dtype=np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, dtype=np.float32)
        self._rest = b""

    def feed(self, pcm: bytes) -> list[float]:
        """Hear PCM16 LE mono 16 kHz.

        Returns:
            The probability of speech in each window that is now complete.
        """
        self._rest += pcm
        n_windows = audio.n_samples(self._rest) // WINDOW_SAMPLES
        if not n_windows:
            return []
        n_bytes = n_windows * WINDOW_SAMPLES * audio.SAMPLE_BYTES
        windows = np.empty((n_windows, CONTEXT_SAMPLES + WINDOW_SAMPLES), dtype=np.float32)
        samples = audio.to_float32(self._rest[:n_bytes])
        windows[:, CONTEXT_SAMPLES:] = samples.reshape(n_windows, WINDOW_SAMPLES)
        windows[0, :CONTEXT_SAMPLES] = self._context
        windows[1:, :CONTEXT_SAMPLES] = windows[:-1, -CONTEXT_SAMPLES:]
        self._rest = self._rest[n_bytes:]
        self._context = windows[-1, -CONTEXT_SAMPLES:]
        with metrics.VAD_SECONDS.time():
            probabilities, self._h, self._c = self._model.run(windows, self._h, self._c)
        return [float(probability) for probability in probabilities]


def _model_file() -> Path:
    package = importlib.util.find_spec("faster_whisper")
    if package is None or package.origin is None:
        raise NotInstalled("Silero VAD comes with faster-whisper: pip install faster-whisper")
    found = sorted((Path(package.origin).parent / "assets").glob("silero_vad_v*.onnx"))
    if not found:
        raise NotInstalled("this faster-whisper brings no silero_vad_v*.onnx")
    return found[-1]
