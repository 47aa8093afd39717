"""Run a model in stages and share stage outputs between images.

The outputs of a stage are computed once for all images that agree in the streams that it depends on. Most images have
streams that are all zeros, and a cover shares streams with its stego files. A stage runs on one image per call, the
head on a batch.

The full model is the reference: `stage` compares both on sample images, and `agreement` explains why verdicts and
predicted methods are identical to its own. Models that report the predicted method only as an id are not staged: an id
does not show how close two methods are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.agreement import difference, score_of, with_close_images_rescored
from starlight_exporter.detector.arrays import Tensor
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import BIT_ORDER_VALUE, Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.graph_cut import (
    GraphCut,
    GraphStage,
    NoCut,
    cut_graph,
    with_unknown_shapes_as_outputs,
)
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.model_signature import ModelInput
from starlight_exporter.detector.providers import Providers
from starlight_exporter.detector.session import RUNTIME_ERRORS, open_session
from starlight_exporter.detector.shared_outputs import Outputs, SharedOutputs
from starlight_exporter.detector.streams import ThreadWorkspace
from starlight_exporter.errors import ImageError, ModelError

HEAD_BATCH: Final = 16
"""Batch size of the head. Smaller batches are filled up, so that a result does not depend on the batch size."""
SHARED_BYTES: Final = 64 * 1024 * 1024
"""Limit of the stored stage outputs."""


class Scorer(Protocol):
    """Scores compact images. Thread-safe."""

    streams: frozenset[Stream]

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """Return the score of each image in order, or the error that prevented it."""


class FullModel:
    """Runs the full model on one image at a time."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.streams = detector.streams
        self._workspace = ThreadWorkspace(detector.streams)

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """See Scorer."""
        return [self._score_one(image) for image in images]

    def _score_one(self, image: CompactImage) -> Score | ImageError:
        try:
            return self._detector.predict((image.tensors(self.streams, out=self._workspace.arrays),))[0]
        except ImageError as error:
            return error


