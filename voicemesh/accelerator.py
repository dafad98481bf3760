"""Whether the onnxruntime that knows CUDA is installed in a way that works.

Its two builds, `onnxruntime` and `onnxruntime-gpu`, put their files into one folder, and
the engines' packages ask for the first: where both are installed, whichever came last
wins, or neither works. `make run GPU=1` puts the second in the place of the first.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

_CPU, _GPU = "onnxruntime", "onnxruntime-gpu"
_CUDA = "CUDAExecutionProvider"
_ASK_S = 20.0  # the import takes a second, or several from a disk that is cold
_REPAIR = "make clean, then make run GPU=1 (or make run, to do without the GPU)"


def complaint() -> str | None:
    """What is wrong, in one line, and what to do; None if nothing is.

    Costs nothing unless the GPU build is here; then it waits for another Python to import
    it, because a broken one can end the process that does.
    """
    if not _installed(_GPU):
        return None
    if _installed(_CPU):
        return f"{_CPU} and {_GPU} are both installed, and break each other: {_REPAIR}"
    if _CUDA not in _providers():
        return f"{_GPU} is installed, but what there is of it does not know CUDA: {_REPAIR}"
    return None


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _providers() -> str:
    """What this environment's onnxruntime can run on; empty if it does not load."""
    ask = "import onnxruntime; print(*onnxruntime.get_available_providers())"
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", ask],
            check=False,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout
