"""Check the inputs and outputs that a model declares against the contract. All errors are ModelError `signature`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from starlight_exporter.detector.contract import (
    BIT_ORDER_INPUT,
    BIT_ORDER_VALUE,
    EMBEDDING_OUTPUT,
    EMBEDDING_SIZE,
    INPUT_STREAMS,
    METHODS,
    STREAM_SHAPES,
    Stream,
)
from starlight_exporter.errors import ModelError

STEGO_OUTPUT: Final = "stego_logits"

_FLOAT: Final = "tensor(float)"
_ID_TYPES: Final = ("tensor(int64)", "tensor(int32)", _FLOAT)
_KNOWN_INPUTS: Final = (*INPUT_STREAMS, BIT_ORDER_INPUT)
_KNOWN_OUTPUTS: Final = (
    STEGO_OUTPUT,
    "method_logits",
    "method_probs",
    "method_id",
    "bit_order_logits",
    "bit_order_id",
    EMBEDDING_OUTPUT,
)

_Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An input that a model declares: its stream (None for `bit_order`) and its shape without batch axis."""

    name: str
    stream: Stream | None
    shape: _Shape


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """An output of a model: the type that it declares, and its shape for one image (empty if it is no tensor)."""

    name: str
    type: str
    shape: _Shape


@dataclass(frozen=True, slots=True)
class MethodOutput:
    """The output from which the predicted method is read."""

    name: str
    kind: Literal["logits", "probabilities", "id"]


def check_input(path: Path, node: Any) -> ModelInput:
    """Return an input as the contract defines it. `node` is onnxruntime's."""
    name, shape = str(node.name), list(node.shape)
    stream = INPUT_STREAMS.get(name)
    if stream is None and name != BIT_ORDER_INPUT:
        raise _error(path, f"input {name} is unknown; expected only {', '.join(_KNOWN_INPUTS)}")
    if node.type != _FLOAT:
        raise _error(path, f"input {name} is {node.type}, expected {_FLOAT}")
    full = (len(BIT_ORDER_VALUE),) if stream is None else STREAM_SHAPES[stream]
    allowed = [full, (1, *full[1:])] if stream == "alpha" else [full]
    fitting = [
        option
        for option in allowed
        if len(shape) == len(option) + 1
        and all(not isinstance(have, int) or have == want for have, want in zip(shape[1:], option, strict=True))
    ]
    found = "N×" + "×".join(str(size) if isinstance(size, int) else "?" for size in shape[1:]) if shape else "a scalar"
    if not fitting:
        expected = " or ".join("N×" + "×".join(map(str, option)) for option in allowed)
        raise _error(path, f"input {name} has shape {found}, expected {expected}")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise _error(path, f"input {name} has a fixed batch of {shape[0]}, expected a dynamic batch or 1")
    return ModelInput(name=name, stream=stream, shape=fitting[0])


def select_outputs(path: Path, outputs: Sequence[ModelOutput]) -> tuple[str, MethodOutput | None]:
    """Return the name of the output with the stego logit, and the output with the method, None without one.

    Outputs are found by name, otherwise by their shape.
    """
    named = {output.name: output for output in outputs}
    stego = named.get(STEGO_OUTPUT) or _by_shape(outputs, (1, 1))
    if stego is None:
        found = ", ".join(_described(output) for output in outputs)
        raise _error(path, f"no output {STEGO_OUTPUT}, nor another of shape N×1; the model has {found}")
    _expect(path, stego, ((1, 1),), (_FLOAT,))
    logits = (1, len(METHODS))
    choices: tuple[tuple[str, Literal["logits", "probabilities", "id"]], ...] = (
        ("method_logits", "logits"),
        ("method_probs", "probabilities"),
        ("method_id", "id"),
    )
    for name, kind in choices:
        if name in named:
            is_id = kind == "id"
            _expect(path, named[name], ((1,), (1, 1)) if is_id else (logits,), _ID_TYPES if is_id else (_FLOAT,))
            return stego.name, MethodOutput(name, kind)
    unnamed = _by_shape(outputs, logits)
    return stego.name, None if unnamed is None else MethodOutput(unnamed.name, "logits")


def embedding_problem(outputs: Sequence[ModelOutput]) -> str | None:
    """Return why the optional output `embedding` cannot be used: empty if the model has none, None if it can."""
    found = next((output for output in outputs if output.name == EMBEDDING_OUTPUT), None)
    if found is None:
        return ""
    if found.type == _FLOAT and found.shape == (1, EMBEDDING_SIZE):
        return None
    return f"output {_described(found)}, expected {_FLOAT} N×{EMBEDDING_SIZE}"


def _by_shape(outputs: Sequence[ModelOutput], wanted: _Shape) -> ModelOutput | None:
    unnamed = (output for output in outputs if output.name not in _KNOWN_OUTPUTS)
    return next((output for output in unnamed if output.shape == wanted and output.type == _FLOAT), None)


def _expect(path: Path, output: ModelOutput, shapes: tuple[_Shape, ...], types: tuple[str, ...]) -> None:
    if output.type not in types:
        raise _error(path, f"output {output.name} is {output.type}, expected {types[0]}")
    if output.shape not in shapes:
        found, expected = _shape_text(output.shape), _shape_text(shapes[0])
        raise _error(path, f"output {output.name} has shape {found}, expected {expected}")


def _described(output: ModelOutput) -> str:
    return f"{output.name} {_shape_text(output.shape) if output.type == _FLOAT else output.type}"


def _shape_text(shape: _Shape) -> str:
    return "×".join(("N", *map(str, shape[1:]))) if shape else "a scalar"


def _error(path: Path, problem: str) -> ModelError:
    return ModelError(f"{path}: {problem}", reason="signature")
