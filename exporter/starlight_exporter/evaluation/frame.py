"""Rates of an evaluation as records, for tables and data frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlight_exporter.errors import DependencyError
from starlight_exporter.statistics.intervals import Proportion

if TYPE_CHECKING:
    import pandas as pd

    from starlight_exporter.evaluation.payload_results import PayloadResult
    from starlight_exporter.evaluation.results import Evaluation

_Rate = tuple[float | None, float | None, float | None]
"""Value and 95% interval."""


@dataclass(frozen=True, slots=True)
class RateRecord:
    """One metric of one slice of an evaluation, with the columns of `Evaluation.to_frame`; None if not measured."""

    metric: str
    slice: str
    count: int | None
    total: int
    rate: float | None
    ci_low: float | None
    ci_high: float | None
    evaluation_id: str
    model: str
    dataset: str
    finished_at: datetime
    model_sha256: str
    dataset_fingerprint: str
    decision: str


def to_frame(evaluation: Evaluation) -> pd.DataFrame:
    """Return one row per metric and slice; see `Evaluation.to_frame`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise DependencyError("to_frame needs pandas; install it, or this package with the extra pandas") from error
    numbers = ("rate", "ci_low", "ci_high")
    frame = pd.DataFrame([asdict(record) for record in rate_records(evaluation)])
    # Figures of merit have no count.
    return frame.astype({"count": "Int64", **dict.fromkeys(numbers, "float64")})


def rate_records(evaluation: Evaluation) -> Iterator[RateRecord]:
    """Yield all rates and figures of merit of an evaluation."""

    def record(metric: str, slice_: str, count: int | None, total: int, rate: _Rate) -> RateRecord:
        return RateRecord(
            metric=metric,
            slice=slice_,
            count=count,
            total=total,
            rate=rate[0],
            ci_low=rate[1],
            ci_high=rate[2],
            evaluation_id=evaluation.id,
            model=evaluation.model,
            dataset=evaluation.dataset,
            finished_at=datetime.fromtimestamp(evaluation.finished_at, UTC),
            model_sha256=evaluation.provenance.model_sha256,
            dataset_fingerprint=evaluation.provenance.dataset_fingerprint,
            decision=evaluation.provenance.decision,
        )

    for metric, slice_, one in _rates(evaluation):
        yield record(metric, slice_, one.count, one.total, (one.ratio, one.lower, one.upper))
    figures = evaluation.figures
    if figures is not None:
        for name, figure in figures.figures.items():
            value = (figure.value, figure.lower, figure.upper)
            yield record(name, "all", None, figures.clean + figures.stego, value)


def _rates(evaluation: Evaluation) -> Iterator[tuple[str, str, Proportion]]:
    yield "false_positive_rate", "all", evaluation.clean
    for image_format, rate in evaluation.clean_by_format.items():
        yield "false_positive_rate", image_format, rate
    for category, rate in evaluation.negatives.items():
        yield "negatives_false_positive_rate", category, rate
    yield "detection_rate", "all", evaluation.stego
    for method, rate in evaluation.detections.items():
        yield "detection_rate", method, rate
    if evaluation.unlabelled is not None:
        yield "alarm_rate", "all", evaluation.unlabelled.alarms
    if evaluation.payload is not None:
        yield from _payload_rates(evaluation.payload)
    if evaluation.embeddings is not None and evaluation.embeddings.probe is not None:
        yield "embedding_probe_accuracy", "all", evaluation.embeddings.probe.accuracy
        for name, one in evaluation.embeddings.classes.items():
            if one.recall is not None:
                yield "embedding_probe_recall", name, one.recall


def _payload_rates(payload: PayloadResult) -> Iterator[tuple[str, str, Proportion]]:
    for method, result in payload.methods.items():
        for one in result.bins:
            yield "detection_rate_by_embedding_rate", f"{method} {one.name} {result.unit}", one.detections
    for name, slices in payload.slices.items():
        for part in slices:
            if part.detections is not None:
                yield f"detection_rate_by_{name}", part.name, part.detections
            if part.false_positives is not None:
                yield f"false_positive_rate_by_{name}", part.name, part.false_positives
