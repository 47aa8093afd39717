"""Cuts an ONNX graph into parts that each depend on few inputs, and a head that joins them.

The cut is found from the graph alone. For every tensor there is the set of graph inputs that it depends on; where a
tensor of one set is read by a node that depends on more, there is a boundary. A set with a boundary becomes a stage:
its outputs are the same for all images whose inputs of that set are equal, so they are computed once. A boundary that
is large (a whole plane) is no place to cut: what makes it is computed again in the stage that reads it.
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
"""Bytes per image: larger tensors are computed again rather than kept, and work on smaller ones is no stage."""

_RANDOM: Final = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)
_Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class GraphStage:
    """A part of the graph as a model of its own, for one image a call (the head: for as many as `batched` allows).

    `depends` are the graph inputs that its outputs depend on. It is fed the graph inputs `feeds` and the outputs
    `reads` of stages before it.
    """

    model: bytes
    depends: _Names
    feeds: tuple[str, ...]
    reads: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphCut:
    """Stages in an order in which each finds what it reads, then the head; its outputs are those of the whole model.

    `batched`: whether all that the head reads has a leading axis of one per image, so that images can be stacked.
    """

    stages: tuple[GraphStage, ...]
    head: GraphStage
    batched: bool


@dataclass(frozen=True, slots=True)
class NoCut:
    """A model that runs whole, and why."""

    reason: str


def cut_graph(
    model: bytes,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[str],
    measured: Mapping[str, tuple[int, ...]] | None = None,
) -> GraphCut | NoCut:
    """Cut the graph of a serialised ONNX model that gives `outputs` for `inputs`, given with shapes without batch.

    `measured` are shapes that were found by running it for one image, for tensors of which inference tells none; they
    only serve to tell large tensors from small ones.
    """
    try:
        graph = _Graph(_prepared(model, inputs), outputs, measured or {})
    except _NoCutError as error:
        return NoCut(str(error))
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        return NoCut(f"its graph is not understood: {' '.join(str(error).split())[:200]}")
    return graph.cut()


def with_unknown_shapes_as_outputs(
    model: bytes, inputs: Mapping[str, tuple[int, ...]]
) -> tuple[bytes, tuple[str, ...]]:
    """The model with every tensor whose shape is not inferred as an output, and their names; none if it is no use."""
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
    """The model has to run whole; the text says why."""


def _prepared(data: bytes, inputs: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """The model for one image: local functions inlined, shapes inferred, what depends on shapes alone folded."""
    model = onnx.load_model_from_string(data)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    for node in _all_nodes(model.graph.node):
        if node.op_type in _RANDOM:
            raise _NoCutError(f"it draws random numbers ({node.op_type})")
    for value in model.graph.input:
        if value.name in inputs:
            shape = (1, *inputs[value.name])
            value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape))
    # What the file says of shapes holds for another batch.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


class _Graph:
    """One graph with what each of its tensors depends on and how large it is."""

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
            return NoCut("it depends on one input alone")
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
            return NoCut("no part of it depends on fewer inputs than the rest and ends in something small")
        large = sorted(name for name in head.feeds if self._bytes(name) > LARGEST_BOUNDARY)
        if large:
            return NoCut(f"it mixes its inputs before it makes something small of {', '.join(large)}")
        stacked = (*head.feeds, *head.reads)
        return GraphCut(tuple(stages), head, batched=all((self._size(name) or (0,))[0] == 1 for name in stacked))

    def of_unknown_shape(self) -> list[str]:
        """Tensors of a known type whose shape is not inferred."""
        return [name for name in self._producer if self._kind(name) and self._shape(name) is None]

    def typed(self, name: str) -> onnx.ValueInfoProto:
        """A tensor as an output, its shape left open."""
        return helper.make_tensor_value_info(name, self._kind(name), None)

    def _boundaries(self) -> dict[_Names, list[str]]:
        """The small tensors where sets end, of those sets whose work is worth a call of its own."""
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
        """The nodes that the outputs need, in the graph's order, and the tensors at which the way back ended."""
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
        """A node that asks for a shape, which is known with one image, as the constant that it gives."""
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
        """The shape that is inferred, else the one that was measured."""
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
        """Size of a tensor; infinite where it is not known, so that it is no boundary."""
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
    """All tensors that a node reads, also those that the graphs inside it (branches, loops) take from outside."""
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


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _all_nodes(graph.node)
