"""ONNX models that exceed limits: for every image, or only for images with an alpha plane."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FORMAT = "format_features"
"""The first value of this stream is 1 for images with an alpha plane, otherwise 0."""


def write_endless_model(path: Path, *, always: bool) -> Path:
    """Write a model whose loop does not end in practice: for every image, or for images with an alpha plane."""
    nodes = [
        *_trigger(always=always),
        # trigger × 2^62 iterations.
        helper.make_node("Mul", ["trigger", "many"], ["iterations_float"]),
        helper.make_node("Cast", ["iterations_float"], ["iterations"], to=TensorProto.INT64),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still_going"]),
            helper.make_node("Add", ["value", "one"], ["next_value"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_value", TensorProto.FLOAT, []),
        ],
    )
    nodes += [
        helper.make_node("Loop", ["iterations", "", "zero"], ["looped"], body=body),
        helper.make_node("Mul", ["looped", "zero"], ["nothing"]),
    ]
    return _write(path, nodes, {"many": np.float32(2.0**62)})


def write_large_model(path: Path, *, megabytes: int, always: bool) -> Path:
    """Write a model that allocates this much memory: for every image, or for images with an alpha plane."""
    nodes = [
        *_trigger(always=always),
        helper.make_node("Mul", ["trigger", "elements"], ["count_float"]),
        helper.make_node("Cast", ["count_float"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "vector"], ["shape"]),
        helper.make_node("Concat", ["shape", "rows"], ["full_shape"], axis=0),
        helper.make_node("Expand", ["one", "full_shape"], ["large"]),
        # Not constant, so that the tensor is created.
        helper.make_node("Exp", ["large"], ["larger"]),
        helper.make_node("ReduceSum", ["larger"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    constants = {
        "elements": np.float32(megabytes),
        "vector": np.array([1], np.int64),
        "rows": np.array([1024 * 256], np.int64),
    }
    return _write(path, nodes, constants)


def _trigger(*, always: bool) -> list[onnx.NodeProto]:
    """Return the nodes of `trigger`: 1 if the limits are to be exceeded, otherwise 0."""
    nodes = [
        helper.make_node("Slice", [FORMAT, "start", "end", "axis"], ["first"]),
        helper.make_node("ReduceMax", ["first"], ["highest"], keepdims=0),
        # Not for the random features of the images on which every model is tried.
        helper.make_node("Floor", ["highest"], ["has_alpha"]),
    ]
    if always:
        return [*nodes, helper.make_node("Max", ["has_alpha", "one"], ["trigger"])]
    return [*nodes, helper.make_node("Identity", ["has_alpha"], ["trigger"])]


def _write(path: Path, nodes: list[onnx.NodeProto], constants: Mapping[str, object]) -> Path:
    nodes = [
        *nodes,
        helper.make_node("ReduceSum", [FORMAT, "feature_axis"], ["features"], keepdims=1),
        helper.make_node("Mul", ["features", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "nothing"], ["stego_logits"]),
    ]
    constants = {
        "zero": np.float32(0.0),
        "one": np.float32(1.0),
        "start": np.array([0], np.int64),
        "end": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
        "feature_axis": np.array([1], np.int64),
        **constants,
    }
    graph = helper.make_graph(
        nodes,
        "demanding",
        [helper.make_tensor_value_info(FORMAT, TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("stego_logits", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path
