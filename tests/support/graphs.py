"""Random detectors for Hypothesis: graph structures that the graph cut must split or leave unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.contract import INPUT_STREAMS, METHODS, STREAM_SHAPES, STREAMS, Stream

INPUT_NAMES: dict[Stream, str] = {stream: name for name, stream in INPUT_STREAMS.items() if name != "metadata"}
WIDTH = 8
KINDS = ("pooled", "convolved", "reshaped", "branched", "looked up")


class GraphBuilder:
    """Builds a graph with generated names and random weights."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; return the name of its first output."""
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0]

    def constant(self, value: NDArray[Any]) -> str:
        """Add a constant; return its name."""
        self.weights.append(numpy_helper.from_array(value, f"w{len(self.weights)}"))
        return f"w{len(self.weights) - 1}"

    def integers(self, *values: int) -> str:
        """Add a vector of integers; return its name."""
        return self.constant(np.array(values, np.int64))

    def random_weights(self, *shape: int) -> str:
        """Add random weights of this shape, scaled to preserve the variance; return their name."""
        scale = 1.0 / math.sqrt(math.prod(shape[1:]) if len(shape) > 1 else shape[0])
        return self.constant(self._rng.normal(0.0, scale, shape).astype(np.float32))

    def dense(self, name: str, inputs: int, width: int, weights: str = "") -> str:
        """Add a linear layer and a ReLU; return the name of the output."""
        return self.node("Relu", [self.node("Gemm", [name, weights or self.random_weights(width, inputs)], transB=1)])

    def model(
        self, streams: Sequence[Stream], outputs: Sequence[tuple[str, int]], *, dynamic_shapes: bool
    ) -> onnx.ModelProto:
        """Return the model; with `dynamic_shapes`, its inputs have no fixed sizes."""
        inputs = []
        for stream in streams:
            shape = [f"{stream}{axis}" if dynamic_shapes else size for axis, size in enumerate(STREAM_SHAPES[stream])]
            inputs.append(helper.make_tensor_value_info(INPUT_NAMES[stream], TensorProto.FLOAT, ["batch", *shape]))
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in outputs]
        graph = helper.make_graph(self.nodes, "random", inputs, ends, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _flat(graph: GraphBuilder, stream: Stream) -> tuple[str, int]:
    shape = STREAM_SHAPES[stream]
    if len(shape) == 1:
        return INPUT_NAMES[stream], shape[0]
    pooled = graph.node("AveragePool", [INPUT_NAMES[stream]], kernel_shape=[32, 32], strides=[32, 32])
    return graph.node("Flatten", [pooled], axis=1), shape[0] * 64


def pooled(graph: GraphBuilder, stream: Stream) -> str:
    """Return a pooling encoder."""
    return graph.dense(*_flat(graph, stream), WIDTH)


def convolved(graph: GraphBuilder, stream: Stream) -> str:
    """Return a convolutional encoder for planes, and a dense one for vectors."""
    shape = STREAM_SHAPES[stream]
    if len(shape) == 1:
        return graph.dense(graph.dense(INPUT_NAMES[stream], shape[0], 16), 16, WIDTH)
    filters = graph.random_weights(4, shape[0], 3, 3)
    features = graph.node("Relu", [graph.node("Conv", [INPUT_NAMES[stream], filters], strides=[4, 4])])
    means = graph.node("Flatten", [graph.node("GlobalAveragePool", [features])], axis=1)
    return graph.dense(means, 4, WIDTH)


def reshaped(graph: GraphBuilder, stream: Stream) -> str:
    """Return an encoder that reads the batch size with Shape, as exports with dynamic shapes do."""
    name, size = _flat(graph, stream)
    batch = graph.node("Slice", [graph.node("Shape", [name]), graph.integers(0), graph.integers(1)])
    shape = graph.node("Concat", [batch, graph.integers(size // 2, 2)], axis=0)
    return graph.dense(
        graph.node("ReduceSum", [graph.node("Reshape", [name, shape]), graph.integers(2)], keepdims=0), size // 2, WIDTH
    )


def branched(graph: GraphBuilder, stream: Stream) -> str:
    """Return an encoder with control flow, whose branches use an outer tensor."""
    encoded = pooled(graph, stream)
    mean = graph.node("ReduceMean", [INPUT_NAMES[stream]], keepdims=0)
    bright = graph.node("Greater", [mean, graph.constant(np.array(0.3, np.float32))])
    ways = []
    for kind in ("Neg", "Tanh"):
        end = helper.make_tensor_value_info("end", TensorProto.FLOAT, ["batch", WIDTH])
        ways.append(helper.make_graph([helper.make_node(kind, [encoded], ["end"])], kind, [], [end]))
    return graph.node("If", [bright], then_branch=ways[0], else_branch=ways[1])


def looked_up(graph: GraphBuilder, stream: Stream) -> str:
    """Return an encoder with an integer index (ArgMax, Gather)."""
    name, size = _flat(graph, stream)
    place = graph.node("ArgMax", [name], axis=1, keepdims=0)
    return graph.node("Gather", [graph.random_weights(size, WIDTH), place], axis=0)


ENCODERS: dict[str, Callable[[GraphBuilder, Stream], str]] = dict(
    zip(KINDS, (pooled, convolved, reshaped, branched, looked_up), strict=True)
)


@st.composite
def random_models(draw: st.DrawFn) -> onnx.ModelProto:
    """Generate a model: random streams, separate or shared encoders, perhaps two streams mixed early, one head."""
    streams = draw(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=8, unique=True))
    graph = GraphBuilder(draw(st.integers(0, 2**31)))
    features = []
    for stream in streams:
        features.append(ENCODERS[draw(st.sampled_from(KINDS))](graph, stream))
    planes = [stream for stream in streams if len(STREAM_SHAPES[stream]) == 3]
    if len(planes) >= 2 and draw(st.booleans()):
        # Two inputs are combined at full size.
        both = graph.node("Concat", [INPUT_NAMES[stream] for stream in planes[:2]], axis=1)
        channels = sum(STREAM_SHAPES[stream][0] for stream in planes[:2])
        convolved_both = graph.node("Conv", [both, graph.random_weights(4, channels, 3, 3)], strides=[8, 8])
        means = graph.node("Flatten", [graph.node("GlobalAveragePool", [graph.node("Relu", [convolved_both])])], axis=1)
        features.append(graph.dense(means, 4, WIDTH))
    if {"lsb", "pixel"} <= set(streams) and draw(st.booleans()):
        # One encoder is shared by two inputs.
        size = STREAM_SHAPES["lsb"][0] * 64
        shared = graph.random_weights(WIDTH, size)
        features.extend(graph.dense(_flat(graph, stream)[0], size, WIDTH, shared) for stream in ("lsb", "pixel"))
    if len(features) >= 2 and draw(st.booleans()):
        # Two features are combined before the head.
        features.append(graph.node("Mul", [features[0], features[1]]))
    joined = graph.node("Concat", features, axis=1) if len(features) > 1 else features[0]
    if draw(st.booleans()):
        joined = graph.dense(joined, WIDTH * len(features), 16)
        width = 16
    else:
        width = WIDTH * len(features)
    outputs = [("stego_logits", 1), ("method_logits", len(METHODS))]
    for name, size in outputs:
        graph.nodes.append(helper.make_node("Gemm", [joined, graph.random_weights(size, width)], [name], transB=1))
    return graph.model(streams, outputs, dynamic_shapes=draw(st.booleans()))


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Check and write a model."""
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path
