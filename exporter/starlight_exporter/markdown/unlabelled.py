"""Results on unlabelled datasets: from the samples of the exporter to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from starlight_exporter.formatting import NOT_MEASURED, integer, rate, words
from starlight_exporter.markdown.escaping import cell, code
from starlight_exporter.markdown.exporters import Exporters
from starlight_exporter.markdown.metric_tables import table
from starlight_exporter.markdown.samples import Samples
from starlight_exporter.markdown.values import UnlabelledSummary
from starlight_exporter.publish.families import unlabelled
from starlight_exporter.publish.families.family import Family
from starlight_exporter.statistics.intervals import proportion

QUERIED: Final[tuple[Family, ...]] = (
    unlabelled.IMAGES,
    unlabelled.OUTSIDE_WINDOW,
    unlabelled.MEASURED,
    unlabelled.ALARMS,
    unlabelled.DRIFT_PSI,
    unlabelled.DRIFT_DETECTED,
    unlabelled.DRIFT_REFERENCE_INFO,
    unlabelled.DRIFT_UNAVAILABLE,
)


def unlabelled_summaries(samples: Samples) -> tuple[UnlabelledSummary, ...]:
    """Return the results of every model on every unlabelled dataset."""
    return tuple(
        _summary(
            samples, {name: value for name in ("job", "instance", "model", "dataset") if (value := one.label(name))}
        )
        for one in samples.of(unlabelled.IMAGES)
    )


def unlabelled_table(summaries: Sequence[UnlabelledSummary], exporters: Exporters) -> list[str]:
    """Return the lines of the table."""
    header = ("model", "dataset", "images", "outside the window", "alarm rate", "drift")
    return table(
        header,
        [
            (
                exporters.name(one.labels, "model"),
                code(one.labels["dataset"]),
                integer(one.images),
                integer(one.outside_window),
                rate(one.alarms),
                _drift(one),
            )
            for one in summaries
        ],
    )


def _summary(samples: Samples, labels: Mapping[str, str]) -> UnlabelledSummary:
    drifted = samples.value(unlabelled.DRIFT_DETECTED, labels)
    largest = max(samples.of(unlabelled.DRIFT_PSI, labels), key=lambda one: one.value, default=None)
    reference = samples.of(unlabelled.DRIFT_REFERENCE_INFO, labels)
    unavailable = samples.of(unlabelled.DRIFT_UNAVAILABLE, labels)
    return UnlabelledSummary(
        labels=labels,
        images=int(samples.value(unlabelled.IMAGES, labels) or 0),
        outside_window=int(samples.value(unlabelled.OUTSIDE_WINDOW, labels) or 0),
        alarms=proportion(
            int(samples.value(unlabelled.ALARMS, labels) or 0), int(samples.value(unlabelled.MEASURED, labels) or 0)
        ),
        drifted=None if drifted is None else drifted != 0,
        reference=reference[0].label("reference") if reference else "",
        largest="" if largest is None else largest.label("fact"),
        psi=0.0 if largest is None else largest.value,
        unavailable=unavailable[0].label("reason") if unavailable else "",
    )


def _drift(one: UnlabelledSummary) -> str:
    if one.drifted is None:
        return f"{NOT_MEASURED}: {cell(words(one.unavailable))}" if one.unavailable else NOT_MEASURED
    largest = f"largest PSI {one.psi:.2f}, {cell(words(one.largest))}" if one.largest else ""
    conclusion = "🟡 drift from" if one.drifted else "🟢 no drift from"
    return f"{conclusion} {code(one.reference)}" + (f" ({largest})" if largest else "")
