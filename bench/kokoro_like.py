"""A model of Kokoro's cost, without its weights: what its vocoder computes, with random ones.

    python -m bench.kokoro_like .local/like
    python -m bench.halt --models-dir .local/like --engines kokoro

Nearly all of Kokoro-82M's time on a CPU goes to its ISTFTNet generator: two upsamplings of
ten and six, each with three residual blocks (kernels 3, 7 and 11, dilations 1, 3 and 5) of
256 and 128 channels at 800 and 4800 frames a second. This is that, with the inputs and
outputs of the published export; there is no text encoder, and it does not sound like speech.
Source: hexgrad/Kokoro-82M, config.json (`istftnet`) and kokoro/istftnet.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FRAMES_A_SOUND = 5  # of 12.5 ms; a sound takes 60 ms
HOP = 5  # samples a frame of the inverse transform
KERNELS, DILATIONS = (3, 7, 11), (1, 3, 5)
STAGES = ((512, 256, 20, 10), (256, 128, 12, 6))  # channels in, out, kernel, stride
VOICES = ("af_heart", "am_michael", "bf_emma")


class Graph:
    """Nodes and weights, as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(1)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def random(self, *shape: int) -> str:
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant((self._random.standard_normal(shape) * scale).astype(np.float32))

    def snake(self, x: str, channels: int) -> str:
        """x + sin²(ax)/a."""
        alpha = self.constant(np.ones((1, channels, 1), np.float32))
        wave = self.add("Sin", self.add("Mul", x, alpha))
        return self.add("Add", x, self.add("Div", self.add("Mul", wave, wave), alpha))

    def block(self, x: str, channels: int, kernel: int) -> str:
        for dilation in DILATIONS:
            y = x
            for spread in (dilation, 1):
                pad = (kernel - 1) * spread // 2
                weights = self.random(channels, channels, kernel)
                y = self.snake(y, channels)
                y = self.add("Conv", y, weights, dilations=[spread], pads=[pad, pad])
            x = self.add("Add", x, y)
        return x

    def stage(self, x: str, n_in: int, n_out: int, kernel: int, stride: int) -> str:
        pad = (kernel - stride) // 2
        weights = self.random(n_in, n_out, kernel)
        x = self.add("ConvTranspose", x, weights, strides=[stride], pads=[pad, pad])
        blocks = [self.block(x, n_out, kernel) for kernel in KERNELS]
        third = self.constant(np.array(1 / 3, np.float32))
        return self.add("Mul", self.add("Add", self.add("Add", *blocks[:2]), blocks[2]), third)


def model() -> onnx.ModelProto:
    """Inputs as kokoro-onnx v1.0's: tokens, style, speed."""
    graph = Graph()
    one = graph.constant(np.array([1], np.int64))
    count = graph.add("Gather", graph.add("Shape", "tokens"), one)
    many = graph.constant(np.array([FRAMES_A_SOUND], np.int64))
    n_frames = graph.add("Mul", count, many)
    channels = graph.constant(np.array([1, STAGES[0][0]], np.int64))
    seed = graph.add("ReduceMean", graph.add("Mul", "style", "speed"), keepdims=0)
    x = graph.add("Expand", seed, graph.add("Concat", channels, n_frames, axis=0))
    for stage in STAGES:
        x = graph.stage(x, *stage)
    last = STAGES[-1][1]
    wave = graph.add("Conv", x, graph.random(HOP, last, 7), pads=[3, 3])
    loud = graph.add("Mul", graph.add("Tanh", wave), graph.constant(np.array(0.3, np.float32)))
    flat = graph.constant(np.array([-1], np.int64))
    audio = graph.add("Reshape", graph.add("Transpose", loud, perm=[0, 2, 1]), flat)
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "n"]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    output = helper.make_tensor_value_info(audio, TensorProto.FLOAT, ["t"])
    body = helper.make_graph(graph.nodes, "kokoro_like", inputs, [output], graph.weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write(models_dir: Path) -> None:
    folder = models_dir / "kokoro"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model(), str(folder / "kokoro-like.onnx"))
    styles = {
        name: np.full((510, 1, 256), 0.5 + 0.1 * n, np.float32) for n, name in enumerate(VOICES)
    }
    with (folder / "voices-like.bin").open("wb") as file:
        np.savez(file, allow_pickle=False, **styles)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models_dir", type=Path)
    write(parser.parse_args().models_dir)


if __name__ == "__main__":
    main()
