"""Models that satisfy the detector contract but do not end or use too much memory, for all images or some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDE = 512

Images = Literal["all", "wide", "alpha"]
"""Images for which a model exceeds its limits: all, those wider than WIDE, or those with an alpha plane."""

_COLUMNS: Final[dict[Images, tuple[int, float]]] = {"all": (4, -1.0), "wide": (4, WIDE / 256), "alpha": (0, 0.9999)}
"""The format feature, and the limit that it exceeds. The random features on which every model is tried do not."""

_STEP_BYTES: Final = 16_000_000


def write_endless_model(path: Path, images: Images = "all") -> Path:
    """Write a model with a loop that does not end."""
    return _write_loop(path, images)


def write_memory_model(path: Path, images: Images = "all", *, gigabytes: float = 0.8) -> Path:
    """Write a model that allocates this much memory in steps of 16 MB, then returns."""
    return _write_loop(path, images, steps=int(gigabytes * 1e9 / _STEP_BYTES))


def _write_loop(path: Path, images: Images, *, steps: int | None = None) -> Path:
    """Write a model with a loop for these images.

    With `steps`, the loop ends after that number of steps, and its result grows by _STEP_BYTES in each.
    """
    column, threshold = _COLUMNS[images]
    nodes = [
        helper.make_node("ReduceMax", ["format_features"], ["largest"], axes=[0], keepdims=0),
        helper.make_node("Gather", ["largest", "column"], ["feature"]),
        helper.make_node("Greater", ["feature", "threshold"], ["is_chosen"]),
        helper.make_node("ReduceSum", ["format_features", "last_axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["zeros"]),
    ]
    inner = [
        helper.make_node("Identity", ["go_on"], ["go_on_after"]),
        helper.make_node("Add", ["value", "one"], ["value_after"]),
    ]
    outputs = [
        helper.make_tensor_value_info("go_on_after", TensorProto.BOOL, []),
        helper.make_tensor_value_info("value_after", TensorProto.FLOAT, [1]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "column": np.asarray(column, np.int64),
        "threshold": np.asarray(threshold, np.float32),
        "last_axis": np.asarray([1], np.int64),
        "zero": np.zeros((1, 1), np.float32),
        "start": np.zeros((1,), np.float32),
    }
    loop_outputs = ["result"]
    if steps is not None:
        # Stacked results of all iterations stay in memory until the end of the loop.
        inner.append(helper.make_node("Expand", ["value_after", "step_shape"], ["block"]))
        outputs.append(helper.make_tensor_value_info("block", TensorProto.FLOAT, [_STEP_BYTES // 4]))
        constants["steps"] = np.asarray(steps, np.int64)
        loop_outputs.append("blocks")
    body = helper.make_graph(
        inner,
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1]),
        ],
        outputs,
        [
            numpy_helper.from_array(np.ones((1,), np.float32), "one"),
            *(
                []
                if steps is None
                else [numpy_helper.from_array(np.asarray([_STEP_BYTES // 4], np.int64), "step_shape")]
            ),
        ],
    )
    nodes.append(
        helper.make_node("Loop", ["" if steps is None else "steps", "is_chosen", "start"], loop_outputs, body=body)
    )
    last = "result"
    if steps is not None:
        nodes += [
            helper.make_node("Shape", ["blocks"], ["shape"]),
            helper.make_node("Cast", ["shape"], ["size"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["size", "first"], ["count"]),
            helper.make_node("Add", ["result", "count"], ["with_blocks"]),
        ]
        constants["first"] = np.asarray([0], np.int64)
        last = "with_blocks"
    nodes += [
        helper.make_node("Mul", [last, "zero"], ["nothing"]),
        helper.make_node("Add", ["zeros", "nothing"], ["stego_logits"]),
    ]
    return _save(path, nodes, constants)


def _save(path: Path, nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> Path:
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("format_features", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("stego_logits", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path
