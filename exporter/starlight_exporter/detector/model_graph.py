"""Inspect a serialised ONNX model without running it: weights in other files, and operators with random output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.external_data_helper import uses_external_data

_RANDOM: Final = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)
_TRAINING_MODE: Final[Mapping[str, int]] = {
    "Dropout": 2,
    "BitmaskDropout": 2,
    "BiasDropout": 4,
    "BitmaskBiasDropout": 4,
}
"""Operators that are random in training mode only -> position of the input `training_mode`; omitted means false."""
_DOMAINS: Final = frozenset(("", "ai.onnx", "com.microsoft"))


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Facts of a serialised model, including nested graphs and functions.

    `external_file` is the first other file that it refers to, None without one. `random_operators` are the types of the
    operators whose output differs between two runs on the same input.
    """

    external_file: str | None
    random_operators: tuple[str, ...]


def graph_facts(model: bytes) -> GraphFacts | None:
    """Return the facts of a serialised model, or None if it is not one."""
    try:
        messages = tuple(_messages(onnx.load_model_from_string(model)))
    except DecodeError:
        return None
    nodes = [message for message in messages if isinstance(message, NodeProto)]
    off = _false_constants(messages)
    return GraphFacts(
        external_file=next((_location(message) for message in messages if _is_external(message)), None),
        random_operators=tuple(sorted({node.op_type for node in nodes if _is_random(node, off)})),
    )


def _messages(message: Message) -> Iterator[Message]:
    """Yield a message and, recursively, the messages in it; the parser limits their depth."""
    yield message
    if isinstance(message, TensorProto):
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                yield from _messages(part)


def _is_external(message: Message) -> bool:
    return isinstance(message, TensorProto) and uses_external_data(message)


def _location(tensor: Message) -> str:
    assert isinstance(tensor, TensorProto)
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "?")


def _is_random(node: NodeProto, off: frozenset[str]) -> bool:
    if node.domain not in _DOMAINS:
        return False
    at = _TRAINING_MODE.get(node.op_type)
    if at is None:
        return node.op_type in _RANDOM
    return len(node.input) > at and node.input[at] not in off


def _false_constants(messages: tuple[Message, ...]) -> frozenset[str]:
    """Return the names of constants that are false wherever they occur, and the empty name of an omitted input."""
    values: dict[str, set[bool]] = {"": {False}}
    for message in messages:
        tensor, name = message, ""
        if isinstance(message, NodeProto) and message.op_type == "Constant" and message.attribute:
            tensor, name = message.attribute[0].t, message.output[0]
        if isinstance(tensor, TensorProto) and tensor.data_type == TensorProto.BOOL and not _is_external(tensor):
            values.setdefault(name or tensor.name, set()).add(bool(numpy_helper.to_array(tensor).any()))
    return frozenset(name for name, found in values.items() if found == {False})
