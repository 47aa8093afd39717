"""Stream ablation: evaluate a model on the same images with one input stream replaced at a time.

A stream is replaced by zeros, by its mean over the dataset, or by that of another image. The images whose input differs
are counted: a stream that differs in no image is "not measurable", which is not the same as "no effect".
"""

from __future__ import annotations

import random
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.analysis.ablated_shards import AblatedImage, AblatedScore, AblationJob, MeansJob, MeanStreams
from starlight_exporter.analysis.comparison import SLICES, flips, paired_slice
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.analysis.stream_effects import Ablation, EffectState, StreamEffect
from starlight_exporter.dataset.engine import Engine, shard_files
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.detector.contract import METHODS, STREAMS, Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EvaluationError
from starlight_exporter.evaluation.accuracy import Accuracy, accuracy
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.prediction_writer import PredictionWriter
from starlight_exporter.evaluation.predictions import with_resolved_cover
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.shard_job import ImageAccess
from starlight_exporter.statistics.intervals import mean_with_interval, proportion

_MIN_PROBABILITY: Final = float(np.finfo(np.float64).eps)


def streams_named(names: Sequence[str]) -> tuple[Stream, ...]:
    """Return the streams with these names, or all for no names. Raise EvaluationError for an unknown name."""
    unknown = [name for name in names if name not in STREAMS]
    if unknown:
        raise EvaluationError(f"unknown stream {unknown[0]}; expected one or more of {', '.join(STREAMS)}")
    return tuple(stream for stream in STREAMS if not names or stream in names)


def ablate(
    scorer: PortableScorer,
    access: ImageAccess,
    decision: DecisionRule,
    listing: Listing,
    engine: Engine,
    *,
    mode: AblationMode = "zero",
    streams: Sequence[Stream] = STREAMS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ablation:
    """Evaluate the full model, and the model without each stream that it reads, on every image.

    The result does not depend on the engine. Every file is read once, twice in mode `mean`, which computes the means
    first.
    """
    files = len(listing.files)
    # A shuffled stream is from another image of the same random chunk.
    order = array("q", range(files))
    random.Random(seed).shuffle(order)
    shards = listing.shards(shard_files(files, engine), order)
    model_streams = scorer.scorer().streams
    read = tuple(stream for stream in streams if stream in model_streams)
    counter = _Counter(progress, files, passes=2 if mode == "mean" else 1)
    means = MeanStreams(read)
    if mode == "mean":
        adding = MeansJob(images=access, streams=read)
        with closing(engine.map(adding, shards, progress=counter.report)) as sums:
            for shard in sums:
                means.add(shard)
        counter.next_pass()
    job = AblationJob(images=access, scorer=scorer, decision=decision, mode=mode, streams=read, means=means.means())
    with _Tables(read) as tables:
        with closing(engine.map(job, shards, progress=counter.report)) as results:
            for images in results:
                tables.add(
                    [replace(one, full=with_resolved_cover(one.full, listing.covers)) for one in images], decision
                )
        return _ablation(mode, streams, files, tables)


class _Counter:
    """Reports the progress of several passes over the same files."""

    def __init__(self, progress: Progress | None, files: int, *, passes: int) -> None:
        self._progress = progress
        self._files = files
        self._passes = passes
        self._before = 0

    def next_pass(self) -> None:
        self._before += self._files

    def report(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._before + done, self._passes * self._files)


class _Tables:
    """Predictions of the full model and without each stream on disk, in a temporary folder."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="starlight-ablation-")
        folder = Path(self._folder.name)
        self._full = PredictionWriter(folder / "full")
        self._without = {stream: PredictionWriter(folder / stream) for stream in streams}
        self.images = 0
        self.changed: dict[Stream, int] = dict.fromkeys(streams, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def add(self, images: Sequence[AblatedImage], decision: DecisionRule) -> None:
        """Add the images of a shard."""
        self.images += len(images)
        self._full.append(one.full for one in images)
        for stream, writer in self._without.items():
            scores = [one.without[stream] for one in images]
            self.changed[stream] += sum(score is not None for score in scores)
            writer.append(
                one.full if score is None else _with_score(one.full, score, decision)
                for one, score in zip(images, scores, strict=True)
            )

    def finished(self) -> tuple[PredictionTable, dict[Stream, PredictionTable]]:
        """Return the predictions of the full model, and those without each stream, in the same order."""
        without = {stream: PredictionTable(writer.finish()) for stream, writer in self._without.items()}
        return PredictionTable(self._full.finish()), without


def _with_score(full: Prediction, score: AblatedScore, decision: DecisionRule) -> Prediction:
    return replace(
        full,
        probability=score.probability,
        predicted_method=score.predicted,
        verdict=decision.verdict(score.probability, score.predicted),
    )


def _ablation(mode: AblationMode, streams: Sequence[Stream], files: int, tables: _Tables) -> Ablation:
    before, without = tables.finished()
    full = accuracy(before)
    effects = [
        _effect(stream, before, without[stream], full, tables.changed[stream]) if stream in without else _absent(stream)
        for stream in streams
    ]
    return Ablation(
        mode=mode,
        images=tables.images,
        not_measured=files - tables.images,
        clean=full.clean,
        stego=full.stego,
        detections=full.detections,
        log_loss=full.log_loss,
        effects=tuple(sorted(effects, key=_rank)),
    )


def _effect(
    stream: Stream, before: PredictionTable, after: PredictionTable, full: Accuracy, changed: int
) -> StreamEffect:
    inputs = proportion(changed, len(before))
    if not changed:
        return replace(_absent(stream), state="not measurable", changed=inputs)
    counts = accuracy(after)
    found = flips(before, after)
    return StreamEffect(
        stream=stream,
        state="measured",
        changed=inputs,
        clean=counts.clean,
        stego=counts.stego,
        detections=counts.detections,
        log_loss=counts.log_loss if full.log_loss is not None else None,
        log_loss_increase=mean_with_interval((_losses(after) - _losses(before)).tolist()),
        slices={name: paired_slice(found, name) for name in SLICES},
    )


def _losses(table: PredictionTable) -> NDArray[np.float64]:
    """Return the log loss of each clean or stego image; probabilities are clipped as in `statistics.scores`."""
    labelled = ~table.equals("file_class", "negative")
    probability = np.clip(table.column("probability")[labelled], _MIN_PROBABILITY, 1.0 - _MIN_PROBABILITY)
    of_label = np.where(table.equals("file_class", "stego")[labelled], probability, 1.0 - probability)
    losses: NDArray[np.float64] = -np.log(of_label)
    return losses


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


def _rank(effect: StreamEffect) -> tuple[int, float, str]:
    order: dict[EffectState, int] = {"measured": 0, "not measurable": 1, "absent": 2}
    increase = 0.0 if effect.log_loss_increase is None else effect.log_loss_increase.value
    return order[effect.state], -increase, effect.stream
