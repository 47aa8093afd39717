"""A detector that computes nothing twice: the stages of a cut model, their outputs shared between images.

Where two images agree in the streams that a stage depends on, its outputs are computed once; above all this goes for
streams of nothing but zeros, which most images have some of. One image goes through a stage per call, the head takes
several at once. The whole model stays the authority: `stage` compares with it and refuses what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import BIT_ORDER_VALUE, Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.graph_cut import GraphCut, GraphStage, NoCut, cut_graph, with_unknown_shapes_as_outputs
from starlight_exporter.detector.model import RUNTIME_ERRORS, Detector, ModelInput, Score, Tensor, open_session
from starlight_exporter.detector.shared_outputs import Outputs, SharedOutputs
from starlight_exporter.detector.streams import ThreadWorkspace, workspace
from starlight_exporter.errors import ImageError, ModelError

HEAD_BATCH: Final = 16
"""Images that go through the head at once. Always as many, the rest filled up: a row's bits depend on nothing else."""
SHARED_BYTES: Final = 64 * 1024 * 1024
"""What the outputs that are kept for other images may take."""
RELATIVE_TOLERANCE: Final = 1e-4
ABSOLUTE_TOLERANCE: Final = 1e-4
"""Float rounding: outputs of whole and staged model, in logits, differ by no more."""


class Scorer(Protocol):
    """What gives verdicts on compact images; safe with several threads."""

    streams: frozenset[Stream]

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """One entry per image, in order: what the model says of it, or why it says nothing."""


