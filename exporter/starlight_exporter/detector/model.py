"""Load ONNX models, check them against the contract, and run them on the inputs that they declare."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from starlight_exporter.detector.contract import (
    BIT_ORDER_INPUT,
    BIT_ORDER_VALUE,
    INPUT_STREAMS,
    METHODS,
    STREAM_SHAPES,
    STREAMS,
    Method,
    Stream,
)
from starlight_exporter.detector.external_data import external_data_file
from starlight_exporter.detector.model_file import file_error, model_sha256, read_model
from starlight_exporter.errors import ImageError, ModelError

Tensor = NDArray[np.float32]

# onnxruntime's exceptions have no common base class. It also raises built-in ones for arguments and lack of memory.
RUNTIME_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(
        value
        for value in vars(onnxruntime_pybind11_state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)
_FATAL_ONLY: Final = 4
_KNOWN_INPUTS: Final = (*INPUT_STREAMS, BIT_ORDER_INPUT)
_KNOWN_OUTPUTS: Final = (
    "stego_logits",
    "method_logits",
    "method_probs",
    "method_id",
    "bit_order_logits",
    "bit_order_id",
    "embedding",
)


@dataclass(frozen=True, slots=True)
class Score:
    """Output of a model for one image.

    `probability` (of stego) is in 0..1. `method_probabilities` has one entry per contract method, in the order of
    METHODS; it and `predicted` are None for a model without a method output.
    """

    probability: float
    method_probabilities: tuple[float, ...] | None
    predicted: Method | None

    @property
    def method_margin(self) -> float:
        """Difference between the probabilities of the two most probable methods; infinite without a method output."""
        if self.method_probabilities is None:
            return math.inf
        *_, second, first = sorted(self.method_probabilities)
        return first - second


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An input that a model declares: its stream (None for `bit_order`) and its shape without batch axis."""

    name: str
    stream: Stream | None
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _MethodOutput:
    name: str
    kind: Literal["logits", "probabilities", "id"]


