"""Cut an ONNX graph into stages that each depend on few inputs, and a head that combines them.

Every tensor depends on a set of graph inputs. A tensor read by a node that depends on more inputs is a boundary. The
boundaries of one input set are the outputs of a stage: they are equal for all images with equal inputs of that set.
Large tensors (full planes) are not used as boundaries; they are computed again in the stage that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

LARGEST_BOUNDARY: Final = 16 * 1024
"""Bytes per image. Larger tensors are computed again instead of stored; work only on smaller ones is not a stage."""

_Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class GraphStage:
    """A part of the graph as a serialised model for one image per call (the head of a `batched` cut: for a batch).

    `depends` are the graph inputs that its outputs depend on. Its inputs are the graph inputs `feeds` and the outputs
    `reads` of earlier stages.
    """

    model: bytes
    depends: _Names
    feeds: tuple[str, ...]
    reads: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphCut:
    """Stages in execution order, and the head, whose outputs are those of the full model.

    `batched`: whether all inputs of the head have a leading axis of length one per image and can be concatenated.
    """

    stages: tuple[GraphStage, ...]
    head: GraphStage
    batched: bool


@dataclass(frozen=True, slots=True)
class NoCut:
    """The reason why a model cannot be run in stages."""

    reason: str


def cut_graph(
    model: bytes,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[str],
    measured: Mapping[str, tuple[int, ...]] | None = None,
) -> GraphCut | NoCut:
    """Cut the graph of a serialised ONNX model with the given outputs and inputs (name → shape without batch axis).

    `measured` are the shapes, from a run on one image, of tensors whose shape cannot be inferred. They are used only to
    distinguish large tensors from small ones.
    """
    try:
        graph = _Graph(_prepared(model, inputs), outputs, measured or {})
    except _NoCutError as error:
        return NoCut(str(error))
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        return NoCut(f"the graph cannot be analysed: {' '.join(str(error).split())[:200]}")
    return graph.cut()


def with_unknown_shapes_as_outputs(
    model: bytes, inputs: Mapping[str, tuple[int, ...]]
) -> tuple[bytes, tuple[str, ...]]:
    """Return a model whose outputs are the tensors without inferred shape, and their names; empty if not possible."""
    try:
        prepared = _prepared(model, inputs)
        graph = _Graph(prepared, [value.name for value in prepared.graph.output], {})
    except (_NoCutError, DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError):
        return b"", ()
    names = graph.of_unknown_shape()
    del prepared.graph.output[:]
    prepared.graph.output.extend(graph.typed(name) for name in names)
    return prepared.SerializeToString(), tuple(names)


class _NoCutError(Exception):
    """The model cannot be cut; the text is the reason."""


def _prepared(data: bytes, inputs: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """Return the model for one image, with local functions inlined and shapes inferred."""
    model = onnx.load_model_from_string(data)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    for value in model.graph.input:
        if value.name in inputs:
            shape = (1, *inputs[value.name])
            value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape))
    # Shapes in the file are those of another batch size.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


class _Graph:
    """A graph with the dependencies and sizes of its tensors."""

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str], measured: Mapping[str, tuple[int, ...]]) -> None:
        self._model = model
        self._measured = measured
        self._outputs = tuple(outputs)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._inputs = {value.name: value for value in model.graph.input if value.name not in self._weights}
        self._types = {
            value.name: value for value in (*model.graph.value_info, *model.graph.output, *self._inputs.values())
        }
        self._nodes = [self._folded(node) for node in model.graph.node]
        self._producer = {name: index for index, node in enumerate(self._nodes) for name in node.output if name}
        live, _ = self._ancestors(self._outputs, frozenset())
        self._depends: dict[str, _Names] = {name: frozenset((name,)) for name in self._inputs}
        self._of_node: dict[int, _Names] = {}
        for index in live:
            node = self._nodes[index]
            union = frozenset().union(*(self._depends.get(name, frozenset()) for name in _tensors_read(node)))
            self._of_node[index] = union
            self._depends.update(dict.fromkeys(node.output, union))
        self._all = frozenset().union(*self._of_node.values())

    def cut(self) -> GraphCut | NoCut:
        """See `cut` above."""
        if len(self._all) < 2:
            return NoCut("the model depends on only one input")
        boundaries = self._boundaries()
        head = self._stage(self._all, self._outputs, self._kept(boundaries.values()))
        stages: list[GraphStage] = []
        wanted = set(head.reads)
        for depends in sorted(boundaries, key=lambda names: (-len(names), sorted(names))):
            names = [name for name in boundaries[depends] if name in wanted]
            if names:
                before = self._kept(kept for other, kept in boundaries.items() if other < depends)
                stage = self._stage(depends, names, before)
                wanted.update(stage.reads)
                stages.insert(0, stage)
        if not stages:
            return NoCut("no part of the model depends on fewer inputs and has small outputs")
        large = sorted(name for name in head.feeds if self._bytes(name) > LARGEST_BOUNDARY)
        if large:
            return NoCut(f"the model combines inputs before it reduces {', '.join(large)}")
        stacked = (*head.feeds, *head.reads)
        return GraphCut(tuple(stages), head, batched=all((self._size(name) or (0,))[0] == 1 for name in stacked))

    def of_unknown_shape(self) -> list[str]:
        """Return the tensors of known type whose shape is not inferred."""
        return [name for name in self._producer if self._kind(name) and self._shape(name) is None]

    def typed(self, name: str) -> onnx.ValueInfoProto:
        """Return a tensor as an output without shape."""
        return helper.make_tensor_value_info(name, self._kind(name), None)

    def _boundaries(self) -> dict[_Names, list[str]]:
        """Return the small boundary tensors of each input set with work on large tensors."""
        found: dict[_Names, list[str]] = {}
        heavy = {depends for index, depends in self._of_node.items() if depends and self._is_heavy(self._nodes[index])}
        for index, depends in self._of_node.items():
            for name in _tensors_read(self._nodes[index]):
                own = self._depends.get(name, frozenset())
                if (
                    own in heavy
                    and own < depends
                    and name in self._producer
                    and name not in self._outputs
                    and self._bytes(name) <= LARGEST_BOUNDARY
                    and name not in found.setdefault(own, [])
                ):
                    found[own].append(name)
        return found

    def _stage(self, depends: _Names, outputs: Sequence[str], known: Collection[str]) -> GraphStage:
        indices, leaves = self._ancestors(outputs, frozenset(known))
        used = {name for index in indices for name in _tensors_read(self._nodes[index])}
        weights = [tensor for name, tensor in self._weights.items() if name in used]
        reads = sorted(leaves & set(known))
        feeds = sorted(leaves & self._inputs.keys())
        is_head = depends == self._all
        graph = helper.make_graph(
            [self._nodes[index] for index in indices],
            "head" if is_head else "stage",
            [self._value(name, stacked=is_head) for name in (*feeds, *reads)],
            [self._value(name, stacked=is_head) for name in outputs],
            weights,
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        return GraphStage(model.SerializeToString(), depends, tuple(feeds), tuple(reads), tuple(outputs))

    def _ancestors(self, outputs: Sequence[str], known: _Names) -> tuple[list[int], set[str]]:
        """Return the nodes that the outputs depend on, in graph order, and the inputs and known tensors they read."""
        indices: set[int] = set()
        leaves: set[str] = set()
        todo = list(outputs)
        while todo:
            name = todo.pop()
            if (name in known and name not in outputs) or name in self._inputs:
                leaves.add(name)
            elif name in self._producer and self._producer[name] not in indices:
                indices.add(self._producer[name])
                todo.extend(_tensors_read(self._nodes[self._producer[name]]))
        return sorted(indices), leaves

    @staticmethod
    def _kept(groups: Iterable[Sequence[str]]) -> set[str]:
        return {name for group in groups for name in group}

    def _folded(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Replace a node that returns an inferred shape by a constant."""
        if node.op_type not in ("Shape", "Size") or node.domain not in ("", "ai.onnx"):
            return node
        shape = self._shape(node.input[0])
        if shape is None:
            return node
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        value = math.prod(shape) if node.op_type == "Size" else shape[bounds.get("start", 0) : bounds.get("end")]
        tensor = numpy_helper.from_array(np.array(value, np.int64))
        return helper.make_node("Constant", [], list(node.output), value=tensor)

    def _is_heavy(self, node: onnx.NodeProto) -> bool:
        return any(self._bytes(name) > LARGEST_BOUNDARY for name in (*_tensors_read(node), *node.output))

    def _size(self, name: str) -> tuple[int, ...] | None:
        """Return the inferred shape, otherwise the measured one."""
        shape = self._shape(name)
        return self._measured.get(name) if shape is None else shape

    def _shape(self, name: str) -> tuple[int, ...] | None:
        if name in self._weights:
            return tuple(self._weights[name].dims)
        value = self._types.get(name)
        if value is None or not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
            return None
        dimensions = value.type.tensor_type.shape.dim
        if not all(dimension.HasField("dim_value") for dimension in dimensions):
            return None
        return tuple(dimension.dim_value for dimension in dimensions)

    def _bytes(self, name: str) -> float:
        """Return the size of a tensor in bytes; infinite if unknown, so that it is not a boundary."""
        if not name:
            return 0
        shape, kind = self._size(name), self._kind(name)
        if shape is None or not kind or kind == TensorProto.STRING:
            return math.inf
        return math.prod(shape) * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)

    def _kind(self, name: str) -> int:
        if name in self._weights:
            return int(self._weights[name].data_type)
        return int(self._types[name].type.tensor_type.elem_type) if name in self._types else TensorProto.UNDEFINED

    def _value(self, name: str, *, stacked: bool) -> onnx.ValueInfoProto:
        shape: Sequence[int | str] | None = self._shape(name)
        if stacked and shape:
            shape = ("batch", *shape[1:])
        return helper.make_tensor_value_info(name, self._kind(name), shape)


def _tensors_read(node: onnx.NodeProto) -> list[str]:
    """Return all tensors that a node reads, including outer tensors read by its subgraphs (branches, loops)."""
    names = [name for name in node.input if name]
    for graph in _subgraphs(node):
        inside = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        inside.update(name for inner in graph.node for name in inner.output)
        read = [name for inner in graph.node for name in _tensors_read(inner)]
        read.extend(value.name for value in graph.output)
        names.extend(name for name in read if name not in inside)
    return names


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [
        graph
        for attribute in node.attribute
        for graph in (*attribute.graphs, attribute.g)
        if graph.node or graph.output
    ]
