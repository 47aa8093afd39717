"""`model_variants.md`: every model of a folder on the same images, the best of each column, what chance explains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE, flips, paired_slice
from starlight_exporter.checks.checks import checked_latency
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.formatting import NOT_MEASURED, decimal, milliseconds, rate, size
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, provenance_rows, table
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg
from starlight_exporter.statistics.intervals import Proportion

BEST, ALIKE = "★", "≈"


@dataclass(frozen=True, slots=True)
class Variant:
    """One model: its evaluation and predictions, or why there are none."""

    name: str
    title: str
    evaluation: Evaluation | None
    predictions: tuple[Prediction, ...]
    problem: str | None
    has_card: bool = True

    def label(self) -> str:
        """Its name, and that nobody says what it is where there is no card."""
        return self.name if self.has_card else f"{self.name} (no card)"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a model: how it is shown, what it is ranked by (None: not at all), and which slice tests it."""

    title: str
    text: Callable[[Evaluation], str]
    value: Callable[[Evaluation], float | None]
    larger_is_better: bool
    slice: str | None = None


def _ratio(pick: Callable[[Evaluation], Proportion | None]) -> Callable[[Evaluation], float | None]:
    def value(evaluation: Evaluation) -> float | None:
        proportion = pick(evaluation)
        return None if proportion is None else proportion.ratio

    return value


def _method(name: str) -> Column:
    def pick(evaluation: Evaluation) -> Proportion | None:
        return next((rate for method, rate in evaluation.detections.items() if method == name), None)

    return Column(name, lambda e: rate(pick(e)), _ratio(pick), larger_is_better=True, slice=name)


def _p95(evaluation: Evaluation) -> float | None:
    measured = checked_latency(evaluation)
    return None if measured is None else measured.seconds


COLUMNS: Final[tuple[Column, ...]] = (
    Column("false positives", lambda e: rate(e.clean), _ratio(lambda e: e.clean), False, "clean"),
    Column("detection", lambda e: rate(e.stego), _ratio(lambda e: e.stego), True, "stego"),
    *(_method(name) for name in METHODS),
    Column("log loss", lambda e: decimal(e.log_loss), lambda e: e.log_loss, False),
    Column("p95", lambda e: milliseconds(_p95(e)), _p95, False),
    Column("size", lambda e: size(e.model_facts.size_bytes), lambda e: float(e.model_facts.size_bytes), False),
)


def marks(variants: Sequence[Variant]) -> dict[tuple[str, str], str]:
    """(model, column) → BEST, or ALIKE where a paired test cannot tell it from the best (Benjamini and Hochberg)."""
    measured = [variant for variant in variants if variant.evaluation is not None]
    found: dict[tuple[str, str], str] = {}
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
    adjusted = benjamini_hochberg([p for _, p in tests])
    for (key, _), value in zip(tests, adjusted, strict=True):
        if value is None or value > FALSE_DISCOVERY_RATE:
            found[key] = ALIKE
    return found


def cells(variants: Sequence[Variant]) -> Iterator[tuple[str, ...]]:
    """One row per model, marked; a model that could not be measured says why."""
    marked = marks(variants)
    for variant in variants:
        if variant.evaluation is None:
            yield (variant.label(), variant.problem or NOT_MEASURED, *([""] * (len(COLUMNS) - 1)))
            continue
        texts = ((column.title, column.text(variant.evaluation)) for column in COLUMNS)
        yield (variant.label(), *(f"{text} {marked.get((variant.name, title), '')}".rstrip() for title, text in texts))


def headings() -> tuple[str, ...]:
    """Of the rows that `cells` gives."""
    return ("model", *(column.title for column in COLUMNS))


def document(variants: Sequence[Variant]) -> str:
    """The whole text; every number is of the given results."""
    measured = [variant.evaluation for variant in variants if variant.evaluation is not None]
    titles = "\n".join(f"- **{variant.name}**: {variant.title}" for variant in variants if variant.title)
    name = measured[0].dataset if measured else NOT_MEASURED
    return (
        "\n\n".join(
            (
                "# Model variants",
                f"Every model in one table, on the same images of {name}. Rates come with their exact 95%"
                " interval and counts; every number is measured.",
                table(headings(), cells(variants)),
                f"{BEST} best of its column; {ALIKE} an exact McNemar test on the same images cannot tell it from the"
                f" best (Benjamini and Hochberg over the table, {FALSE_DISCOVERY_RATE:g}). Times are of one run.",
                *(("## What they are", titles) if titles else ()),
                "## Provenance",
                table(PROVENANCE_HEADINGS, provenance_rows(measured)),
            )
        )
        + "\n"
    )
