"""`model_variants.md`: every model on the same images, with the best of each column marked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE, flips, paired_slice
from starlight_exporter.analysis.figure_changes import figure_changes
from starlight_exporter.checks.latency_checks import checked_latency
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.formatting import NOT_MEASURED, decimal, milliseconds, rate, size
from starlight_exporter.publish.documents.figure_tests import evaluation_text
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, RATE_NOTE, provenance_rows, table
from starlight_exporter.publish.figure_texts import TITLES
from starlight_exporter.statistics.figure_intervals import FigureDifference
from starlight_exporter.statistics.figures_of_merit import LARGER_IS_BETTER, Figure
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg
from starlight_exporter.statistics.intervals import Proportion

BEST, NOT_SIGNIFICANT = "★", "≈"
_RESAMPLING_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Variant:
    """One model with its evaluation and predictions, or the `problem` that prevented the evaluation."""

    name: str
    title: str
    evaluation: Evaluation | None
    predictions: Sequence[Prediction]
    problem: str | None
    has_card: bool = True

    def label(self) -> str:
        """Return the name, marked if the model has no card."""
        return self.name if self.has_card else f"{self.name} (no card)"


@dataclass(frozen=True, slots=True)
class VariantColumn:
    """A metric: its text, its value for the ranking, and the slice or figure of its paired test (both None: none)."""

    title: str
    text: Callable[[Evaluation], str]
    value: Callable[[Evaluation], float | None]
    larger_is_better: bool
    slice: str | None = None
    figure: Figure | None = None


def _rate(
    title: str, select: Callable[[Evaluation], Proportion | None], slice_name: str, *, larger_is_better: bool
) -> VariantColumn:
    def value(evaluation: Evaluation) -> float | None:
        proportion = select(evaluation)
        return None if proportion is None else proportion.ratio

    return VariantColumn(title, lambda e: rate(select(e)), value, larger_is_better, slice_name)


def _detection_rate(name: str) -> VariantColumn:
    def select(evaluation: Evaluation) -> Proportion | None:
        return next((found for method, found in evaluation.detections.items() if method == name), None)

    return _rate(name, select, name, larger_is_better=True)


def _figure(figure: Figure) -> VariantColumn:
    def value(evaluation: Evaluation) -> float | None:
        return None if evaluation.figures is None else evaluation.figures.figures[figure].value

    return VariantColumn(
        TITLES[figure],
        lambda e: evaluation_text(e, figure),
        value,
        LARGER_IS_BETTER[figure],
        figure=figure,
    )


def _p95(evaluation: Evaluation) -> float | None:
    measured = checked_latency(evaluation)
    return None if measured is None else measured.seconds


COLUMNS: Final[tuple[VariantColumn, ...]] = (
    _rate("false positive rate", lambda e: e.clean, "clean", larger_is_better=False),
    _rate("detection rate", lambda e: e.stego, "stego", larger_is_better=True),
    *(_detection_rate(name) for name in METHODS),
    _figure("p_e"),
    _figure("detection_at_1_percent_fpr"),
    VariantColumn("log loss", lambda e: decimal(e.log_loss), lambda e: e.log_loss, larger_is_better=False),
    VariantColumn("latency p95", lambda e: milliseconds(_p95(e)), _p95, larger_is_better=False),
    VariantColumn(
        "size",
        lambda e: size(e.model_facts.size_bytes),
        lambda e: float(e.model_facts.size_bytes),
        larger_is_better=False,
    ),
)


def marks(variants: Sequence[Variant]) -> dict[tuple[str, str], str]:
    """Map (model, column) to BEST, or to NOT_SIGNIFICANT if the adjusted paired test against the best is not."""
    measured = [variant for variant in variants if variant.evaluation is not None]
    found: dict[tuple[str, str], str] = {}
    # Columns of figures often have the same best model.
    changes: dict[tuple[str, str], dict[Figure, FigureDifference]] = {}
    tests: list[tuple[tuple[str, str], float | None]] = []
    for column in COLUMNS:
        values = {v.name: column.value(v.evaluation) for v in measured if v.evaluation is not None}
        known = {name: value for name, value in values.items() if value is not None}
        if len(known) < 2:
            continue
        best_value = (max if column.larger_is_better else min)(known.values())
        best = next(variant for variant in measured if known.get(variant.name) == best_value)
        for variant in measured:
            if known.get(variant.name) == best_value:
                found[variant.name, column.title] = BEST
            elif column.slice is not None and variant.name in known:
                paired = paired_slice(flips(best.predictions, variant.predictions), column.slice)
                tests.append(((variant.name, column.title), paired.p_value))
            elif column.figure is not None and variant.name in known:
                pair = (best.name, variant.name)
                if pair not in changes:
                    changes[pair] = figure_changes(best.predictions, variant.predictions, seed=_RESAMPLING_SEED)
                change = changes[pair][column.figure]
                if change.value is not None:
                    tests.append(((variant.name, column.title), change.p_value))
    adjusted = benjamini_hochberg([p for _, p in tests])
    for (key, _), value in zip(tests, adjusted, strict=True):
        if value is None or value > FALSE_DISCOVERY_RATE:
            found[key] = NOT_SIGNIFICANT
    return found


def cells(variants: Sequence[Variant]) -> Iterator[tuple[str, ...]]:
    """Yield one row per model with its marks, or with the reason why it was not measured."""
    marked = marks(variants)
    for variant in variants:
        if variant.evaluation is None:
            yield (variant.label(), variant.problem or NOT_MEASURED, *([""] * (len(COLUMNS) - 1)))
            continue
        texts = ((column.title, column.text(variant.evaluation)) for column in COLUMNS)
        yield (variant.label(), *(f"{text} {marked.get((variant.name, title), '')}".rstrip() for title, text in texts))


def headings() -> tuple[str, ...]:
    """Return the headings of the rows of `cells`."""
    return ("model", *(column.title for column in COLUMNS))


def document(variants: Sequence[Variant]) -> str:
    """Return the comparison of all models, with their provenance, as markdown."""
    measured = [variant.evaluation for variant in variants if variant.evaluation is not None]
    titles = "\n".join(f"- **{variant.name}**: {variant.title}" for variant in variants if variant.title)
    name = measured[0].dataset if measured else NOT_MEASURED
    parts = (
        "# Model variants",
        f"All models on the same images of {name}. {RATE_NOTE}",
        table(headings(), cells(variants)),
        f"{BEST}: best in its column; {NOT_SIGNIFICANT}: not significantly different from the best (exact McNemar test"
        " on the same images, for figures of merit random swaps of the two models by cover; Benjamini-Hochberg over the"
        f" table, {FALSE_DISCOVERY_RATE:g}). Latencies are from one run.",
        *(("## Descriptions", titles) if titles else ()),
        "## Provenance",
        table(PROVENANCE_HEADINGS, provenance_rows(measured)),
    )
    return "\n\n".join(parts) + "\n"
