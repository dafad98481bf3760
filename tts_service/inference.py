"""An onnxruntime session whose inference can be stopped in the middle.

A long sentence takes seconds on a CPU, and neither Kokoro's library nor Piper's can be
told to stop. onnxruntime can: it looks at a flag between two nodes of the graph. So this
object is given to those libraries in place of the session they would make.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime

from mesh.errors import NotInstalled
from tts_service.engine import Halt, Stopped

_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS, _NOTHING = 3, 4  # onnxruntime's levels of what goes to standard error


class Session:
    """A model, on the GPU if this onnxruntime has one, else on the CPU."""

    def __init__(self, model: Path) -> None:
        """
        Raises:
            NotInstalled: the file is no model that onnxruntime can run.
        """
        here = onnxruntime.get_available_providers()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=[name for name in (_GPU, _CPU) if name in here]
            )
        except Exception as error:  # onnxruntime's errors have no class in common
            raise NotInstalled(f"{model} does not load: {error}") from error
        self._model_path = str(model)
        self._current = threading.local()

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
