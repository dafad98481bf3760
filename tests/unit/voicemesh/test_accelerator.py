"""With packages that are only a name, and an onnxruntime that only says what it knows."""

import sys

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


def test_the_gpu_build_alone_is_well(environment):
    module = knows("CUDAExecutionProvider", "CPUExecutionProvider")
    environment("onnxruntime-gpu", module=module)
    assert accelerator.complaint() is None


@pytest.mark.parametrize("module", [knows("CPUExecutionProvider"), "import nothing_like_it"])
def test_a_gpu_build_that_does_not_know_cuda_is_named(environment, module):
    environment("onnxruntime-gpu", module=module)
    assert "does not know CUDA" in accelerator.complaint()
