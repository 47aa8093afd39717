"""What each stream is worth to a model: the same images again, with one stream taken away at a time.

A stream is replaced by zeros, by its mean over the dataset, or by that of another image. An ablation that changes
nothing proves nothing: how many inputs really differ is counted, and a stream that differs nowhere is "not measurable",
never "no impact".
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
from starlight_exporter.analysis.stream_effects import Ablation, State, StreamEffect
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import METHODS, STREAM_SHAPES, STREAMS, Stream, Tensor
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
"""Images in a thread's hands at a time; a shuffled stream comes from another image of the same, random sixteen."""
_LEAST_PROBABILITY: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One image, by the full model and without each stream; None where its input was the same."""

    full: Prediction
    without: Mapping[Stream, Prediction | None]


def streams_named(names: Sequence[str]) -> tuple[Stream, ...]:
    """Streams by their contract names, all for none; EvaluationError names one that the contract does not know."""
    unknown = [name for name in names if name not in STREAMS]
    if unknown:
        raise EvaluationError(f"unknown stream {unknown[0]}; expected some of {', '.join(STREAMS)}")
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
    """Every image by the full model and without each stream that the model reads; the same for any number of threads.

    Each file is decoded once (twice for the mode "mean", whose first pass makes the means).
    """
    order = [file for file in files if file.problem is None]
    random.Random(seed).shuffle(order)
    read = tuple(stream for stream in streams if stream in scorer.streams)
    passes = 2 if mode == "mean" else 1
    counter = _Counter(progress, passes * len(order))
    means = _means(source, order, read, counter) if mode == "mean" else {}
    work = _Work(scorer, source, decision, mode=mode, streams=read, means=means)
    seen: list[_Seen] = []
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="ablate") as pool:
        for chunk, found in zip(_chunks(order), pool.map(work.chunk, _chunks(order)), strict=True):
            seen += found
            counter.add(len(chunk))
    full = accuracy([entry.full for entry in seen])
    effects = [_effect(stream, seen, full) if stream in read else _absent(stream) for stream in streams]
    return Ablation(
        mode=mode,
        images=len(seen),
        not_measured=len(files) - len(seen),
        clean=full.clean,
        stego=full.stego,
        detections=full.detections,
        log_loss=full.log_loss,
        effects=tuple(sorted(effects, key=_rank)),
    )


class _Work:
    """What one thread does with a few images; safe with several threads."""

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

    def chunk(self, files: Sequence[LabelledFile]) -> list[_Seen]:
        """The images of these files that could be measured in every way."""
        ready = [(file, image) for file in files if (image := _image(self._source, file)) is not None]
        asked: list[CompactImage] = []
        places: list[dict[Stream | None, int]] = []
        for number, (_, image) in enumerate(ready):
            place: dict[Stream | None, int] = {None: len(asked)}
            asked.append(image)
            # A cycle through a random group: every image gives its stream to one and takes one.
            donor = ready[(number + 1) % len(ready)][1]
            for stream in self._streams:
                ablated = self._without(image, stream, donor)
                if ablated.digests[stream] != image.digests[stream]:
                    place[stream] = len(asked)
                    asked.append(ablated)
            places.append(place)
        scores = self._scorer.score(asked)
        found = []
        for (file, _), place in zip(ready, places, strict=True):
            predictions = {key: self._prediction(file, scores[index]) for key, index in place.items()}
            full = predictions.pop(None)
            without = {stream: predictions.get(stream) for stream in self._streams}
            if full is not None and all(predictions[key] is not None for key in predictions):
                found.append(_Seen(full, without))
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
        # A single image has nobody to take a stream from.
        last = chunks.pop()
        chunks[-1] = [*chunks[-1], *last]
    return chunks


def _image(source: ImageSource, file: LabelledFile) -> CompactImage | None:
    try:
        return source.image(file)
    except ImageError:
        # Counted as not measured; the evaluation of the same dataset says why.
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


def _effect(stream: Stream, seen: Sequence[_Seen], full: Accuracy) -> StreamEffect:
    changed = proportion(sum(entry.without[stream] is not None for entry in seen), len(seen))
    if changed.count == 0:
        return replace(_absent(stream), state="not measurable", changed=changed)
    before = [entry.full for entry in seen]
    after = [entry.without[stream] or entry.full for entry in seen]
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
    """The log loss of one image, clipped as `statistics.log_loss` clips."""
    assert prediction.probability is not None
    probability = min(max(prediction.probability, _LEAST_PROBABILITY), 1.0 - _LEAST_PROBABILITY)
    return -float(np.log(probability if prediction.file_class == "stego" else 1.0 - probability))


def _rank(effect: StreamEffect) -> tuple[int, float, str]:
    order: dict[State, int] = {"measured": 0, "not measurable": 1, "absent": 2}
    increase = 0.0 if effect.log_loss_increase is None else effect.log_loss_increase.value
    return order[effect.state], -increase, effect.stream
