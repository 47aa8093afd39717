"""One sentence about the checks that pass inconclusively, with the sample sizes for a conclusion."""

from __future__ import annotations

from collections.abc import Sequence

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import integer
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.sample_sizes import SampleSize, sample_for_conclusion


def inconclusive_text(evaluation: Evaluation, checks: Sequence[CheckResult]) -> str:
    """Return `2 of 21 checks are inconclusive with 2,000 images (…)`; empty if every result is conclusive."""
    measured = [check for check in checks if check.passed is not None and check.severity != "info"]
    inconclusive = [check for check in measured if check.conclusion == "pass (inconclusive)"]
    if not inconclusive:
        return ""
    count = f"{integer(len(inconclusive))} of {integer(len(measured))} checks"
    verb = "is" if len(inconclusive) == 1 else "are"
    text = f"{count} {verb} inconclusive with {integer(evaluation.images)} images"
    needed = ", ".join(_needed(evaluation, inconclusive))
    return f"{text} ({needed})" if needed else text


def sample_for_check(evaluation: Evaluation, check: CheckResult) -> SampleSize | None:
    """Return the sample that would confirm an inconclusive pass; None for a limit that depends on the baseline."""
    rate = _rate(evaluation, check)
    if rate is None or check.limit is None or check.conclusion != "pass (inconclusive)":
        return None
    return sample_for_conclusion(rate, check.limit)


def sample_text(sample: SampleSize, images: str = "images") -> str:
    """Return `about 7,376 clean images`, or the number of covers if images share covers."""
    return f"about {integer(sample.images)} {images}" + (
        "" if sample.covers is None else f" from {integer(sample.covers)} covers"
    )


def _needed(evaluation: Evaluation, inconclusive: Sequence[CheckResult]) -> list[str]:
    """Return the largest sample that each kind of target needs."""
    texts = []
    for name, images, target in (
        ("fpr_target", "clean images", "the false positive target"),
        ("detection_target", "stego images of a method", "its detection target"),
        ("negatives", "hard negatives of a category", "its limit"),
    ):
        samples = [sample_for_check(evaluation, check) for check in inconclusive if check.name == name]
        largest = max((one for one in samples if one is not None), key=lambda one: one.images, default=None)
        if largest is not None:
            texts.append(f"{sample_text(largest, images)} would decide {target}")
    return texts


def _rate(evaluation: Evaluation, check: CheckResult) -> Proportion | None:
    match check.name:
        case "fpr_target":
            return evaluation.clean
        case "detection_floor" | "detection_target":
            return next((rate for method, rate in evaluation.detections.items() if method == check.slice), None)
        case "negatives":
            return evaluation.negatives.get(check.slice)
        case _:
            return None
