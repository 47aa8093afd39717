"""Stream ablation: evaluate a model on the same images with one input stream replaced at a time.

A stream is replaced by zeros, by its mean over the dataset, or by that of another image. The images whose input differs
are counted: a stream that differs in no image is "not measurable", which is not the same as "no effect".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.analysis.comparison import SLICES, flips, paired_slice
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.analysis.stream_effects import Ablation, EffectState, StreamEffect
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.arrays import Tensor
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import METHODS, STREAM_SHAPES, STREAMS, Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Score
from starlight_exporter.detector.staged import Scorer
from starlight_exporter.errors import EvaluationError, ImageError
from starlight_exporter.evaluation.accuracy import Accuracy, accuracy
from starlight_exporter.evaluation.image_source import ImageSource
from starlight_exporter.evaluation.predictions import measured
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.intervals import mean_with_interval, proportion

CHUNK: Final = 16
"""Images that a thread processes at a time; a shuffled stream is from another image of the same random chunk."""
_MIN_PROBABILITY: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class _ImageResult:
    """Predictions of the full model and without each stream; None if the input is the same."""

    full: Prediction
    without: Mapping[Stream, Prediction | None]


def streams_named(names: Sequence[str]) -> tuple[Stream, ...]:
    """Return the streams with these names, or all for no names. Raise EvaluationError for an unknown name."""
    unknown = [name for name in names if name not in STREAMS]
    if unknown:
        raise EvaluationError(f"unknown stream {unknown[0]}; expected one or more of {', '.join(STREAMS)}")
    return tuple(stream for stream in STREAMS if not names or stream in names)


def ablate(
    scorer: Scorer,
    source: ImageSource,
    decision: DecisionRule,
    files: Sequence[LabelledFile],
    *,
    mode: AblationMode = "zero",
    streams: Sequence[Stream] = STREAMS,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Ablation:
    """Evaluate the full model, and the model without each stream that it reads, on every image.

    The result does not depend on the number of threads. Every file is decoded once, twice in mode `mean`, which
    computes the means first.
    """
    order = [file for file in files if file.problem is None]
    random.Random(seed).shuffle(order)
    read = tuple(stream for stream in streams if stream in scorer.streams)
    passes = 2 if mode == "mean" else 1
    counter = _Counter(progress, passes * len(order))
    means = _means(source, order, read, counter) if mode == "mean" else {}
    ablation = _ChunkAblation(scorer, source, decision, mode=mode, streams=read, means=means)
    results: list[_ImageResult] = []
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="ablate") as pool:
        for chunk, found in zip(_chunks(order), pool.map(ablation.run, _chunks(order)), strict=True):
            results += found
            counter.add(len(chunk))
    full = accuracy([entry.full for entry in results])
    effects = [_effect(stream, results, full) if stream in read else _absent(stream) for stream in streams]
    return Ablation(
        mode=mode,
        images=len(results),
        not_measured=len(files) - len(results),
        clean=full.clean,
        stego=full.stego,
        detections=full.detections,
        log_loss=full.log_loss,
        effects=tuple(sorted(effects, key=_rank)),
    )


class _ChunkAblation:
    """Ablate the streams of a chunk of images; thread-safe."""

    def __init__(
        self,
        scorer: Scorer,
        source: ImageSource,
        decision: DecisionRule,
        *,
        mode: AblationMode,
        streams: Sequence[Stream],
        means: Mapping[Stream, Tensor],
    ) -> None:
        self._scorer = scorer
        self._source = source
        self._decision = decision
        self._mode = mode
        self._streams = streams
        self._means = means

    def run(self, files: Sequence[LabelledFile]) -> list[_ImageResult]:
        """Return the results of the images that were measured with and without every stream."""
        ready = [(file, image) for file in files if (image := _image(self._source, file)) is not None]
        inputs: list[CompactImage] = []
        places: list[dict[Stream | None, int]] = []
        for number, (_, image) in enumerate(ready):
            place: dict[Stream | None, int] = {None: len(inputs)}
            inputs.append(image)
            # A cycle through a random chunk: every image receives the stream of the next one.
            donor = ready[(number + 1) % len(ready)][1]
            for stream in self._streams:
                ablated = self._without(image, stream, donor)
                if ablated.digests[stream] != image.digests[stream]:
                    place[stream] = len(inputs)
                    inputs.append(ablated)
            places.append(place)
        scores = self._scorer.score(inputs)
        found = []
        for (file, _), place in zip(ready, places, strict=True):
            predictions = {key: self._prediction(file, scores[index]) for key, index in place.items()}
            full = predictions.pop(None)
            without = {stream: predictions.get(stream) for stream in self._streams}
            if full is not None and all(predictions[key] is not None for key in predictions):
                found.append(_ImageResult(full, without))
        return found

    def _without(self, image: CompactImage, stream: Stream, donor: CompactImage) -> CompactImage:
        match self._mode:
            case "zero":
                return image.without(stream)
            case "mean":
                return image.with_tensor(stream, self._means[stream])
            case "shuffle":
                return image.with_stream_of(stream, donor)

    def _prediction(self, file: LabelledFile, score: Score | ImageError) -> Prediction | None:
        return None if isinstance(score, ImageError) else measured(file, score, self._decision)


class _Counter:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, images: int) -> None:
        self._done += images
        if self._progress is not None:
            self._progress(self._done, self._total)


def _chunks(files: Sequence[LabelledFile]) -> list[Sequence[LabelledFile]]:
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        # A single image has no other image to take a stream from.
        last = chunks.pop()
        chunks[-1] = [*chunks[-1], *last]
    return chunks


def _image(source: ImageSource, file: LabelledFile) -> CompactImage | None:
    try:
        return source.image(file)
    except ImageError:
        # Counted as not measured; the evaluation of the same dataset reports the reason.
        return None


def _means(
    source: ImageSource, files: Sequence[LabelledFile], streams: Sequence[Stream], counter: _Counter
) -> dict[Stream, Tensor]:
    sums: dict[Stream, NDArray[np.float64]] = {stream: np.zeros(STREAM_SHAPES[stream]) for stream in streams}
    scratch = {stream: np.empty(STREAM_SHAPES[stream], np.float32) for stream in streams}
    images = 0
    for file in files:
        image = _image(source, file)
        if image is not None:
            images += 1
            for stream in streams:
                sums[stream] += image.tensor(stream, scratch[stream])
        counter.add(1)
    return {stream: (total / max(1, images)).astype(np.float32) for stream, total in sums.items()}


def _effect(stream: Stream, results: Sequence[_ImageResult], full: Accuracy) -> StreamEffect:
    changed = proportion(sum(entry.without[stream] is not None for entry in results), len(results))
    if changed.count == 0:
        return replace(_absent(stream), state="not measurable", changed=changed)
    before = [entry.full for entry in results]
    after = [entry.without[stream] or entry.full for entry in results]
    counts = accuracy(after)
    found = flips(before, after)
    labelled = [
        _loss(without) - _loss(with_it)
        for with_it, without in zip(before, after, strict=True)
        if with_it.file_class != "negative"
    ]
    return StreamEffect(
        stream=stream,
        state="measured",
        changed=changed,
        clean=counts.clean,
        stego=counts.stego,
        detections=counts.detections,
        log_loss=counts.log_loss if full.log_loss is not None else None,
        log_loss_increase=mean_with_interval(labelled),
        slices={name: paired_slice(found, name) for name in SLICES},
    )


def _absent(stream: Stream) -> StreamEffect:
    return StreamEffect(
        stream=stream,
        state="absent",
        changed=proportion(0, 0),
        clean=None,
        stego=None,
        detections={method: proportion(0, 0) for method in METHODS},
        log_loss=None,
        log_loss_increase=None,
        slices={},
    )


def _loss(prediction: Prediction) -> float:
    """Return the log loss of one image, with the probability clipped as in `statistics.scores.log_loss`."""
    assert prediction.probability is not None
    probability = min(max(prediction.probability, _MIN_PROBABILITY), 1.0 - _MIN_PROBABILITY)
    return -float(np.log(probability if prediction.file_class == "stego" else 1.0 - probability))


def _rank(effect: StreamEffect) -> tuple[int, float, str]:
    order: dict[EffectState, int] = {"measured": 0, "not measurable": 1, "absent": 2}
    increase = 0.0 if effect.log_loss_increase is None else effect.log_loss_increase.value
    return order[effect.state], -increase, effect.stream
