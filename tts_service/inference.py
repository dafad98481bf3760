"""An onnxruntime session whose inference can be stopped in the middle.

A long sentence takes seconds on a CPU, and neither Kokoro's library nor Piper's can be
told to stop. onnxruntime can: it looks at a flag between two nodes of the graph. So this
object is given to those libraries in place of the session they would make.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime

from mesh.errors import NotInstalled
from tts_service.engine import Halt, Stopped
from tts_service.segment import LIMIT

_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# Every text is another length. To try all ways of a convolution out for each, as CUDA's
# provider does unasked, would take longer than the speech.
_GPU_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}
_ERRORS, _NOTHING = 3, 4  # onnxruntime's levels of what goes to standard error


log = logging.getLogger(__name__)


def providers(here: Collection[str]) -> list[str | tuple[str, dict[str, str]]]:
    """What is to run a model, best first.

    Args:
        here: Names that this onnxruntime knows.
    """
    gpu = [(_GPU, _GPU_OPTIONS)] if _GPU in here else []
    return [*gpu, _CPU]


class Session:
    """A model, on the GPU if this onnxruntime has one, else on the CPU."""

    def __init__(self, model: Path) -> None:
        """
        Raises:
            NotInstalled: the file is no model that onnxruntime can run.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS
        # Threads that wait for the next step would turn round and round, on cores that the
        # event loop needs; without, Kokoro is no slower and takes a tenth less of them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=providers(onnxruntime.get_available_providers())
            )
        except Exception as error:  # onnxruntime's errors have no class in common
            raise NotInstalled(f"{model} does not load: {error}") from error
        # Not what was asked: without its libraries a GPU's provider leaves all to the CPU.
        provider = self._session.get_providers()[0]
        log.info("model loaded", extra={"model": model.name, "provider": provider})
        self._on_gpu = provider == _GPU
        self._model_path = str(model)
        self._current = threading.local()

    def most_chars(self, on_cpu: int) -> int:
        """How much text to give it at a time: a GPU, many times as fast, takes any segment."""
        return LIMIT if self._on_gpu else on_cpu

    @contextmanager
    def until(self, halt: Halt) -> Iterator[None]:
        """On this thread `run` stops at `halt`."""
        self._current.halt = halt
        try:
            yield
        finally:
            self._current.halt = None

    def run(
        self, outputs: Sequence[str] | None, inputs: Mapping[str, Any], options: Any = None
    ) -> list[Any]:
        """
        Raises:
            Stopped: the `halt` of `until` was set.
            Exception: onnxruntime failed.
        """
        halt: Halt | None = getattr(self._current, "halt", None)
        if halt is None:
            return list(self._session.run(outputs, inputs, options))
        options = onnxruntime.RunOptions()
        options.log_severity_level = _NOTHING  # errors are raised, and a stop is none
        halt.calls(lambda: setattr(options, "terminate", True))
        try:
            return list(self._session.run(outputs, inputs, options))
        except Exception:
            if halt.stopped:
                raise Stopped from None
            raise
        finally:
            halt.calls(None)

    def __getattr__(self, name: str) -> Any:
        """What the libraries ask of a session: its inputs, outputs and metadata."""
        return getattr(self._session, name)
