"""Cover-source mismatch: how far one model's rates differ between datasets, and between file formats of one dataset.

A detector knows the covers that it was trained on; on other cameras, other software or another format it may be worse,
and a rate over a mixture hides that. Each slice is held against the rest of the same model's images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.statistics.hypothesis_tests import fisher_p_value
from starlight_exporter.statistics.intervals import Proportion, difference_interval, proportion

Rate = Literal["false_positive"] | Method
RATES: tuple[Rate, ...] = ("false_positive", *METHODS)


@dataclass(frozen=True, slots=True)
class Gap:
    """One slice's rate minus that of the rest, with a 95 % interval and an exact p value for "no difference".

    `image_format` None: this dataset against the model's other datasets; else: this format's clean files against the
    dataset's other formats. `rate` is false_positive, or the method whose detection it is.
    """

    model: str
    dataset: str
    image_format: ImageFormat | None
    rate: Rate
    here: Proportion
    elsewhere: Proportion
    difference: float
    lower: float
    upper: float
    p_value: float


def format_gaps(evaluation: Evaluation) -> tuple[Gap, ...]:
    """False positive rate of each format's clean files against the other formats', where both have files."""
    found = []
    for name, here in evaluation.clean_by_format.items():
        rest = [other for format_, other in evaluation.clean_by_format.items() if format_ != name]
        gap = _gap(evaluation, name, "false_positive", here, rest)
        found += [gap] if gap is not None else []
    return tuple(found)


def dataset_gaps(evaluations: Iterable[Evaluation]) -> tuple[Gap, ...]:
    """Each dataset's rates against those of the same model file and decision rule on other datasets.

    Datasets of the same content under several names count once.
    """
    every = list(evaluations)
    found = []
    for one in every:
        others: dict[str, Evaluation] = {}
        for other in every:
            if _same_model_elsewhere(one, other):
                others.setdefault(other.provenance.dataset_fingerprint, other)
        for rate in RATES:
            gap = _gap(one, None, rate, _rate(one, rate), [_rate(other, rate) for other in others.values()])
            found += [gap] if gap is not None else []
    return tuple(found)


# Whoever shows the gaps of unchanged results asks for the same counts again and again.


def _gap(
    evaluation: Evaluation, image_format: ImageFormat | None, rate: Rate, here: Proportion, rest: Sequence[Proportion]
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


def _same_model_elsewhere(one: Evaluation, other: Evaluation) -> bool:
    ours, theirs = one.provenance, other.provenance
    return (
        one.model == other.model
        and not differences(ours, theirs, "model", "rule")
        and differences(ours, theirs, "images") != ""
    )


def _rate(evaluation: Evaluation, rate: Rate) -> Proportion:
    return evaluation.clean if rate == "false_positive" else evaluation.detections[rate]
