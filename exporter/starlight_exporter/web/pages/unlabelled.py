"""One evaluation of an unlabelled dataset: alarm rate, predicted methods, scores, drift and provenance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from starlight_exporter.evaluation.drift import MAX_P_VALUE, MIN_PSI, Drift, DriftVariable, VariableDrift
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.evaluation.unlabelled import SCORE_BINS, UnlabelledResult
from starlight_exporter.formatting import integer, words
from starlight_exporter.publish.retention import Entry
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.check_groups import Level
from starlight_exporter.web.pages.page import Page, Table

BAR_WIDTH: Final = 20
CHART_HEIGHT: Final = 100


@dataclass(frozen=True, slots=True)
class ScoreBar:
    """One bin of the score histogram, with its rectangle in a chart of SCORE_BINS × BAR_WIDTH by CHART_HEIGHT."""

    lower: float
    upper: float
    images: int
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class DriftConclusion:
    """The result of a comparison with the drift reference in one line."""

    level: Level
    text: str


def drift_conclusion(drift: Drift) -> DriftConclusion:
    """Return which variables have drifted, or why drift was not measured."""
    if drift.unavailable is not None:
        return DriftConclusion("quiet", f"not measured: {drift.detail}")
    if not drift.drifted:
        return DriftConclusion("good", f"no drift from {drift.reference}")
    first, *others = drift.drifted
    more = f" and {integer(len(others))} more" if others else ""
    return DriftConclusion("warn", f"drift from {drift.reference}: {words(first)}{more}")


def unlabelled_page(
    evaluation: Evaluation, result: UnlabelledResult, entry: Entry, provenance: Table, *, reference: Entry | None
) -> Page:
    """Return all results of one evaluation of an unlabelled dataset; `provenance` has the columns name and value.

    `reference` is the evaluation of the drift reference, if it is still stored.
    """
    variables = _by_psi(result.drift)
    return Page(
        template="unlabelled.html",
        path=links.evaluation(entry.id),
        values={
            "e": evaluation,
            "result": result,
            "bars": score_bars(result),
            "chart_width": SCORE_BINS * BAR_WIDTH,
            "chart_height": CHART_HEIGHT,
            "reference": reference,
            "conclusion": drift_conclusion(result.drift),
            "variables": variables,
            "max_p_value": MAX_P_VALUE,
            "min_psi": MIN_PSI,
            "provenance": provenance.rows,
        },
        content={"evaluation": json.loads(to_json(evaluation)), "drift_detected": result.drift.detected},
        tables={
            "drift": _drift_table(variables),
            "scores": Table(
                ("score_from", "score_to", "images"), [(bar.lower, bar.upper, bar.images) for bar in score_bars(result)]
            ),
            "methods": Table(
                ("method", "ratio", "lower", "upper", "count", "total"),
                [(name, p.ratio, p.lower, p.upper, p.count, p.total) for name, p in result.methods.items()],
            ),
            "provenance": provenance,
        },
    )


def score_bars(result: UnlabelledResult) -> list[ScoreBar]:
    """Return the bars of the histogram; their heights are proportional to the largest bin."""
    largest = max(result.histogram, default=0) or 1
    bars = []
    for number, images in enumerate(result.histogram):
        height = round(images / largest * CHART_HEIGHT, 2)
        lower, upper = number / SCORE_BINS, (number + 1) / SCORE_BINS
        bars.append(ScoreBar(lower, upper, images, number * BAR_WIDTH, round(CHART_HEIGHT - height, 2), height))
    return bars


def _by_psi(drift: Drift) -> list[tuple[DriftVariable, VariableDrift]]:
    return sorted(drift.variables.items(), key=lambda item: -item[1].psi)


def _drift_table(variables: list[tuple[DriftVariable, VariableDrift]]) -> Table:
    return Table(
        ("fact", "psi", "distance", "adjusted_p_value", "drifted"),
        [(name, one.psi, one.distance, one.p_value, one.has_drifted) for name, one in variables],
    )
