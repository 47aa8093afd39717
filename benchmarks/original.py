"""The published Starlight architecture with random weights, for speed measurements.

814,241 parameters and 185 million multiply-adds. Batch normalisation is folded into the convolutions, as in exports.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.contract import STREAM_SHAPES, Stream

_INPUTS: Final[dict[str, Stream]] = {
    "pixel_tensor": "pixel",
    "meta": "meta",
    "alpha": "alpha",
    "lsb": "lsb",
    "palette": "palette",
    "palette_lsb": "palette_lsb",
    "format_features": "format",
    "content_features": "content",
}
_WIDTHS: Final = (64, 64, 64, 64, 64, 64, 32, 32)
FOLDED_PARAMETERS: Final = 4 * 2 * (16 + 32 + 64) + 2 * (32 + 64 + 128)
"""Parameters of the batch normalisations, which are folded into the convolutions."""


def write_original(path: Path, *, seed: int = 0) -> int:
    """Write the network as ONNX; return the number of parameters of the published network."""
    network = _Network(np.random.default_rng(seed))
    encoded = [
        network.planes("pixel_tensor", 3),
        network.metadata("meta"),
        network.planes("alpha", 2),
        network.planes("lsb", 3),
        network.dense(network.dense("palette", 768, 128), 128, 64),
        network.planes("palette_lsb", 1),
        network.dense(network.dense("format_features", 6, 32), 32, 32),
        network.dense(network.dense("content_features", 6, 32), 32, 32),
    ]
    gates = network.node("Sigmoid", [network.linear(network.node("Concat", encoded, axis=1), 448, 8)])
    expanded = network.node("MatMul", [gates, network.weight(_gate_expansion())])
    fused = network.node("Mul", [network.node("Concat", encoded, axis=1), expanded])
    hidden = network.linear(network.dense(network.dense(fused, 448, 256), 256, 128), 128, 192)
    used = network.node("Slice", [hidden, *(network.integer(value) for value in (128, 192, 1))])
    network.linear(used, 64, 1, output="stego_logits")
    network.linear(used, 64, 5, output="method_logits")
    network.linear(used, 64, 3, output="bit_order_logits")
    network.linear(used, 64, 64, output="embedding")
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(network.model(), str(path))
    return network.parameters + FOLDED_PARAMETERS


def _gate_expansion() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return a matrix that expands 8 gates to 448 features."""
    return np.repeat(np.eye(len(_WIDTHS), dtype=np.float32), _WIDTHS, axis=1)


class _Network:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self.parameters = 0

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, value: object) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def integer(self, value: int) -> str:
        return self.weight(np.array([value], np.int64))

    def random_weight(self, *shape: int) -> str:
        scale = math.sqrt(2.0 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        self.parameters += math.prod(shape)
        return self.weight(self._rng.normal(0.0, scale, shape).astype(np.float32))

    def linear(self, name: str, inputs: int, width: int, *, output: str = "") -> str:
        arguments = [name, self.random_weight(width, inputs), self.random_weight(width)]
        if not output:
            return self.node("Gemm", arguments, transB=1)
        self._nodes.append(helper.make_node("Gemm", arguments, [output], transB=1))
        self._outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width]))
        return output

    def dense(self, name: str, inputs: int, width: int) -> str:
        return self.node("Relu", [self.linear(name, inputs, width)])

    def planes(self, name: str, channels: int) -> str:
        for width in (16, 32, 64):
            arguments = [name, self.random_weight(width, channels, 3, 3), self.random_weight(width)]
            name = self.node("Relu", [self.node("Conv", arguments, strides=[2, 2], pads=[1, 1, 1, 1])])
            channels = width
        pooled = self.node("AveragePool", [name], kernel_shape=[8, 8], strides=[8, 8])
        return self.dense(self.node("Flatten", [pooled], axis=1), 1024, 64)

    def metadata(self, name: str) -> str:
        name = self.node("Unsqueeze", [name, self.integer(1)])
        channels = 1
        for width, kernel in ((32, 7), (64, 5), (128, 3)):
            arguments = [name, self.random_weight(width, channels, kernel), self.random_weight(width)]
            pads = [kernel // 2, kernel // 2]
            name = self.node("Relu", [self.node("Conv", arguments, strides=[2], pads=pads)])
            channels = width
        pooled = self.node("AveragePool", [name], kernel_shape=[16], strides=[16])
        encoded = self.dense(self.node("Flatten", [pooled], axis=1), 2048, 64)
        return self.node("Mul", [encoded, self.weight(np.array(0.3, np.float32))])

    def model(self) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *STREAM_SHAPES[stream]])
            for name, stream in _INPUTS.items()
        ]
        graph = helper.make_graph(self._nodes, "original", inputs, self._outputs, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        return model
