"""`baseline_comparison.md`: an older model and its candidate on the same images, and what the paired tests decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE, SLICES, Comparison, Flips, PairedSlice
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.checks.checks import checked_latency
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import (
    NOT_MEASURED,
    decimal,
    integer,
    milliseconds,
    milliseconds_difference,
    p_value,
    percentage_points,
    rate,
    signed,
)
from starlight_exporter.publish.documents.ablation_table import ABLATION_HEADINGS, ablation_rows
from starlight_exporter.publish.documents.data_quality import data_quality
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, provenance_rows, table
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg
from starlight_exporter.statistics.intervals import Proportion, proportion

SHOWN_FLIPS: Final = 40

NOT_TESTED: Final = "not tested"

Decision = Literal["better", "worse", "mixed", "undecided"]


@dataclass(frozen=True, slots=True)
class OnDataset:
    """Both models on one dataset."""

    baseline: Evaluation
    candidate: Evaluation
    comparison: Comparison
    flips: Flips

    @property
    def name(self) -> str:
        """The dataset."""
        return self.candidate.dataset


@dataclass(frozen=True, slots=True)
class Judged:
    """A slice of a dataset with its adjusted p value (Benjamini and Hochberg over everything in the document)."""

    dataset: str
    name: str
    paired: PairedSlice
    adjusted: float | None

    @property
    def changed(self) -> int:
        """1: better beyond chance, -1: worse, 0: chance explains it, or nothing flipped."""
        if self.adjusted is None or self.adjusted > FALSE_DISCOVERY_RATE:
            return 0
        return 1 if self.paired.fixed > self.paired.broken else -1


def judged(results: Sequence[OnDataset]) -> tuple[Judged, ...]:
    """Every slice that holds images, of every dataset; the tests are corrected together."""
    found = [
        (result.name, name, result.comparison.slices[name])
        for result in results
        for name in SLICES
        if result.comparison.slices[name].images
    ]
    adjusted = benjamini_hochberg([paired.p_value for _, _, paired in found])
    return tuple(Judged(*entry, value) for entry, value in zip(found, adjusted, strict=True))


def decide(slices: Sequence[Judged]) -> Decision:
    """What the tests say together: better or worse only where no slice says otherwise."""
    signs = {entry.changed for entry in slices} - {0}
    if not signs:
        return "undecided"
    if signs == {1}:
        return "better"
    return "worse" if signs == {-1} else "mixed"


def document(results: Sequence[OnDataset], ablation: AblationStudy | None) -> str:
    """The whole text; every number is of the given results."""
    first = results[0]
    old, new = first.baseline.model, first.candidate.model
    slices = judged(results)
    parts = [
        f"# {old} against {new}",
        f"Both models saw the same images of {_listed([result.name for result in results])}. Rates come with their"
        " exact 95% interval and counts; every number is measured.",
        f"## Overall: {first.name}",
        table(("figure", old, new, "change", "direction", "p (paired)"), _overall(first)),
        "## Over all datasets",
        table(("dataset and slice", "images", "fixed", "broken", "p", "p adjusted", "says"), _slice_rows(slices)),
        f"Fixed: {old} was wrong and {new} is right; broken: the other way round. p: exact McNemar test; adjusted:"
        f" Benjamini and Hochberg over all rows, called a change up to {FALSE_DISCOVERY_RATE:g}.",
        "## The same model over several datasets",
        table(("model and dataset", "false positives", "detection", "ROC AUC", "log loss"), _across(results)),
        "A model whose rates differ between datasets is not a worse model: the datasets differ. Only rows of one"
        " dataset compare.",
        "## The data behind it",
        *data_quality([one for result in results for one in (result.baseline, result.candidate)]),
        f"## What each stream is worth to {new}" + ("" if ablation is None else f" on {ablation.dataset}"),
        _ablation(ablation),
        "## Key insight",
        insight(slices, ablation),
        "## Conclusion",
        conclusion(slices, old, new),
        "## Files that flipped",
        *_flips(results),
        "## Provenance",
        table(PROVENANCE_HEADINGS, provenance_rows(one for r in results for one in (r.baseline, r.candidate))),
    ]
    return "\n\n".join(parts) + "\n"


def insight(slices: Sequence[Judged], ablation: AblationStudy | None) -> str:
    """The largest change beyond chance, and the stream that carries most, if one is told apart from chance."""
    changed = [entry for entry in slices if entry.changed and entry.name not in ("stego",)]
    sentences = []
    if changed:
        top = max(changed, key=lambda entry: abs(entry.paired.fixed - entry.paired.broken) / entry.paired.images)
        net = top.paired.fixed - top.paired.broken
        sentences.append(
            f"The largest change is among {top.name} images of {top.dataset}: {abs(net)} of {top.paired.images}"
            f" verdicts {'more are right' if net > 0 else 'more are wrong'} (adjusted p {p_value(top.adjusted)})."
        )
    else:
        sentences.append("No slice changed beyond what chance explains.")
    growths = [] if ablation is None else [(e.stream, e.log_loss_increase) for e in ablation.ablation.effects]
    measured = [(stream, growth) for stream, growth in growths if growth is not None]
    needed = [(stream, growth) for stream, growth in measured if growth.lower is not None and growth.lower > 0]
    if needed:
        stream, growth = needed[0]
        sentences.append(
            f"It leans most on the stream `{stream}`: without it the log loss grows by {growth.value:.3f} nats."
        )
    elif measured:
        sentences.append(
            "No stream is shown to be needed: whichever is lost, chance explains a growth of the log loss."
        )
    return " ".join(sentences)


def conclusion(slices: Sequence[Judged], old: str, new: str) -> str:
    """What may be said, and no more."""
    better = [f"{entry.name} ({entry.dataset})" for entry in slices if entry.changed > 0]
    worse = [f"{entry.name} ({entry.dataset})" for entry in slices if entry.changed < 0]
    match decide(slices):
        case "better":
            return f"{new} is better than {old}: {_listed(better)} improved beyond chance, nothing got worse beyond it."
        case "worse":
            return f"{new} is worse than {old}: {_listed(worse)} got worse beyond chance, nothing improved beyond it."
        case "mixed":
            return (
                f"The tests point both ways and do not decide: {_listed(better)} improved, {_listed(worse)} got worse."
            )
        case "undecided":
            return "The tests do not decide: chance explains every difference on these images."


def _overall(result: OnDataset) -> Iterator[tuple[str, ...]]:
    old, new, slices = result.baseline, result.candidate, result.comparison.slices
    yield _rate_row("false positive rate", old.clean, new.clean, slices["clean"], good=-1)
    yield _rate_row("detection, all methods", old.stego, new.stego, slices["stego"], good=1)
    for method in METHODS:
        yield _rate_row(
            f"detection, {method}", old.detections.get(method), new.detections.get(method), slices[method], good=1
        )
    for name in dict.fromkeys((*old.clean_by_format, *new.clean_by_format)):
        yield _rate_row(
            f"false positives, {name}",
            old.clean_by_format.get(name),
            new.clean_by_format.get(name),
            None,
            good=-1,
        )
    yield _rate_row("false positives, all negatives", _negatives(old), _negatives(new), slices["negative"], good=-1)
    for category in dict.fromkeys((*old.negatives, *new.negatives)):
        yield _rate_row(
            f"false positives, negatives: {category}",
            old.negatives.get(category),
            new.negatives.get(category),
            None,
            good=-1,
        )
    for title, before, after in (
        ("ROC AUC", old.roc_auc, new.roc_auc),
        ("log loss", old.log_loss, new.log_loss),
        ("calibration error", old.expected_calibration_error, new.expected_calibration_error),
    ):
        yield (title, decimal(before), decimal(after), *_change(before, after, signed), NOT_TESTED)
    before, after = _p95(old), _p95(new)
    shown = ("latency p95", milliseconds(before), milliseconds(after))
    yield (*shown, *_change(before, after, milliseconds_difference), NOT_TESTED)


def _rate_row(
    title: str,
    before: Proportion | None,
    after: Proportion | None,
    paired: PairedSlice | None,
    *,
    good: int,
) -> tuple[str, ...]:
    old = None if before is None else before.ratio
    new = None if after is None else after.ratio
    test = NOT_TESTED if paired is None else p_value(paired.p_value) if paired.images else ""
    change = _change(old, new, percentage_points, good=None if paired is None else good)
    return (title, rate(before), rate(after), *change, test)


def _change(
    before: float | None, after: float | None, form: Callable[[float], str], *, good: int | None = None
) -> tuple[str, str]:
    if before is None or after is None:
        return NOT_MEASURED, ""
    difference = after - before
    if difference == 0:
        direction = "same"
    elif good is None:
        # Without a test nobody knows whether it is more than chance, or than what else the machine did.
        direction = "higher" if difference > 0 else "lower"
    else:
        direction = "better" if difference * good > 0 else "worse"
    return form(difference), direction


def _negatives(evaluation: Evaluation) -> Proportion:
    categories = evaluation.negatives.values()
    return proportion(sum(each.count for each in categories), sum(each.total for each in categories))


def _p95(evaluation: Evaluation) -> float | None:
    measured = checked_latency(evaluation)
    return None if measured is None else measured.seconds


def _slice_rows(slices: Sequence[Judged]) -> Iterator[tuple[str, ...]]:
    for entry in slices:
        says = {1: "better", -1: "worse", 0: "no change beyond chance"}[entry.changed]
        yield (
            f"{entry.dataset}, {entry.name}",
            integer(entry.paired.images),
            integer(entry.paired.fixed),
            integer(entry.paired.broken),
            p_value(entry.paired.p_value),
            p_value(entry.adjusted),
            says,
        )


def _across(results: Sequence[OnDataset]) -> Iterator[tuple[str, ...]]:
    for result in results:
        for one in (result.baseline, result.candidate):
            yield (
                f"{one.model} on {one.dataset}",
                rate(one.clean),
                rate(one.stego),
                decimal(one.roc_auc),
                decimal(one.log_loss),
            )


def _ablation(study: AblationStudy | None) -> str:
    if study is None:
        return f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}."
    return "\n\n".join(
        (
            table(ABLATION_HEADINGS, ablation_rows(study)),
            f"One stream replaced by {study.ablation.mode}s, {study.ablation.images} images of {study.dataset}, most"
            " harmful first. A stream that no image carries is not measurable; that is not the same as worthless.",
        )
    )


def _flips(results: Sequence[OnDataset]) -> Iterator[str]:
    for result in results:
        for title, flips in (("Broken", result.flips.broken), ("Fixed", result.flips.fixed)):
            shown = [f"`{flip.after.path}`" for flip in flips[:SHOWN_FLIPS]]
            rest = len(flips) - len(shown)
            more = f", and {rest} more (in the prediction tables)" if rest else ""
            yield f"{title} on {result.name}: {', '.join(shown) or 'none'}{more}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
