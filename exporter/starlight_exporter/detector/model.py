"""Load ONNX models, check them against the contract, and run them on the inputs that they declare."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from starlight_exporter.detector.contract import (
    BIT_ORDER_VALUE,
    EMBEDDING_OUTPUT,
    EMBEDDING_SIZE,
    METHODS,
    STREAM_SHAPES,
    STREAMS,
    Method,
    Stream,
)
from starlight_exporter.detector.model_file import read_model
from starlight_exporter.detector.model_graph import graph_facts
from starlight_exporter.detector.model_signature import (
    MethodOutput,
    ModelInput,
    ModelOutput,
    check_input,
    embedding_problem,
    select_outputs,
)
from starlight_exporter.detector.providers import CPU, Providers
from starlight_exporter.detector.session import (
    RUNTIME_ERRORS,
    is_allocation_failure,
    load_session,
    needs_memory,
    one_line,
)
from starlight_exporter.errors import ImageError, ModelError
from starlight_exporter.file_access import FileContent

Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Score:
    """Output of a model for one image.

    `probability` (of stego) is in 0..1. `method_probabilities` has one entry per contract method, in the order of
    METHODS; it and `predicted` are None for a model without a method output. `embedding`, of shape (EMBEDDING_SIZE,),
    may contain values that are not finite; it is None for a model without a usable output `embedding`.
    """

    probability: float
    method_probabilities: tuple[float, ...] | None
    predicted: Method | None
    embedding: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def method_margin(self) -> float:
        """Difference between the probabilities of the two most probable methods; infinite without a method output."""
        if self.method_probabilities is None:
            return math.inf
        *_, second, first = sorted(self.method_probabilities)
        return first - second


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
        providers: Providers = CPU,
    ) -> None:
        self._session = session
        self.path = path
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self.modified_at = modified_at
        self.providers = providers
        self.loaded_at = time.time()
        declared = session.get_inputs()
        self.input_names: tuple[str, ...] = tuple(node.name for node in declared)
        self.output_names: tuple[str, ...] = tuple(node.name for node in session.get_outputs())
        self.inputs: tuple[ModelInput, ...] = tuple(check_input(path, node) for node in declared)
        self.streams: frozenset[Stream] = frozenset(entry.stream for entry in self.inputs if entry.stream is not None)
        self._fixed_batch = any(isinstance(node.shape[0], int) for node in declared)
        self._stego, self._method, self.embedding_problem = self._choose_outputs()
        self._scored_outputs: tuple[str, ...] = (
            (self._stego,) if self._method is None else (self._stego, self._method.name)
        )
        self.used_outputs: tuple[str, ...] = (
            (*self._scored_outputs, EMBEDDING_OUTPUT) if self.has_embedding else self._scored_outputs
        )
        # Elements for one image, in the order of `used_outputs`.
        scored = (1, 1 if self.method_is_id else len(METHODS))[: len(self._scored_outputs)]
        self._sizes: tuple[int, ...] = (*scored, EMBEDDING_SIZE) if self.has_embedding else scored

    @classmethod
    def load(
        cls, path: Path, *, expected_sha256: str | None = None, root: Path | None = None, providers: Providers = CPU
    ) -> Detector:
        """Load a model file and check it against the contract. Raises ModelError.

        The session is built from the bytes that were hashed, so the file may change meanwhile. A file whose hash is not
        `expected_sha256` raises ModelError `changed`. With a `root`, a link that leads out of it is not followed. Other
        `providers` of a session than the requested ones raise ModelError `provider`.
        """
        content = read_model(path, root=root)
        if expected_sha256 is not None and content.sha256 != expected_sha256:
            raise ModelError(
                f"{path}: expected content {expected_sha256[:12]}, found {content.sha256[:12]}", reason="changed"
            )
        return cls.from_content(path, content, providers=providers)

    @classmethod
    def from_content(cls, path: Path, content: FileContent, *, providers: Providers = CPU) -> Detector:
        """Load a model from the content of its file, as `load` does."""
        _check_graph(path, content.data)
        session = load_session(path, content.data, providers)
        return cls(
            session,
            path=path,
            sha256=content.sha256,
            size_bytes=len(content.data),
            modified_at=content.modified_at,
            providers=providers,
        )

    @property
    def has_method(self) -> bool:
        """Whether the model predicts a method, which rules with a threshold per method require."""
        return self._method is not None

    @property
    def method_is_id(self) -> bool:
        """Whether the model reports its predicted method only as an id, without logits or probabilities."""
        return self._method is not None and self._method.kind == "id"

    @property
    def takes_batches(self) -> bool:
        """Whether the model runs on several images per call."""
        return not self._fixed_batch

    @property
    def has_embedding(self) -> bool:
        """Whether the model has a usable output `embedding`; otherwise `embedding_problem` is the reason or empty."""
        return self.embedding_problem is None

    def predict(self, batch: Sequence[Mapping[Stream, Tensor]]) -> tuple[Score, ...]:
        """Return one Score per image. Each image maps at least the model's `streams` to arrays of STREAM_SHAPES.

        Raises ImageError `model_error` if the model fails or returns a value that is not finite.
        """
        if self._fixed_batch or len(batch) == 1:
            return tuple(self._scores([image])[0] for image in batch)
        return self._scores(batch) if batch else ()

    def read_file(self) -> bytes:
        """Return the file's content. Raises ModelError `changed` if it is not what was loaded."""
        content = read_model(self.path)
        if content.sha256 != self.sha256:
            raise ModelError(f"{self.path}: changed after it was loaded", reason="changed")
        return content.data

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

    def rows(self, outputs: Sequence[NDArray[Any]], images: int) -> list[tuple[NDArray[Any], ...]]:
        """Return the `used_outputs` of each image of a batch, without batch axis.

        Raises ImageError `model_error` if the number of rows is another one, which can depend on the images.
        """
        for name, values in zip(self.used_outputs, outputs, strict=True):
            if values.shape[:1] != (images,):
                raise ImageError(
                    f"{self.path}: output {name} has shape {values.shape} for {images} images", reason="model_error"
                )
        return [tuple(values[row] for values in outputs) for row in range(images)]

    def failure(self, error: Exception) -> ImageError:
        """Convert an error of the runtime to an ImageError."""
        return ImageError(f"{self.path}: the model failed: {one_line(error)}", reason="model_error")

    def score(self, outputs: Sequence[NDArray[Any]]) -> Score:
        """Convert the `used_outputs` of one image to a Score.

        Raises ImageError `model_error` for a stego logit or method output that is not finite, and for another number of
        values than at load.
        """
        for name, values, expected in zip(self.used_outputs, outputs, self._sizes, strict=True):
            if values.size != expected:
                raise ImageError(
                    f"{self.path}: output {name} has {values.size} values for one image, expected {expected}",
                    reason="model_error",
                )
        scored = outputs[: len(self._scored_outputs)]
        embedding = outputs[len(scored)] if self.has_embedding else None
        # For a few numbers, plain Python is ten times faster than numpy.
        rows = [values.reshape(-1).tolist() for values in scored]
        for name, row in zip(self._scored_outputs, rows, strict=True):
            if not all(map(math.isfinite, row)):
                raise ImageError(f"{self.path}: output {name} is not a finite number", reason="model_error")
        probability = _sigmoid(rows[0][0])
        if self._method is None:
            return Score(probability, None, None, embedding)
        return Score(probability, *self._method_of(rows[1]), embedding)

    def _scores(self, batch: Sequence[Mapping[Stream, Tensor]]) -> tuple[Score, ...]:
        return tuple(self.score(row) for row in self.rows(self.raw_outputs(batch), len(batch)))

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

    def _choose_outputs(self) -> tuple[str, MethodOutput | None, str | None]:
        image = _noise()
        first, second = self._dry_run([image]), self._dry_run([image])
        if not self._fixed_batch:
            self._fixed_batch = not self._follows_batch(image)
        outputs = [
            ModelOutput(node.name, node.type, _shape(value))
            for node, value in zip(self._session.get_outputs(), first, strict=True)
        ]
        stego, method = select_outputs(self.path, outputs)
        used = {stego} if method is None else {stego, method.name}
        for output, one, other in zip(outputs, first, second, strict=True):
            if output.name in used and one.tobytes() != other.tobytes():
                raise ModelError(
                    f"{self.path}: output {output.name} differs between two runs on the same input",
                    reason="nondeterministic",
                )
        problem = embedding_problem(outputs)
        place = self.output_names.index(EMBEDDING_OUTPUT) if problem is None else None
        if place is not None and first[place].tobytes() != second[place].tobytes():
            problem = f"output {EMBEDDING_OUTPUT} differs between two runs on the same input"
        return stego, method, problem

    def _follows_batch(self, image: Mapping[Stream, Tensor]) -> bool:
        """Return whether the model runs on two images; the batch axis may be dynamic by declaration only."""
        try:
            return all(_shape(value)[:1] == (2,) for value in self._dry_run([image, image]))
        except ModelError:
            return False

    def _dry_run(self, images: Sequence[Mapping[Stream, Tensor]]) -> list[Any]:
        """Return all outputs of the model."""
        try:
            return list(self._session.run(list(self.output_names), self.feeds(images)))
        except RUNTIME_ERRORS as error:
            if is_allocation_failure(error):
                raise needs_memory(self.path, error) from error
            raise ModelError(
                f"{self.path}: does not run on inputs of the contract's shapes: {one_line(error)}", reason="signature"
            ) from error


def _check_graph(path: Path, data: bytes) -> None:
    facts = graph_facts(data)
    if facts is None:
        return
    if facts.external_file is not None:
        # The hash of the model would not change with the weights.
        raise ModelError(
            f"{path}: its weights are in another file, {facts.external_file}; save it as one file", reason="invalid"
        )
    if facts.random_operators:
        raise ModelError(
            f"{path}: its output is random: it contains {', '.join(facts.random_operators)}", reason="nondeterministic"
        )


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))


def _noise() -> dict[Stream, Tensor]:
    """Return an image with noise in every stream: no part of a model has a constant output on it."""
    rng = np.random.default_rng(0)
    return {stream: rng.random(STREAM_SHAPES[stream], np.float32) for stream in STREAMS}


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of an output, empty if it is a sequence or a map."""
    return value.shape if isinstance(value, np.ndarray) else ()
