"""The convolutions of a stage by bands of rows, so that pictures that differ in a few rows share all the others.

A text in the lowest bits of a picture changes its first rows and leaves the rest. Where a stage begins with operations
that look at a neighbourhood (convolutions, pooling, whatever goes by element), each row of what they give depends on a
band of the plane alone: such rows are computed for the bands that nobody has seen yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from starlight_exporter.detector.compact import DIGEST_BYTES, STRIP_ROWS
from starlight_exporter.detector.contract import CROP
from starlight_exporter.detector.cut import LARGEST_BOUNDARY, Stage, tensors_read
from starlight_exporter.detector.model import RUNTIME_ERRORS, open_session

_ACTIVATIONS: Final = ("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh")
_ARITHMETIC: Final = ("Add", "Sub", "Mul", "Div", "Clip", "Softplus", "Identity", "BatchNormalization")
_BY_ELEMENT: Final = frozenset((*_ACTIVATIONS, *_ARITHMETIC))
_WINDOWED: Final = frozenset(("Conv", "MaxPool", "AveragePool"))
_Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reach:
    """Row r of an output depends on the rows r * stride - above to r * stride - above + extent - 1 of the plane."""

    stride: int = 1
    above: int = 0
    extent: int = 1

    def through(self, *, kernel: int, stride: int, above: int) -> Reach:
        """What it becomes with one more window over it, of `kernel` rows and with so many rows of padding above."""
        return Reach(self.stride * stride, self.above + above * self.stride, self.extent + (kernel - 1) * self.stride)

    def first(self, row: int) -> int:
        """The first row of the plane that an output row depends on."""
        return max(0, row * self.stride - self.above)

    def end(self, row: int) -> int:
        """The row of the plane after the last one that an output row depends on."""
        return min(CROP, row * self.stride - self.above + self.extent)


@dataclass(frozen=True, slots=True)
class Trunk:
    """A stage in two: its local beginning, for planes of any height, and the rest; between them lie so many `rows`.

    `whole` is the stage that gives these rows too, behind its own outputs.
    """

    whole: bytes
    beginning: bytes
    rest: bytes
    reach: Reach
    rows: int


def split(stage: Stage) -> Trunk | None:
    """The two parts of a stage; None where it does not begin with a chain of local operations on one plane."""
    if len(stage.feeds) != 1 or stage.reads:
        return None
    model = onnx.load_model_from_string(stage.model)
    (plane,) = model.graph.input
    shape = [dimension.dim_value for dimension in plane.type.tensor_type.shape.dim]
    if len(shape) != 4 or shape[2] != CROP:
        return None
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    chain, joint, reach, rows = _local(model.graph, plane.name, weights)
    if not chain or rows < 2:
        return None
    rest = [node for node in model.graph.node if node.output[0] not in chain]
    free = helper.make_tensor_value_info(plane.name, TensorProto.FLOAT, (shape[0], shape[1], "rows", shape[3]))
    between = helper.make_tensor_value_info(joint, TensorProto.FLOAT, None)
    beginning = [node for node in model.graph.node if node.output[0] in chain]
    outputs = list(model.graph.output)
    return Trunk(
        whole=_model(model, list(model.graph.node), plane, [*outputs, between]),
        beginning=_model(model, beginning, free, [between]),
        rest=_model(model, rest, between, outputs),
        reach=reach,
        rows=rows,
    )


class BandedStage:
    """A stage that can compute its beginning for some rows alone; safe with several threads."""

    def __init__(self, stage: Stage, trunk: Trunk) -> None:
        self.rows = trunk.rows
        self._feed = stage.feeds[0]
        self._outputs = stage.outputs
        self._reach = trunk.reach
        self._whole = open_session(trunk.whole)
        self._beginning = open_session(trunk.beginning)
        self._rest = open_session(trunk.rest)
        (self._joint,) = (entry.name for entry in self._rest.get_inputs())

    def keys(self, strips: bytes) -> list[bytes]:
        """What each row of the beginning's output depends on: the digests of the strips below its band."""
        reach = self._reach
        return [
            strips[reach.first(row) // STRIP_ROWS * DIGEST_BYTES : -(-reach.end(row) // STRIP_ROWS) * DIGEST_BYTES]
            for row in range(self.rows)
        ]

    def whole(self, plane: _Rows) -> tuple[tuple[NDArray[Any], ...], _Rows]:
        """The stage's outputs for a plane, and all rows of its beginning's output, (1, channels, rows, width)."""
        *outputs, rows = self._whole.run([*self._outputs, self._joint], {self._feed: plane})
        return tuple(outputs), rows

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The part of a plane that `compute` needs; it begins and ends where padding reaches no row that is wanted."""
        return (first - self._skipped(first)) * self._reach.stride, self._reach.end(last)

    def compute(self, part: _Rows, first: int, last: int) -> _Rows:
        """Rows `first` to `last` of the beginning's output, from that part of the plane."""
        skipped = self._skipped(first)
        (rows,) = self._beginning.run([self._joint], {self._feed: np.ascontiguousarray(part)})
        wanted: _Rows = rows[:, :, skipped : skipped + last + 1 - first]
        return wanted

    def _skipped(self, first: int) -> int:
        return min(first, -(-self._reach.above // self._reach.stride))

    def finish(self, rows: _Rows) -> tuple[NDArray[Any], ...]:
        """The stage's outputs, from all rows of its beginning's output."""
        return tuple(self._rest.run(self._outputs, {self._joint: rows}))


def banded(stage: Stage) -> BandedStage | None:
    """The stage by bands, if it can be split and each row of a drawn plane comes out as it does of the whole plane."""
    trunk = split(stage)
    if trunk is None:
        return None
    try:
        found = BandedStage(stage, trunk)
        (entry,) = open_session(stage.model).get_inputs()
        plane = np.random.default_rng(0).random(entry.shape, np.float32)
        outputs, whole = found.whole(plane)
        finished = found.finish(whole)
        bands = [found.compute(plane[:, :, slice(*found.span(row, row))], row, row) for row in range(found.rows)]
    except RUNTIME_ERRORS:
        return None
    if whole.shape[2] != found.rows or whole.nbytes > LARGEST_BOUNDARY:
        return None
    # To the bit: which rows are known depends on what was evaluated before, and no number may depend on that.
    pairs = [(np.concatenate(bands, axis=2), whole), *zip(finished, outputs, strict=True)]
    return found if all(np.array_equal(ours, theirs) for ours, theirs in pairs) else None


def _local(graph: onnx.GraphProto, plane: str, weights: dict[str, tuple[int, ...]]) -> tuple[set[str], str, Reach, int]:
    """The chain of local operations that begins at the plane: its tensors, the last one, its reach and its rows."""
    ends = {value.name for value in graph.output}
    chain: set[str] = set()
    name, reach, rows = plane, Reach(), CROP
    while True:
        readers = [node for node in graph.node if name in tensors_read(node)]
        if len(readers) != 1 or name in ends:
            break
        (node,) = readers
        others = [other for other in node.input if other and other != name]
        if len(node.output) != 1 or node.output[0] in ends or list(node.input).count(name) != 1:
            break
        if node.domain not in ("", "ai.onnx") or not all(other in weights for other in others):
            break
        if node.op_type in _WINDOWED:
            window = _window(node, weights)
            if window is None:
                break
            kernel, stride, above, below = window
            reach = reach.through(kernel=kernel, stride=stride, above=above)
            rows = (rows + above + below - kernel) // stride + 1
        elif node.op_type not in _BY_ELEMENT or not all(_spares_rows(node, weights[other]) for other in others):
            break
        name = node.output[0]
        chain.add(name)
    return chain, name, reach, rows


def _window(node: onnx.NodeProto, weights: dict[str, tuple[int, ...]]) -> tuple[int, int, int, int] | None:
    """Rows of a window, its stride, and the rows of padding above and below; None where they are not plain."""
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = values.get("kernel_shape") or (weights[node.input[1]][2:] if node.op_type == "Conv" else ())
    if len(kernel) != 2 or values.get("auto_pad", b"NOTSET") != b"NOTSET" or values.get("ceil_mode", 0):
        return None
    dilation = values.get("dilations", (1, 1))[0]
    pads = values.get("pads", (0, 0, 0, 0))
    return (kernel[0] - 1) * dilation + 1, values.get("strides", (1, 1))[0], pads[0], pads[2]


def _spares_rows(node: onnx.NodeProto, shape: tuple[int, ...]) -> bool:
    """Whether a weight is the same for all rows: numbers by channel, or with an axis of one for the rows."""
    return node.op_type == "BatchNormalization" or len(shape) < 2 or shape[-2] == 1


def _model(whole: onnx.ModelProto, nodes: list[onnx.NodeProto], feed: onnx.ValueInfoProto, outputs: Any) -> bytes:
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in whole.graph.initializer if tensor.name in used]
    graph = helper.make_graph(nodes, "part", [feed], list(outputs), weights)
    model = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    return bytes(model.SerializeToString())
