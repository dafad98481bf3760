"""With packages that are only a name, and an onnxruntime that only says what it knows."""

import re
import sys

import msgspec
import pytest

from voicemesh import accelerator


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Fills a folder that is all there is of installed packages."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def install(*names, module=""):
        for name in names:
            folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        (tmp_path / "onnxruntime.py").write_text(module)

    return install


def knows(*providers):
    return f"def get_available_providers():\n    return {list(providers)}\n"


def test_without_the_gpu_build_nothing_is_said_and_nothing_imported(environment):
    environment("onnxruntime", module="raise SystemExit")
    assert accelerator.complaint() is None


def test_both_builds_together_are_named(environment):
    environment("onnxruntime", "onnxruntime-gpu", module=knows("CUDAExecutionProvider"))
    said = accelerator.complaint()
    assert said.startswith("onnxruntime and onnxruntime-gpu are both installed")
    assert "make run GPU=1" in said
    assert "\n" not in said


def test_the_gpu_build_alone_is_well(environment, tmp_path):
    module = knows("CUDAExecutionProvider", "CPUExecutionProvider")
    environment("onnxruntime-gpu", module=module)
    (tmp_path / "capi").mkdir()
    for name in ("shared", "cuda"):
        library = tmp_path / "capi" / f"libonnxruntime_providers_{name}.so"
        library.symlink_to(msgspec._core.__file__)  # any that loads
    assert accelerator.complaint() is None


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (knows("CPUExecutionProvider"), "another onnxruntime is in its place"),
        (knows("CUDAExecutionProvider"), "cannot open|no such file"),
        ("import nothing_like_it", "No module named 'nothing_like_it'"),
        ("import os; os.abort()", "status -6"),
    ],
)
def test_a_gpu_build_that_cannot_use_cuda_is_named_with_the_reason(environment, module, why):
    environment("onnxruntime-gpu", module=module)
    said = accelerator.complaint()
    assert re.search(rf"onnxruntime-gpu does not work here \(.*({why}).*\)", said)
    assert "CUDA 12" in said
    assert "\n" not in said
