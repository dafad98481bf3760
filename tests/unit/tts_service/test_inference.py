import logging
import threading
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest

from mesh.errors import NotInstalled
from tests.contract import tts_models
from tests.fakes.tts import WatchedHalt
from tts_service.engine import Halt, Stopped
from tts_service.inference import Session, providers
from tts_service.segment import LIMIT

INPUTS = {
    "tokens": np.array([[0, 1, 2, 0]], np.int64),
    "style": np.full((1, 256), 0.03, np.float32),
    "speed": np.ones(1, np.float32),
}


def session(folder, *, endless: bool) -> Session:
    tts_models.kokoro(folder, endless=endless)
    return Session(folder / "kokoro" / "kokoro-v1.0.onnx")


def test_it_runs_and_shows_what_libraries_ask_of_a_session(tmp_path):
    model = session(tmp_path, endless=False)
    assert [each.name for each in model.get_inputs()] == ["tokens", "style", "speed"]
    [audio] = model.run(None, INPUTS)
    assert len(audio) == 4 * tts_models.SAMPLES_A_SOUND


def test_a_halt_ends_an_inference_of_minutes(tmp_path):
    model, halt = session(tmp_path, endless=True), WatchedHalt()
    ended = threading.Event()

    def infer():
        with pytest.raises(Stopped), model.until(halt):
            model.run(None, INPUTS)
        ended.set()

    threading.Thread(target=infer, daemon=True).start()
    assert halt.at_work.wait(5)
    halt.stop()
    assert ended.wait(5)


def test_an_error_that_is_no_halt_is_raised_as_it_is(tmp_path):
    model = session(tmp_path, endless=False)
    with pytest.raises(Exception, match="speed") as failure, model.until(Halt()):
        model.run(None, {**INPUTS, "speed": np.ones((3, 3), np.float32)})
    assert not isinstance(failure.value, Stopped)


def test_a_file_that_is_no_model_is_not_installed(tmp_path):
    (tmp_path / "model.onnx").write_text("<html>")
    with pytest.raises(NotInstalled, match="does not load"):
        Session(tmp_path / "model.onnx")


def test_a_gpu_comes_first_where_there_is_one_and_the_cpu_is_always_there():
    assert providers(["CPUExecutionProvider"]) == ["CPUExecutionProvider"]
    assert providers(["AzureExecutionProvider", "CPUExecutionProvider"]) == ["CPUExecutionProvider"]
    gpu, cpu = providers(["CPUExecutionProvider", "TensorrtX", "CUDAExecutionProvider"])
    assert (gpu[0], cpu) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert gpu[1] == {"cudnn_conv_algo_search": "HEURISTIC"}


class Recorded:
    """Stands in for onnxruntime's session."""

    works: ClassVar = ["CPUExecutionProvider"]

    def __init__(self, model, options, providers) -> None:
        self.providers = providers

    def get_providers(self) -> list[str]:
        return self.works


BOTH = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("works", "most_chars"),
    [(BOTH, LIMIT), (BOTH[1:], 80)],  # the GPU's libraries may be missing
)
def test_a_session_is_asked_for_on_the_gpu_and_tells_what_it_runs_on(
    tmp_path, monkeypatch, caplog, works, most_chars
):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: BOTH)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    monkeypatch.setattr(Recorded, "works", works)
    with caplog.at_level(logging.INFO):
        model = Session(tmp_path / "kokoro.onnx")
    assert [each[0] if isinstance(each, tuple) else each for each in model.providers] == BOTH
    [line] = caplog.records
    assert (line.model, line.provider) == ("kokoro.onnx", works[0])
    assert model.most_chars(on_cpu=80) == most_chars
