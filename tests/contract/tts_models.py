"""Tiny speech models with the input and output names and shapes of the real ones.

They hum: how long depends on the number of sounds and on the speed asked for, how high
on the voice. So the engines' own code runs in full, without weights.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KOKORO_RATE_HZ, PIPER_RATE_HZ = 24_000, 22_050
KOKORO_VOICES = (
    "af_alloy", "af_heart", "af_nova", "am_michael", "am_onyx", "bf_emma", "bm_george", "ff_siwis"
)  # fmt: skip
SPEAKERS = ("ann", "bob", "cid")
SAMPLES_A_SOUND = 1500


def kokoro(models_dir: Path, *, endless: bool = False) -> None:
    """kokoro-onnx v1.0: tokens int64 (1, n), style float (1, 256), speed float (1,)."""
    folder = models_dir / "kokoro"
    folder.mkdir(parents=True)
    nodes = [
        node("Shape", "tokens", "shape"),
        node("Gather", "shape", "one", "count"),
        node("Cast", "count", "sounds", to=TensorProto.FLOAT),
        node("Div", "sounds", "speed", "shortened"),
        node("ReduceMean", "style", "mean", keepdims=0),
        *_hum("shortened", "mean", "audio", endless=endless),
    ]
    inputs = [
        value("tokens", TensorProto.INT64, [1, "n"]),
        value("style", TensorProto.FLOAT, [1, 256]),
        value("speed", TensorProto.FLOAT, [1]),
    ]
    _save(folder / "kokoro-v1.0.onnx", nodes, inputs, value("audio", TensorProto.FLOAT, ["t"]))
    styles = {
        name: np.full((510, 1, 256), 0.03 + 0.005 * n, dtype=np.float32)
        for n, name in enumerate(KOKORO_VOICES)
    }
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **styles)


def piper(
    models_dir: Path, voice: str = "en_US-lessac-medium", speakers: tuple[str, ...] = ()
) -> None:
    """VITS as Piper exports it: input int64 (1, n), input_lengths (1,), scales float (3,)
    and, with several speakers, sid int64 (1,); output float (1, 1, 1, t)."""
    folder = models_dir / "piper"
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [
        value("input", TensorProto.INT64, [1, "n"]),
        value("input_lengths", TensorProto.INT64, [1]),
        value("scales", TensorProto.FLOAT, [3]),
    ]
    pitch = [node("Identity", "low", "pitch")]
    if speakers:
        inputs.append(value("sid", TensorProto.INT64, [1]))
        pitch = [
            node("Cast", "sid", "speaker", to=TensorProto.FLOAT),
            node("Mul", "speaker", "step", "above"),
            node("Add", "low", "above", "pitches"),
            node("ReduceMean", "pitches", "pitch", keepdims=0),
        ]
    nodes = [
        node("Cast", "input_lengths", "sounds", to=TensorProto.FLOAT),
        node("Gather", "scales", "one", "length_scale"),
        node("Mul", "sounds", "length_scale", "lengthened"),
        *pitch,
        *_hum("lengthened", "pitch", "wave"),
        node("Reshape", "wave", "four", "output"),
    ]
    output = value("output", TensorProto.FLOAT, [1, 1, 1, "t"])
    _save(folder / f"{voice}.onnx", nodes, inputs, output)
    (folder / f"{voice}.onnx.json").write_text(json.dumps(_piper_settings(speakers)))


def node(kind: str, *names: str, **attributes: object) -> onnx.NodeProto:
    """A node; the last name is its output."""
    return helper.make_node(kind, list(names[:-1]), [names[-1]], **attributes)


def value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _hum(sounds: str, step: str, out: str, *, endless: bool = False) -> list[onnx.NodeProto]:
    """A sine of SAMPLES_A_SOUND a sound, `step` radians a sample."""
    return [
        *(_never_done(sounds) if endless else [node("Identity", sounds, "worked")]),
        node("Mul", "worked", "a_sound", "long"),
        node("ReduceMax", "long", "longest", keepdims=0),
        node("Range", "zero", "longest", "unit", "time"),
        node("Mul", "time", step, "phase"),
        node("Sin", "phase", "full"),
        node("Mul", "full", "volume", out),
    ]


def _never_done(sounds: str) -> list[onnx.NodeProto]:
    """Minutes of work that change nothing."""
    body = helper.make_graph(
        [node("Identity", "go_on", "goes_on"), node("Mul", "worn", "unit", "wears")],
        "work",
        [
            value("turn", TensorProto.INT64, []),
            value("go_on", TensorProto.BOOL, []),
            value("worn", TensorProto.FLOAT, ["m"]),
        ],
        [value("goes_on", TensorProto.BOOL, []), value("wears", TensorProto.FLOAT, ["m"])],
    )
    return [node("Loop", "turns", "", sounds, "worked", body=body)]


def _save(
    file: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: onnx.ValueInfoProto,
) -> None:
    constants = {
        "one": np.array([1], np.int64),
        "four": np.array([1, 1, 1, -1], np.int64),
        "turns": np.array(10**9, np.int64),
        "zero": np.array(0, np.float32),
        "unit": np.array(1, np.float32),
        "low": np.array(0.03, np.float32),
        "step": np.array(0.01, np.float32),
        "volume": np.array(0.3, np.float32),
        "a_sound": np.array(SAMPLES_A_SOUND, np.float32),
    }
    used = {name for each in nodes for name in each.input}
    tensors = [numpy_helper.from_array(constants[name], name) for name in used & constants.keys()]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _piper_settings(speakers: tuple[str, ...]) -> dict[str, object]:
    symbols = "_^$ !',-.:;?abcdefghijklmnopqrstuvwxyzæðŋʲɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒˈˌːθᵻ\u0303\u0329"
    return {
        "audio": {"sample_rate": PIPER_RATE_HZ, "quality": "medium"},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [n] for n, symbol in enumerate(symbols)},
        "num_symbols": len(symbols),
        "num_speakers": len(speakers) or 1,
        "speaker_id_map": {name: n for n, name in enumerate(speakers)},
    }
