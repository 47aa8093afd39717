"""Source gaps: differences of a model's rates between datasets, and between the file formats of one dataset.

A detector may perform worse on covers from other cameras, software or formats than it was trained on (cover-source
mismatch), which the rate over a mixture hides. Each slice is compared with the other images of the same model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.statistics.hypothesis_tests import fisher_p_value
from starlight_exporter.statistics.intervals import Proportion, difference_interval, proportion

GapRate = Literal["false_positive"] | Method
GAP_RATES: Final[tuple[GapRate, ...]] = ("false_positive", *METHODS)


@dataclass(frozen=True, slots=True)
class Gap:
    """Rate of one slice minus that of the others, with its 95% interval and the p-value of Fisher's exact test.

    `image_format` is None if this dataset is compared with the other datasets of the model; otherwise the clean files
    of this format are compared with those of the other formats. `rate` is false_positive or the method detected.
    """

    model: str
    dataset: str
    image_format: ImageFormat | None
    rate: GapRate
    here: Proportion
    elsewhere: Proportion
    difference: float
    lower: float
    upper: float
    p_value: float


def format_gaps(evaluation: Evaluation) -> tuple[Gap, ...]:
    """Compare the false positive rate of each format with that of the other formats of the dataset."""
    found = []
    for name, here in evaluation.clean_by_format.items():
        rest = [other for format_, other in evaluation.clean_by_format.items() if format_ != name]
        gap = _gap(evaluation, name, "false_positive", here, rest)
        found += [gap] if gap is not None else []
    return tuple(found)


def dataset_gaps(evaluations: Iterable[Evaluation]) -> tuple[Gap, ...]:
    """Compare the rates on each dataset with those of the same model file and decision rule on other datasets.

    Datasets with equal content count once.
    """
    every = list(evaluations)
    found = []
    for one in every:
        others: dict[str, Evaluation] = {}
        for other in every:
            if _other_dataset(one, other):
                others.setdefault(other.provenance.dataset_fingerprint, other)
        for rate in GAP_RATES:
            gap = _gap(one, None, rate, _rate(one, rate), [_rate(other, rate) for other in others.values()])
            found += [gap] if gap is not None else []
    return tuple(found)


def _gap(
    evaluation: Evaluation,
    image_format: ImageFormat | None,
    rate: GapRate,
    here: Proportion,
    rest: Sequence[Proportion],
) -> Gap | None:
    elsewhere = proportion(sum(other.count for other in rest), sum(other.total for other in rest))
    if here.total == 0 or elsewhere.total == 0:
        return None
    lower, upper = difference_interval(here, elsewhere)
    return Gap(
        model=evaluation.model,
        dataset=evaluation.dataset,
        image_format=image_format,
        rate=rate,
        here=here,
        elsewhere=elsewhere,
        difference=here.count / here.total - elsewhere.count / elsewhere.total,
        lower=lower,
        upper=upper,
        p_value=fisher_p_value(here, elsewhere),
    )


def _other_dataset(one: Evaluation, other: Evaluation) -> bool:
    ours, theirs = one.provenance, other.provenance
    return (
        one.model == other.model
        and not differences(ours, theirs, "model", "rule")
        and differences(ours, theirs, "images") != ""
    )


def _rate(evaluation: Evaluation, rate: GapRate) -> Proportion:
    return evaluation.clean if rate == "false_positive" else evaluation.detections[rate]
