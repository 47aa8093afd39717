"""Whether an ONNX file is all of its model: some are saved as a graph with their numbers in other files."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto
from onnx.external_data_helper import uses_external_data


def external_data_file(model: bytes) -> str | None:
    """The first file beside a serialised model that it takes numbers from; None if there is none, or no model."""
    try:
        return _named_in(onnx.load_model_from_string(model))
    except DecodeError:
        return None


def _named_in(message: Message) -> str | None:
    """Tensors stand in many places (graphs inside nodes, sparse tensors, functions): every field is looked through."""
    if isinstance(message, TensorProto):
        if not uses_external_data(message):
            return None
        return next((entry.value for entry in message.external_data if entry.key == "location"), "?")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                name = _named_in(part)
                if name is not None:
                    return name
    return None