class FullModel:
    """Every image through the whole network, one at a time."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.streams = detector.streams
        self._scratch = ThreadWorkspace(detector.streams)

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """See Scorer."""
        return [self._one(image) for image in images]

    def _one(self, image: CompactImage) -> Score | ImageError:
        try:
            return self._detector.predict((image.tensors(self.streams, out=self._scratch.arrays),))[0]
        except ImageError as error:
            return error


class StagedModel:
    """A cut model; `stage` makes one that agrees with the whole."""

    def __init__(self, detector: Detector, parts: GraphCut, *, batch: int, shared_bytes: int = SHARED_BYTES) -> None:
        self._detector = detector
        self.streams = detector.streams
        self._inputs = {entry.name: entry for entry in detector.inputs}
        self._stages = tuple(_Part(stage, self._inputs) for stage in parts.stages)
        self._head = _Part(parts.head, self._inputs)
        self._batch = batch
        self._shared = SharedOutputs(shared_bytes)
        self._scratch = ThreadWorkspace(detector.streams)

    @property
    def stages_run(self) -> int:
        """How often a stage has run."""
        return self._shared.computed

    @property
    def stages_reused(self) -> int:
        """How often it did not have to, because its outputs were known."""
        return self._shared.found

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """See Scorer."""
        return [self._score(outputs) for outputs in self.outputs(images)]

    def outputs(self, images: Sequence[CompactImage]) -> list[Outputs | ImageError]:
        """The model's outputs `wanted` for each image, without the batch axis, or why there are none."""
        results: list[Outputs | ImageError | None] = [None] * len(images)
        ready: list[tuple[int, dict[str, NDArray[Any]]]] = []
        for index, image in enumerate(images):
            try:
                ready.append((index, self._boundary(image)))
            except ImageError as error:
                results[index] = error
        for start in range(0, len(ready), self._batch):
            chosen = ready[start : start + self._batch]
            for (index, _), outputs in zip(chosen, self._through_head([feeds for _, feeds in chosen]), strict=True):
                results[index] = outputs
        return [result for result in results if result is not None]

    def _score(self, outputs: Outputs | ImageError) -> Score | ImageError:
        if isinstance(outputs, ImageError):
            return outputs
        try:
            return self._detector.score(outputs)
        except ImageError as error:
            return error

    def _boundary(self, image: CompactImage) -> dict[str, NDArray[Any]]:
        """Everything that the head is fed for one image."""
        feeds = _Feeds(image, self._inputs, self._scratch.arrays)
        known: dict[str, NDArray[Any]] = {}
        digests = image.digests
        keys = [(number, *(digests[stream] for stream in part.streams)) for number, part in enumerate(self._stages)]
        found = self._shared.get(keys)
        for number, part in enumerate(self._stages):
            outputs = found[number]
            if outputs is None:
                outputs = self._run(part, {name: feeds[name] for name in part.feeds} | known)
                self._shared.put(keys[number], outputs)
            known.update(zip(part.outputs, outputs, strict=True))
        for name in self._head.feeds:
            known[name] = feeds[name].copy()
        return known

    def _through_head(self, images: list[dict[str, NDArray[Any]]]) -> list[Outputs | ImageError]:
        filled = images + images[:1] * (self._batch - len(images))
        try:
            outputs = self._run(self._head, _Stacked(filled))
        except ImageError as error:
            if len(images) == 1:
                return [error]
            # One of them makes the head fail: the others are worth an answer.
            return [self._through_head([feeds])[0] for feeds in images]
        return [tuple(values[row] for values in outputs) for row in range(len(images))]

    def _run(self, part: _Part, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        try:
            return part.run(feeds)
        except RUNTIME_ERRORS as error:
            raise self._detector.failure(error) from error


def stage(detector: Detector, samples: Sequence[CompactImage], decision: DecisionRule) -> StagedModel | NoCut:
    """The staged form of a detector, if it has one that agrees with the whole model on the samples.

    Outputs have to be equal within float rounding and verdicts equal; what fails on an image must fail on both sides.
    """
    try:
        model, shapes = detector.read_file(), {entry.name: entry.shape for entry in detector.inputs}
        parts = cut_graph(model, shapes, detector.used_outputs, _measured_shapes(model, shapes))
    except ModelError as error:
        return NoCut(str(error))
    if isinstance(parts, NoCut):
        return parts
    reason = ""
    for batch in (HEAD_BATCH, 1) if parts.batched else (1,):
        try:
            staged = StagedModel(detector, parts, batch=batch)
        except RUNTIME_ERRORS as error:
            return NoCut(f"a part of it does not load: {' '.join(str(error).split())[:200]}")
        reason = _difference(detector, staged, samples, decision)
        if not reason:
            # Counted from here, and without what only the comparison needed.
            return StagedModel(detector, parts, batch=batch)
    return NoCut(reason)


def _measured_shapes(model: bytes, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes that inference does not tell, as they are for one image of zeros; none where that cannot be run."""
    asking, names = with_unknown_shapes_as_outputs(model, inputs)
    zeros = {name: np.zeros((1, *shape), np.float32) for name, shape in inputs.items()}
    try:
        values = open_session(asking).run(list(names), zeros) if names else []
    except RUNTIME_ERRORS:
        return {}
    return {name: np.shape(value) for name, value in zip(names, values, strict=True)}


def _difference(
    detector: Detector, staged: StagedModel, samples: Sequence[CompactImage], decision: DecisionRule
) -> str:
    """Where the staged model differs from the whole one; empty where it does not."""
    arrays = workspace(detector.streams)
    scores = staged.score(samples)
    for number, (image, outputs, score) in enumerate(zip(samples, staged.outputs(samples), scores, strict=True)):
        streams = image.tensors(detector.streams, out=arrays)
        try:
            whole = detector.raw_outputs((streams,))
            expected = detector.score([values[0] for values in whole])
        except ImageError:
            if isinstance(score, ImageError):
                continue
            return f"cut into stages it answers for sample {number}, on which the whole model fails"
        if isinstance(score, ImageError) or isinstance(outputs, ImageError):
            return f"cut into stages it fails on sample {number}: {score}"
        for name, ours, theirs in zip(detector.used_outputs, outputs, whole, strict=True):
            if not np.allclose(ours, theirs[0], rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE):
                return f"cut into stages its output {name} differs on sample {number}"
        if decision.verdict(score.probability, score.predicted) != decision.verdict(
            expected.probability, expected.predicted
        ):
            return f"cut into stages its verdict differs on sample {number}"
    return ""


class _Part:
    """A stage with its session."""

    def __init__(self, stage: GraphStage, inputs: Mapping[str, ModelInput]) -> None:
        self._session = open_session(stage.model)
        self.feeds, self.reads, self.outputs = stage.feeds, stage.reads, stage.outputs
        streams = {inputs[name].stream for name in stage.depends}
        self.streams: tuple[Stream, ...] = tuple(sorted(stream for stream in streams if stream is not None))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        """The outputs for exactly the tensors that the part needs; further feeds are left out."""
        return tuple(self._session.run(self.outputs, {name: feeds[name] for name in (*self.feeds, *self.reads)}))


class _Feeds(dict[str, Tensor]):
    """Input name → tensor of one image with batch axis, made when it is asked for."""

    def __init__(self, image: CompactImage, inputs: Mapping[str, ModelInput], arrays: Mapping[Stream, Tensor]) -> None:
        super().__init__()
        self._image = image
        self._inputs = inputs
        self._arrays = arrays

    def __missing__(self, name: str) -> Tensor:
        entry = self._inputs[name]
        if entry.stream is None:
            tensor = np.array([BIT_ORDER_VALUE], dtype=np.float32)
        else:
            # Older models know the first alpha plane alone.
            tensor = self._image.tensor(entry.stream, self._arrays[entry.stream])[np.newaxis, : entry.shape[0]]
        self[name] = tensor
        return tensor


class _Stacked(dict[str, NDArray[Any]]):
    """Name → the tensors of several images as one, made when it is asked for; ValueError where sizes differ."""

    def __init__(self, images: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        super().__init__()
        self._images = images

    def __missing__(self, name: str) -> NDArray[Any]:
        if len(self._images) == 1:
            return self._images[0][name]
        return np.concatenate([tensors[name] for tensors in self._images])
