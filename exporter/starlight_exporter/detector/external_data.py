"""Detect ONNX models that store weights in other files (external data)."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto
from onnx.external_data_helper import uses_external_data


def external_data_file(model: bytes) -> str | None:
    """Return the first external file that a serialised model refers to; None without one, or if it is not a model."""
    try:
        return _find_location(onnx.load_model_from_string(model))
    except DecodeError:
        return None


def _find_location(message: Message) -> str | None:
    """Search all fields recursively: tensors occur in nested graphs, sparse tensors and functions too."""
    if isinstance(message, TensorProto):
        if not uses_external_data(message):
            return None
        return next((entry.value for entry in message.external_data if entry.key == "location"), "?")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                name = _find_location(part)
                if name is not None:
                    return name
    return None
