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
_TRY_S = 20.0  # half a second, or several from a disk that is cold

# It says that it has CUDA even where CUDA's libraries are missing: loading tells.
_TRY = """
import ctypes, pathlib, onnxruntime
if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
    raise SystemExit("another onnxruntime is in its place")
libraries = pathlib.Path(onnxruntime.__file__).parent / "capi"
ctypes.CDLL(str(libraries / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
ctypes.CDLL(str(libraries / "libonnxruntime_providers_cuda.so"))
"""


def complaint() -> str | None:
    """What is wrong, in one line, and what to do; None if nothing is.

    Costs nothing unless the GPU build is here; then it waits for another Python to load
    it, because a broken one can end the process that does.
    """
    if not _installed(_GPU):
        return None
    if _installed(_CPU):
        return (
            f"{_CPU} and {_GPU} are both installed, and break each other: make clean, then "
            "make run GPU=1 (or make run, to do without the GPU)"
        )
    if trouble := _trouble():
        return (
            f"{_GPU} does not work here ({trouble}), so voices are made on the CPU: it needs the "
            "libraries of CUDA 12 and cuDNN 9; if they are here: make clean, then make run GPU=1"
        )
    return None


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _trouble() -> str:
    """Why onnxruntime cannot use CUDA; empty if it can."""
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", _TRY],
            check=False,
            capture_output=True,
            text=True,
            timeout=_TRY_S,
        )
    except subprocess.TimeoutExpired:
        return "it takes too long to load"
    if ended.returncode == 0:
        return ""
    return "".join(ended.stderr.splitlines()[-1:]) or f"status {ended.returncode}"
