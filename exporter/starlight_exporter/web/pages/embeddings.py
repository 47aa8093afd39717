"""The embeddings of one evaluation: separation of the classes, and its images on two principal components."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from starlight_exporter.evaluation.embedding_results import (
    EMBEDDING_CLASSES,
    MIN_COVERS,
    MIN_IMAGES,
    ClassReason,
    EmbeddingResult,
    LinearProbe,
    Projection,
)
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.formatting import decimal, percent, percent_range
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.page import Page, SitePath, Table
from starlight_exporter.web.pages.scatter import HEIGHT, WIDTH, ScatterPoint, scatter_series

LEAST_SEPARATED: Final = 20
CLASS_REASON_TEXTS: Final[Mapping[ClassReason, str]] = {
    "no_images": "no images",
    "few_images": f"fewer than {MIN_IMAGES} images",
    "few_covers": f"fewer than {MIN_COVERS} covers",
}


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: silhouette, recall of the probe and correct verdicts of the model; `reason` if it is not measured."""

    name: str
    images: int
    covers: int
    silhouette: float | None
    silhouette_images: int
    recall: Proportion | None
    verdicts: Proportion
    reason: str


@dataclass(frozen=True, slots=True)
class ProjectedRow:
    """A sampled image on two components; `silhouette` is None if its class is not measured."""

    number: int
    path: str
    name: str
    predicted: str
    x: float
    y: float
    silhouette: float | None
    link: SitePath


def embeddings_page(evidence: Evidence, entry: Entry) -> Page:
    """Return the separation of the classes and the projected images of an evaluation."""
    evaluation = evidence.evaluation(entry)
    result = evaluation.embeddings
    images = _projected(evidence, entry, evidence.projection(entry))
    classes = [] if result is None else _class_rows(evaluation, result)
    mixed = sorted((one for one in images if one.silhouette is not None), key=lambda one: one.silhouette or 0.0)
    return Page(
        template="embeddings.html",
        path=links.embeddings(entry.id),
        values={
            "e": evaluation,
            "result": result,
            "reason": not_measured_text(evaluation),
            "conclusion": None if result is None else conclusion(result),
            "classes": classes,
            "series": scatter_series(
                [ScatterPoint(one.x, one.y, one.name, one.link, _title(one)) for one in images],
            ),
            "images": len(images),
            "mixed": [one for one in mixed if one.silhouette is not None and one.silhouette < 0][:LEAST_SEPARATED],
            "width": WIDTH,
            "height": HEIGHT,
        },
        content={
            "evaluation": entry.id,
            "model": entry.model,
            "dataset": entry.dataset,
            "embeddings": None if result is None else asdict(result),
            "not_measured": not_measured_text(evaluation),
            "conclusion": None if result is None else conclusion(result),
            "images": images,
        },
        tables={
            "classes": _class_table(classes),
            "images": Table(
                ("number", "path", "actual", "predicted", "x", "y", "silhouette"),
                [(one.number, one.path, one.name, one.predicted, one.x, one.y, one.silhouette) for one in images],
            ),
        },
    )


def not_measured_text(evaluation: Evaluation) -> str | None:
    """Return why the separation of the embeddings is not measured; None if it is."""
    if evaluation.unlabelled is not None:
        return "the dataset has no labels"
    if evaluation.embeddings is None:
        return "by the version that stored this evaluation"
    return None if evaluation.embeddings.not_measured is None else evaluation.embeddings.detail


def conclusion(result: EmbeddingResult) -> str | None:
    """Return what the probe shows in one or two sentences; None if it is not measured."""
    probe = result.probe
    if probe is None or probe.accuracy.ratio is None:
        return None
    recalls = {name: one.recall for name, one in result.classes.items() if one.recall is not None}
    lowest = min(recalls, key=lambda name: recalls[name].ratio or 0.0)
    recall = recalls[lowest]
    return (
        f"{_against_largest_class(probe)} The lowest recall is that of {lowest}: {percent(recall.ratio)}"
        f" (95% CI {percent_range(recall.lower, recall.upper)})."
    )


def _against_largest_class(probe: LinearProbe) -> str:
    accuracy, share = probe.accuracy, percent(probe.largest_class)
    if accuracy.lower is None or accuracy.upper is None:
        return "The interval of the accuracy is not measured."
    if accuracy.lower > probe.largest_class:
        return f"A linear classifier separates the classes better than a constant prediction ({share} correct)."
    if accuracy.upper < probe.largest_class:
        return f"A linear classifier separates the classes worse than a constant prediction ({share} correct)."
    return f"Inconclusive whether a linear classifier is better than a constant prediction ({share} correct)."


def _projected(evidence: Evidence, entry: Entry, projection: Projection | None) -> list[ProjectedRow]:
    if projection is None:
        return []
    known = evidence.open(entry).by_numbers(projection.images["number"].tolist())
    rows = []
    for number, x, y, silhouette in projection.images.tolist():
        prediction = known.get(number)
        if prediction is not None and (name := prediction.method or prediction.file_class) in EMBEDDING_CLASSES:
            measured = None if math.isnan(silhouette) else silhouette
            link = links.image(entry.id, number)
            rows.append(ProjectedRow(number, prediction.path, name, _predicted(prediction), x, y, measured, link))
    return rows


def _predicted(prediction: Prediction) -> str:
    if not prediction.verdict:
        return "clean"
    return prediction.predicted_method or "stego"


def _title(one: ProjectedRow) -> str:
    measured = "" if one.silhouette is None else f", silhouette {decimal(one.silhouette, 2)}"
    return f"{one.path}: {one.name}, predicted {one.predicted}{measured}"


def _class_rows(evaluation: Evaluation, result: EmbeddingResult) -> list[ClassRow]:
    return [
        ClassRow(
            name,
            one.images,
            one.covers,
            one.silhouette,
            one.silhouette_images,
            one.recall,
            _correct_verdicts(evaluation, name),
            "" if one.not_measured is None else CLASS_REASON_TEXTS[one.not_measured],
        )
        for name, one in result.classes.items()
    ]


def _correct_verdicts(evaluation: Evaluation, name: str) -> Proportion:
    """Return the detections of a method, or the clean images without a false positive."""
    for method, detections in evaluation.detections.items():
        if method == name:
            return detections
    false = evaluation.clean
    ratio, lower, upper = (None if value is None else 1 - value for value in (false.ratio, false.upper, false.lower))
    return Proportion(false.total - false.count, false.total, ratio, lower, upper, false.covers)


def _class_table(classes: list[ClassRow]) -> Table:
    rate = ("ratio", "lower", "upper", "count", "total")
    rows: list[list[Any]] = []
    for one in classes:
        recall = [None if one.recall is None else getattr(one.recall, name) for name in rate]
        verdicts = [getattr(one.verdicts, name) for name in rate]
        rows.append(
            [one.name, one.images, one.covers, one.silhouette, one.silhouette_images, *recall, *verdicts, one.reason]
        )
    return Table(
        (
            "actual",
            "images",
            "covers",
            "silhouette",
            "silhouette_images",
            *(f"recall_{name}" for name in rate),
            *(f"verdicts_{name}" for name in rate),
            "not_measured",
        ),
        rows,
    )