class Detector:
    """A loaded model. `predict` is thread-safe. A Detector cannot be pickled."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        path: Path,
        sha256: str,
        size_bytes: int,
        modified_at: float,
    ) -> None:
        self._session = session
        self.path = path
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self.modified_at = modified_at
        self.loaded_at = time.time()
        declared = session.get_inputs()
        self.input_names: tuple[str, ...] = tuple(node.name for node in declared)
        self.output_names: tuple[str, ...] = tuple(node.name for node in session.get_outputs())
        self.inputs: tuple[ModelInput, ...] = tuple(_check_input(path, node) for node in declared)
        self.streams: frozenset[Stream] = frozenset(entry.stream for entry in self.inputs if entry.stream is not None)
        self._fixed_batch = any(isinstance(node.shape[0], int) for node in declared)
        self._stego, self._method = self._choose_outputs()
        self.used_outputs: tuple[str, ...] = (
            (self._stego,) if self._method is None else (self._stego, self._method.name)
        )

    @classmethod
    def load(cls, path: Path, *, expected_sha256: str | None = None) -> Detector:
        """Load a model file and check it against the contract. Raises ModelError.

        A file that changes while it is loaded, or whose hash is not `expected_sha256`, raises ModelError `changed`.
        """
        data = read_model(path)
        before = hashlib.sha256(data).hexdigest()
        if expected_sha256 is not None and before != expected_sha256:
            raise ModelError(f"{path}: expected content {expected_sha256[:12]}, found {before[:12]}", reason="changed")
        other = external_data_file(data)
        if other is not None:
            # The model's hash would not change with the weights.
            raise ModelError(f"{path}: its weights are in another file, {other}; save it as one file", reason="invalid")
        try:
            stat = path.stat()
            session = open_session(str(path))
        except OSError as error:
            raise file_error(path, error) from error
        except RUNTIME_ERRORS as error:
            if model_sha256(path) != before:
                raise ModelError(f"{path}: changed while it was being loaded", reason="changed") from error
            raise ModelError(f"{path}: not a loadable ONNX model: {_one_line(error)}", reason="invalid") from error
        if model_sha256(path) != before:
            raise ModelError(f"{path}: changed while it was being loaded", reason="changed")
        return cls(session, path=path, sha256=before, size_bytes=stat.st_size, modified_at=stat.st_mtime)

    @property
    def has_method(self) -> bool:
        """Whether the model predicts a method, which rules with a threshold per method require."""
        return self._method is not None

    @property
    def method_is_id(self) -> bool:
        """Whether the model reports its predicted method only as an id, without logits or probabilities."""
        return self._method is not None and self._method.kind == "id"

    def predict(self, batch: Sequence[Mapping[Stream, Tensor]]) -> tuple[Score, ...]:
        """Return one Score per image. Each image maps at least the model's `streams` to arrays of STREAM_SHAPES.

        Raises ImageError `model_error` if the model fails or returns a value that is not finite.
        """
        if self._fixed_batch or len(batch) == 1:
            return tuple(self._scores([image])[0] for image in batch)
        return self._scores(batch) if batch else ()

    def read_file(self) -> bytes:
        """Return the file's content. Raises ModelError `changed` if it is not what was loaded."""
        data = read_model(self.path)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ModelError(f"{self.path}: changed after it was loaded", reason="changed")
        return data

    def feeds(self, batch: Sequence[Mapping[Stream, Tensor]]) -> dict[str, Tensor]:
        """Return the arrays for the inputs that the model declares, by input name."""
        feeds: dict[str, Tensor] = {}
        for entry in self.inputs:
            if entry.stream is None:
                feeds[entry.name] = np.tile(np.array(BIT_ORDER_VALUE, dtype=np.float32), (len(batch), 1))
                continue
            # Older models have only the first alpha plane; all other streams are complete.
            arrays = [image[entry.stream][: entry.shape[0]] for image in batch]
            feeds[entry.name] = arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
        return feeds

    def raw_outputs(self, batch: Sequence[Mapping[Stream, Tensor]]) -> tuple[NDArray[Any], ...]:
        """Run the model and return its `used_outputs`. Raises ImageError `model_error` if it fails."""
        try:
            return tuple(self._session.run(list(self.used_outputs), self.feeds(batch)))
        except RUNTIME_ERRORS as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> ImageError:
        """Convert an error of the runtime to an ImageError."""
        return ImageError(f"{self.path}: the model failed: {_one_line(error)}", reason="model_error")

    def score(self, outputs: Sequence[NDArray[Any]]) -> Score:
        """Convert the `used_outputs` of one image to a Score. Raises ImageError `model_error` for non-finite values."""
        # For a few numbers, plain Python is ten times faster than numpy.
        rows = [values.reshape(-1).tolist() for values in outputs]
        for name, row in zip(self.used_outputs, rows, strict=True):
            if not all(map(math.isfinite, row)):
                raise ImageError(f"{self.path}: output {name} is not a finite number", reason="model_error")
        probability = _sigmoid(rows[0][0])
        if self._method is None:
            return Score(probability, None, None)
        return Score(probability, *self._method_of(rows[1]))

    def _scores(self, batch: Sequence[Mapping[Stream, Tensor]]) -> tuple[Score, ...]:
        outputs = self.raw_outputs(batch)
        return tuple(self.score([values[index] for values in outputs]) for index in range(len(batch)))

    def _method_of(self, row: Sequence[float]) -> tuple[tuple[float, ...], Method]:
        assert self._method is not None
        if self._method.kind == "id":
            index = int(row[0])
            if not 0 <= index < len(METHODS):
                raise ImageError(
                    f"{self.path}: output {self._method.name} is {index}, not a method id", reason="model_error"
                )
            return tuple(float(position == index) for position in range(len(METHODS))), METHODS[index]
        highest = max(row)
        predicted = METHODS[row.index(highest)]
        if self._method.kind == "probabilities":
            return tuple(row), predicted
        powers = [math.exp(value - highest) for value in row]
        total = sum(powers)
        return tuple(power / total for power in powers), predicted

    def _choose_outputs(self) -> tuple[str, _MethodOutput | None]:
        shapes = self._dry_run(1)
        if not self._fixed_batch:
            try:
                self._dry_run(2)
            except ModelError:
                # The batch axis is declared as dynamic, but fixed inside the graph: run one image at a time.
                self._fixed_batch = True
        stego = "stego_logits" if "stego_logits" in shapes else self._by_position(shapes, (1, 1))
        if stego is None:
            raise ModelError(
                f"{self.path}: no output stego_logits, nor another of shape N×1; the model has {_shapes_text(shapes)}",
                reason="signature",
            )
        self._expect_output(stego, shapes, ((1, 1),))
        for name, kind in (("method_logits", "logits"), ("method_probs", "probabilities"), ("method_id", "id")):
            if name in shapes:
                self._expect_output(name, shapes, ((1,), (1, 1)) if kind == "id" else ((1, len(METHODS)),))
                return stego, _MethodOutput(name, kind)  # type: ignore[arg-type]
        unnamed = self._by_position(shapes, (1, len(METHODS)))
        return stego, None if unnamed is None else _MethodOutput(unnamed, "logits")

    def _dry_run(self, images: int) -> dict[str, tuple[int, ...]]:
        zeros: dict[Stream, Tensor] = {stream: np.zeros(STREAM_SHAPES[stream], np.float32) for stream in STREAMS}
        try:
            outputs = self._session.run(list(self.output_names), self.feeds([zeros] * images))
        except RUNTIME_ERRORS as error:
            raise ModelError(
                f"{self.path}: does not run on inputs of the contract's shapes: {_one_line(error)}", reason="signature"
            ) from error
        shapes = {name: np.shape(value) for name, value in zip(self.output_names, outputs, strict=True)}
        if images > 1 and any(not shape or shape[0] != images for shape in shapes.values()):
            raise ModelError(f"{self.path}: outputs do not follow the batch", reason="signature")
        return shapes

    @staticmethod
    def _by_position(shapes: Mapping[str, tuple[int, ...]], wanted: tuple[int, ...]) -> str | None:
        return next((name for name, shape in shapes.items() if shape == wanted and name not in _KNOWN_OUTPUTS), None)

    def _expect_output(
        self, name: str, shapes: Mapping[str, tuple[int, ...]], allowed: tuple[tuple[int, ...], ...]
    ) -> None:
        if shapes[name] not in allowed:
            raise ModelError(
                f"{self.path}: output {name} has shape {_shape_text(shapes[name])}, expected {_shape_text(allowed[0])}",
                reason="signature",
            )


def open_session(model: str | bytes) -> onnxruntime.InferenceSession:
    """Create a session for a model file or a serialised model: single-threaded, without spinning or logging."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _check_input(path: Path, node: Any) -> ModelInput:
    name, shape = str(node.name), list(node.shape)
    stream = INPUT_STREAMS.get(name)
    if stream is None and name != BIT_ORDER_INPUT:
        raise ModelError(
            f"{path}: input {name} is unknown; expected only {', '.join(_KNOWN_INPUTS)}", reason="signature"
        )
    if node.type != "tensor(float)":
        raise ModelError(f"{path}: input {name} is {node.type}, expected tensor(float)", reason="signature")
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
        raise ModelError(f"{path}: input {name} has shape {found}, expected {expected}", reason="signature")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(
            f"{path}: input {name} has a fixed batch of {shape[0]}, expected a dynamic batch or 1", reason="signature"
        )
    return ModelInput(name=name, stream=stream, shape=fitting[0])


def _shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(("N", *map(str, shape[1:]))) if shape else "a scalar"


def _shapes_text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {_shape_text(shape)}" for name, shape in shapes.items())


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