class StagedModel:
    """Runs the stages of a cut model, and the full model on images that are close to a decision.

    Create it with `stage`, which verifies it against the full model.
    """

    def __init__(
        self,
        detector: Detector,
        graph: GraphCut,
        decision: DecisionRule,
        *,
        batch: int,
        shared_bytes: int = SHARED_BYTES,
    ) -> None:
        self._detector = detector
        self._full = FullModel(detector)
        self._decision = decision
        self.graph = graph
        self.batch = batch
        self.streams = detector.streams
        self._inputs = {entry.name: entry for entry in detector.inputs}
        self._stages = tuple(_Part(stage, self._inputs, detector.providers) for stage in graph.stages)
        self._head = _Part(graph.head, self._inputs, detector.providers)
        self._shared = SharedOutputs(shared_bytes)
        self._workspace = ThreadWorkspace(detector.streams)

    @property
    def stages_run(self) -> int:
        """Number of stage runs."""
        return self._shared.added

    @property
    def stages_reused(self) -> int:
        """Number of stage runs that were saved by stored outputs."""
        return self._shared.hits

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """See Scorer."""
        scores = [score_of(self._detector, outputs) for outputs in self.outputs(images)]
        return with_close_images_rescored(scores, images, self._decision, self._full.score)

    def outputs(self, images: Sequence[CompactImage]) -> list[Outputs | ImageError]:
        """Return the model's `used_outputs` of each image without batch axis, or the error that prevented them."""
        results: list[Outputs | ImageError | None] = [None] * len(images)
        ready: list[tuple[int, dict[str, NDArray[Any]]]] = []
        for index, image in enumerate(images):
            try:
                ready.append((index, self._head_inputs(image)))
            except ImageError as error:
                results[index] = error
        for start in range(0, len(ready), self.batch):
            chosen = ready[start : start + self.batch]
            for (index, _), outputs in zip(chosen, self._run_head([feeds for _, feeds in chosen]), strict=True):
                results[index] = outputs
        return [result for result in results if result is not None]

    def _head_inputs(self, image: CompactImage) -> dict[str, NDArray[Any]]:
        """Run the stages of one image, unless their outputs are stored, and return the inputs of the head."""
        feeds = _LazyFeeds(image, self._inputs, self._workspace.arrays)
        known: dict[str, NDArray[Any]] = {}
        digests = image.digests
        keys = [(number, *(digests[stream] for stream in part.streams)) for number, part in enumerate(self._stages)]
        stored = self._shared.get(keys)
        for number, part in enumerate(self._stages):
            outputs = stored[number]
            if outputs is None:
                outputs = self._run(part, {name: feeds[name] for name in part.feeds} | known)
                self._shared.put(keys[number], outputs)
            known.update(zip(part.outputs, outputs, strict=True))
        for name in self._head.feeds:
            known[name] = feeds[name].copy()
        return known

    def _run_head(self, images: list[dict[str, NDArray[Any]]]) -> list[Outputs | ImageError]:
        filled = images + images[:1] * (self.batch - len(images))
        try:
            rows = self._detector.rows(self._run(self._head, _LazyBatch(filled)), self.batch)
        except ImageError as error:
            if len(images) == 1:
                return [error]
            # One of the images makes the head fail. Run them one by one, so that the others are scored.
            return [self._run_head([feeds])[0] for feeds in images]
        return list(rows[: len(images)])

    def _run(self, part: _Part, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        try:
            return part.run(feeds)
        except RUNTIME_ERRORS as error:
            raise self._detector.failure(error) from error


def stage(detector: Detector, samples: Sequence[CompactImage], decision: DecisionRule) -> StagedModel | NoCut:
    """Return the staged form of a detector, or the reason why there is none.

    On the samples its log-odds must equal those of the full model within LOG_ODDS_TOLERANCE, and both must fail on the
    same images. The verdicts by `decision` are then identical (see the module's docstring).
    """
    if detector.method_is_id:
        return NoCut("the model reports the method only as an id, so close methods cannot be detected")
    try:
        model, shapes = detector.read_file(), {entry.name: entry.shape for entry in detector.inputs}
        graph = cut_graph(model, shapes, detector.used_outputs, _measured_shapes(model, shapes))
    except ModelError as error:
        return NoCut(str(error))
    if isinstance(graph, NoCut):
        return graph
    reason = ""
    for batch in (HEAD_BATCH, 1) if graph.batched else (1,):
        try:
            staged = StagedModel(detector, graph, decision, batch=batch)
        except RUNTIME_ERRORS as error:
            return NoCut(f"a stage does not load: {' '.join(str(error).split())[:200]}")
        reason = difference(detector, samples, staged.outputs(samples))
        if not reason:
            # A new one, whose counters and stored outputs do not include the comparison.
            return StagedModel(detector, graph, decision, batch=batch)
    return NoCut(f"run in stages, {reason}")


def _measured_shapes(model: bytes, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that shape inference leaves open, from a run on one image of zeros; empty if that fails."""
    extended, names = with_unknown_shapes_as_outputs(model, inputs)
    zeros = {name: np.zeros((1, *shape), np.float32) for name, shape in inputs.items()}
    try:
        values = open_session(extended).run(list(names), zeros) if names else []
    except RUNTIME_ERRORS:
        return {}
    return {name: np.shape(value) for name, value in zip(names, values, strict=True)}


class _Part:
    """A stage or the head, with its session."""

    def __init__(self, stage: GraphStage, inputs: Mapping[str, ModelInput], providers: Providers) -> None:
        self._session = open_session(stage.model, providers)
        self.feeds, self.reads, self.outputs = stage.feeds, stage.reads, stage.outputs
        streams = {inputs[name].stream for name in stage.depends}
        self.streams: tuple[Stream, ...] = tuple(sorted(stream for stream in streams if stream is not None))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the outputs for the required tensors of `feeds`."""
        return tuple(self._session.run(self.outputs, {name: feeds[name] for name in (*self.feeds, *self.reads)}))


class _LazyFeeds(dict[str, Tensor]):
    """Input name → tensor of one image with batch axis, computed on access."""

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
            # Older models have only the first alpha plane.
            tensor = self._image.tensor(entry.stream, self._arrays[entry.stream])[np.newaxis, : entry.shape[0]]
        self[name] = tensor
        return tensor


class _LazyBatch(dict[str, NDArray[Any]]):
    """Name → tensors of several images as one batch, concatenated on access. Raises ValueError if sizes differ."""

    def __init__(self, images: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        super().__init__()
        self._images = images

    def __missing__(self, name: str) -> NDArray[Any]:
        if len(self._images) == 1:
            return self._images[0][name]
        return np.concatenate([tensors[name] for tensors in self._images])
