"""Small ONNX models with random or constant weights that satisfy the detector contract."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.contract import INPUT_STREAMS, METHODS, STREAM_SHAPES, STREAMS, Stream

_POOL = 64
_FORMAT_ONLY: tuple[Stream, ...] = ("format",)
_INPUT_NAMES: dict[Stream, str] = {stream: name for name, stream in INPUT_STREAMS.items() if name != "metadata"}


def write_random_model(
    path: Path,
    *,
    seed: int = 0,
    streams: Collection[Stream] = STREAMS,
    method_output: bool = True,
    embedding_size: int | None = None,
    scale: float = 4.0,
) -> Path:
    """Write a linear model with random weights over the pooled streams; its verdicts vary with the image."""
    rng = np.random.default_rng(seed)
    graph = _Graph(streams)
    pooled = []
    for stream in graph.streams:
        name, shape = _INPUT_NAMES[stream], STREAM_SHAPES[stream]
        if len(shape) == 3:
            name = graph.add("AveragePool", [name], kernel_shape=[_POOL, _POOL], strides=[_POOL, _POOL])
        pooled.append(graph.add("Flatten", [name], axis=1))
    features = graph.add("Concat", pooled, axis=1)
    width = sum(_pooled_width(stream) for stream in graph.streams)
    outputs = {"stego_logits": 1, "method_logits": len(METHODS)} if method_output else {"stego_logits": 1}
    outputs |= {} if embedding_size is None else {"embedding": embedding_size}
    for name, size in outputs.items():
        weights = rng.normal(0.0, scale / np.sqrt(width), (width, size)).astype(np.float32)
        bias = rng.normal(0.0, 0.5, (size,)).astype(np.float32)
        graph.output(name, "Gemm", [features, graph.constant(weights), graph.constant(bias)], size)
    return graph.write(path)


def write_constant_model(path: Path, *, logit: float, method_logits: Sequence[float] | None = (1, 0, 0, 0, 0)) -> Path:
    """Write a model with the same output for every image; the logit may be NaN."""
    graph = _Graph(_FORMAT_ONLY)
    zero = graph.add("Mul", [_INPUT_NAMES["format"], graph.constant(np.zeros((1, 6), np.float32))])
    for name, values in (("stego_logits", [logit]), ("method_logits", method_logits)):
        if values is not None:
            spread = graph.constant(np.zeros((6, len(values)), np.float32))
            graph.output(name, "Gemm", [zero, spread, graph.constant(np.asarray(values, np.float32))], len(values))
    return graph.write(path)


def write_nan_for_alpha_model(path: Path) -> Path:
    """Write a model that returns NaN for images with an alpha plane, and a probability of 2/3 for all others."""
    graph = _Graph(_FORMAT_ONLY)
    first = np.zeros((6, 1), np.float32)
    first[0] = 1.0
    has_alpha = graph.add("MatMul", [_INPUT_NAMES["format"], graph.constant(first)])
    rest = graph.add("Sub", [graph.constant(np.full((1, 1), 0.5, np.float32)), has_alpha])
    doubled = graph.add("Mul", [rest, graph.constant(np.full((1, 1), 4.0, np.float32))])
    graph.output("stego_logits", "Log", [doubled], 1)
    return graph.write(path)


def write_shifted_model(path: Path, source: Path, *, logit: float) -> Path:
    """Copy a model with this value added to the stego logit; above 0, more images are classified as stego."""
    model = onnx.load(str(source))
    (producer,) = (node for node in model.graph.node if "stego_logits" in node.output)
    producer.output[list(producer.output).index("stego_logits")] = "unshifted"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([logit], np.float32), "shift"))
    model.graph.node.append(helper.make_node("Add", ["unshifted", "shift"], ["stego_logits"]))
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
    return path


class _Graph:
    def __init__(self, streams: Collection[Stream]) -> None:
        self.streams: tuple[Stream, ...] = tuple(stream for stream in STREAMS if stream in streams)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add(self, kind: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"node{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: NDArray[np.float32]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def output(self, name: str, kind: str, inputs: Sequence[str], size: int) -> None:
        self._nodes.append(helper.make_node(kind, list(inputs), [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]))

    def write(self, path: Path) -> Path:
        inputs = [
            helper.make_tensor_value_info(_INPUT_NAMES[stream], TensorProto.FLOAT, ["batch", *STREAM_SHAPES[stream]])
            for stream in self.streams
        ]
        graph = helper.make_graph(self._nodes, "test", inputs, self._outputs, self._constants)
        # The newest IR version of the onnx package may be ahead of the installed runtime.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save_model(model, str(path))
        return path


def _pooled_width(stream: Stream) -> int:
    shape = STREAM_SHAPES[stream]
    return shape[0] * (shape[1] // _POOL) * (shape[2] // _POOL) if len(shape) == 3 else shape[0]
