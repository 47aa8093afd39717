"""`baseline_comparison.md`: a baseline model and its candidate on the same images, with paired tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE, FlipDirection
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.formatting import NOT_MEASURED, decimal, integer, p_value, rate
from starlight_exporter.publish.documents.ablation_table import ABLATION_HEADINGS, ABLATION_NOTE, ablation_rows
from starlight_exporter.publish.documents.data_quality import data_quality
from starlight_exporter.publish.documents.figure_tests import HEADINGS, figure_rows
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, RATE_NOTE, provenance_rows, table
from starlight_exporter.publish.documents.metric_changes import metric_changes
from starlight_exporter.publish.documents.slice_tests import (
    DatasetComparison,
    SliceTest,
    overall_conclusion,
    slice_tests,
)

LISTED_FLIPS: Final = 40


def document(results: Sequence[DatasetComparison], ablation: AblationStudy | None) -> str:
    """Return the text of the document; the first dataset has the table of all metrics."""
    first = results[0]
    old, new = first.baseline.model, first.candidate.model
    tests = slice_tests(results)
    parts = [
        f"# Baseline comparison: {old} and {new}",
        f"Both models on the same images of {_listed([result.name for result in results])}. {RATE_NOTE}",
        f"## Metrics on {first.name}",
        table(("metric", old, new, "difference", "direction", "p (McNemar)"), metric_changes(first)),
        "## Paired tests on all datasets",
        table(("dataset and slice", "images", "fixed", "broken", "p", "adjusted p", "result"), _test_rows(tests)),
        f"Fixed: misclassified by {old}, classified correctly by {new}; broken: the reverse. p: exact McNemar test, –"
        " without flips; adjusted (Benjamini-Hochberg) over all rows, statistically significant up to"
        f" {FALSE_DISCOVERY_RATE:g}.",
        "## Figures of merit",
        table(HEADINGS, figure_rows(results)),
        "Of the stego probability of clean and stego images, independent of the decision rules; 95% intervals from"
        " resampled covers. Difference: on the images that both models measured, with the same resampled covers; p:"
        " permutation test with random swaps of the models by cover; adjusted (Benjamini-Hochberg) over all rows.",
        "## Metrics by dataset",
        table(
            ("model and dataset", "false positive rate", "detection rate", "ROC AUC", "log loss"), _by_dataset(results)
        ),
        "Rates on different datasets are not comparable: the datasets differ. Compare rows of one dataset only.",
        "## Data-quality risks",
        *data_quality([one for result in results for one in (result.baseline, result.candidate)]),
        f"## Stream ablation: {new}" + ("" if ablation is None else f" on {ablation.dataset}"),
        _ablation(ablation),
        "## Key insight",
        insight(tests, ablation),
        "## Conclusion",
        conclusion(tests, old, new),
        "## Flipped files",
        *_flipped_files(results),
        "## Provenance",
        table(PROVENANCE_HEADINGS, provenance_rows(one for r in results for one in (r.baseline, r.candidate))),
    ]
    return "\n\n".join(parts) + "\n"


def insight(tests: Sequence[SliceTest], ablation: AblationStudy | None) -> str:
    """Return the largest significant change, and the most important stream if its effect is significant."""
    # All stego images are left out: their change is the sum of those of the methods.
    significant = [test for test in tests if test.significant and test.name != "stego"]
    sentences = ["No slice changed significantly."]
    if significant:
        top = max(significant, key=lambda test: abs(test.paired.fixed - test.paired.broken) / test.paired.images)
        sentences = [
            f"Largest significant change: {top.name} images of {top.dataset}, {integer(top.paired.fixed)} fixed and"
            f" {integer(top.paired.broken)} broken of {integer(top.paired.images)}"
            f" (adjusted p {p_value(top.adjusted)})."
        ]
    effects = () if ablation is None else ablation.ablation.effects
    increases = [(one.stream, one.log_loss_increase) for one in effects if one.log_loss_increase is not None]
    important = [(stream, value) for stream, value in increases if value.lower is not None and value.lower > 0]
    if important:
        stream, increase = important[0]
        sentences.append(
            f"Most important stream: `{stream}` (log loss increases by {decimal(increase.value, 3)} nats without it)."
        )
    elif increases:
        sentences.append("No ablated stream increases the log loss significantly.")
    return " ".join(sentences)


def conclusion(tests: Sequence[SliceTest], old: str, new: str) -> str:
    """Return the overall conclusion with the slices it is based on."""
    better = [f"{test.name} ({test.dataset})" for test in tests if test.conclusion == "better"]
    worse = [f"{test.name} ({test.dataset})" for test in tests if test.conclusion == "worse"]
    match overall_conclusion(tests):
        case "better":
            return (
                f"{new} is better than {old}: significant improvement on {_listed(better)}, no significant regression."
            )
        case "worse":
            return f"{new} is worse than {old}: significant regression on {_listed(worse)}, no significant improvement."
        case "mixed":
            return f"Mixed: significant improvement on {_listed(better)}, significant regression on {_listed(worse)}."
        case "not significant":
            return "No difference on these images is statistically significant."


def _test_rows(tests: Sequence[SliceTest]) -> Iterator[tuple[str, ...]]:
    for test in tests:
        yield (
            f"{test.dataset}, {test.name}",
            integer(test.paired.images),
            integer(test.paired.fixed),
            integer(test.paired.broken),
            p_value(test.paired.p_value),
            p_value(test.adjusted),
            test.conclusion,
        )


def _by_dataset(results: Sequence[DatasetComparison]) -> Iterator[tuple[str, ...]]:
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
        return f"{NOT_MEASURED.capitalize()}."
    return "\n\n".join(
        (
            f"{integer(study.ablation.images)} images, mode `{study.ablation.mode}`.",
            table(ABLATION_HEADINGS, ablation_rows(study)),
            ABLATION_NOTE,
        )
    )


def _flipped_files(results: Sequence[DatasetComparison]) -> Iterator[str]:
    for result in results:
        directions: tuple[FlipDirection, ...] = ("broken", "fixed")
        for direction in directions:
            listed = [f"`{flip.after.path}`" for flip in result.flips.files(direction, LISTED_FLIPS)]
            rest = int(result.flips.chosen(direction).sum()) - len(listed)
            more = f", and {integer(rest)} more (see the prediction tables)" if rest else ""
            yield f"{direction.capitalize()} on {result.name}: {', '.join(listed) or 'none'}{more}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
