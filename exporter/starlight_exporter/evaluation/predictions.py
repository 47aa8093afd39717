"""Construct the prediction of one file, measured or not, and compare it with its label."""

from __future__ import annotations

from dataclasses import replace

from starlight_exporter.dataset.covers import Covers
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Score
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.results import FileFacts, Prediction

_NO_FACTS = FileFacts()


def measured(
    file: LabelledFile,
    score: Score,
    decision: DecisionRule,
    *,
    seconds: float | None = None,
    facts: FileFacts = _NO_FACTS,
) -> Prediction:
    """Return the prediction of a file that the model scored."""
    return Prediction(
        path=file.path,
        sha256=file.sha256,
        file_class=file.file_class,
        method=file.method,
        category=file.category,
        image_format=file.image_format,
        probability=score.probability,
        predicted_method=score.predicted,
        verdict=decision.verdict(score.probability, score.predicted),
        not_measured=None,
        detail="",
        seconds=seconds,
        facts=facts,
    )


def not_measured(file: LabelledFile, error: ImageError) -> Prediction:
    """Return the prediction of a file without a verdict; `detail` is the text of the error."""
    return Prediction(
        path=file.path,
        sha256=file.sha256,
        file_class=file.file_class,
        method=file.method,
        category=file.category,
        image_format=file.image_format,
        probability=None,
        predicted_method=None,
        verdict=None,
        not_measured=error.reason,
        detail=str(error),
        seconds=None,
        facts=listed_facts(file),
    )


def listed_facts(file: LabelledFile) -> FileFacts:
    """Return the facts that are known without decoding the file."""
    return FileFacts(
        size_bytes=file.size_bytes,
        bit_order=file.bit_order,
        payload_bytes=file.payload_bytes,
        cover=file.cover,
        source=file.source,
        reaches_crop=file.reaches_crop,
    )


def with_resolved_cover(prediction: Prediction, covers: Covers) -> Prediction:
    """Return a prediction with the cover and the source that its dataset resolves."""
    facts = prediction.facts
    cover, source = covers.resolved(prediction.file_class, facts.cover, facts.source)
    if (cover, source) == (facts.cover, facts.source):
        return prediction
    return replace(prediction, facts=replace(facts, cover=cover, source=source))


def is_wrong(prediction: Prediction) -> bool | None:
    """Return whether the verdict contradicts the label; None if the file was not measured or has no label."""
    if prediction.verdict is None or prediction.file_class == "unlabelled":
        return None
    return prediction.verdict != (prediction.file_class == "stego")
