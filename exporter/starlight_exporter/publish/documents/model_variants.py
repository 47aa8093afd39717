"""`model_variants.md`: every model on the same images, with the best of each column marked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.analysis.model_pairs import PairTest, metric_tests
from starlight_exporter.analysis.paired_images import FIGURE_SWAPS
from starlight_exporter.analysis.study_metrics import (
    RATE_METRICS,
    FigureMetric,
    StudyMetric,
    larger_is_better,
    metric_value,
)
from starlight_exporter.checks.latency_checks import checked_latency
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.formatting import NOT_MEASURED, decimal, milliseconds, size
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, RATE_NOTE, provenance_rows, table
from starlight_exporter.publish.documents.model_study import metric_text, metric_title
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg

BEST, NOT_SIGNIFICANT = "★", "≈"
_SEED: Final = 0
"""Of random swaps and resamples."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One model with its result, or the `problem` that prevented the evaluation."""

    name: str
    title: str
    result: RunResult | None
    problem: str | None
    has_card: bool = True

    def label(self) -> str:
        """Return the name, marked if the model has no card."""
        return self.name if self.has_card else f"{self.name} (no card)"


@dataclass(frozen=True, slots=True)
class VariantColumn:
    """A column: its text, its value for the ranking, and the metric of its paired test (None: none)."""

    title: str
    text: Callable[[RunResult], str]
    value: Callable[[RunResult], float | None]
    larger_is_better: bool = False
    metric: StudyMetric | None = None


def _tested(metric: StudyMetric) -> VariantColumn:
    return VariantColumn(
        metric_title(metric),
        lambda result: metric_text(result, metric),
        lambda result: metric_value(metric, result),
        larger_is_better(metric),
        metric,
    )


def _p95(evaluation: Evaluation) -> float | None:
    measured = checked_latency(evaluation)
    return None if measured is None else measured.seconds


COLUMNS: Final[tuple[VariantColumn, ...]] = (
    *map(_tested, RATE_METRICS),
    _tested(FigureMetric("p_e")),
    _tested(FigureMetric("detection_at_1_percent_fpr")),
    VariantColumn("log loss", lambda r: decimal(r.evaluation.log_loss), lambda r: r.evaluation.log_loss),
    VariantColumn("latency p95", lambda r: milliseconds(_p95(r.evaluation)), lambda r: _p95(r.evaluation)),
    VariantColumn(
        "size",
        lambda r: size(r.evaluation.model_facts.size_bytes),
        lambda r: float(r.evaluation.model_facts.size_bytes),
    ),
)


def marks(variants: Sequence[Variant]) -> dict[tuple[str, str], str]:
    """Map (model, column) to BEST, or to NOT_SIGNIFICANT if the adjusted paired test against the best is not."""
    measured = {variant.name: variant.result for variant in variants if variant.result is not None}
    found: dict[tuple[str, str], str] = {}
    # Columns often have the same best model.
    pairs: dict[tuple[str, str], dict[StudyMetric, PairTest]] = {}
    tests: list[tuple[tuple[str, str], float | None]] = []
    for column in COLUMNS:
        values = {name: column.value(result) for name, result in measured.items()}
        known = {name: value for name, value in values.items() if value is not None}
        if len(known) < 2:
            continue
        best_value = (max if column.larger_is_better else min)(known.values())
        best = next(name for name, value in known.items() if value == best_value)
        for name, own in known.items():
            if own == best_value:
                found[name, column.title] = BEST
            elif column.metric is not None:
                if (best, name) not in pairs:
                    one = metric_tests(measured[best], measured[name], seed=_SEED, swaps=FIGURE_SWAPS)
                    pairs[best, name] = {test.metric: test for test in one}
                test = pairs[best, name][column.metric]
                if test.value is not None:
                    tests.append(((name, column.title), test.p_value))
    adjusted = benjamini_hochberg([p for _, p in tests])
    for (key, _), p_value in zip(tests, adjusted, strict=True):
        if p_value is None or p_value > FALSE_DISCOVERY_RATE:
            found[key] = NOT_SIGNIFICANT
    return found


def cells(variants: Sequence[Variant]) -> Iterator[tuple[str, ...]]:
    """Yield one row per model with its marks, or with the reason why it was not measured."""
    marked = marks(variants)
    for variant in variants:
        if variant.result is None:
            yield (variant.label(), variant.problem or NOT_MEASURED, *([""] * (len(COLUMNS) - 1)))
            continue
        texts = ((column.title, column.text(variant.result)) for column in COLUMNS)
        yield (variant.label(), *(f"{text} {marked.get((variant.name, title), '')}".rstrip() for title, text in texts))


def headings() -> tuple[str, ...]:
    """Return the headings of the rows of `cells`."""
    return ("model", *(column.title for column in COLUMNS))


def document(variants: Sequence[Variant]) -> str:
    """Return the comparison of all models, with their provenance, as markdown."""
    measured = [variant.result.evaluation for variant in variants if variant.result is not None]
    titles = "\n".join(f"- **{variant.name}**: {variant.title}" for variant in variants if variant.title)
    name = measured[0].dataset if measured else NOT_MEASURED
    parts = (
        "# Model variants",
        f"All models on the same images of {name}. {RATE_NOTE}",
        table(headings(), cells(variants)),
        f"{BEST}: best in its column; {NOT_SIGNIFICANT}: not significantly different from the best (the paired tests"
        " of a study: rates by flipped signs of whole covers, figures of merit by random swaps of the two models by"
        f" cover; Benjamini-Hochberg over the table, {FALSE_DISCOVERY_RATE:g}). Latencies are from one run.",
        *(("## Descriptions", titles) if titles else ()),
        "## Provenance",
        table(PROVENANCE_HEADINGS, provenance_rows(measured)),
    )
    return "\n\n".join(parts) + "\n"
