"""Export evaluations as OpenMetrics text with timestamps, for `promtool tsdb create-blocks-from openmetrics`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.exposition import label_text, number_text, openmetrics_header
from starlight_exporter.publish.families import FAMILIES, evaluation_samples

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def export_openmetrics(
    evaluations: Iterable[Evaluation], out: SupportsWrite[str], *, extra_labels: Mapping[str, str] | None = None
) -> int:
    """Write the samples of each evaluation with the time at which it ended, and return their number.

    Samples are grouped by family, metric (the quantiles of a summary are one metric) and time, as OpenMetrics requires.
    Of two samples of a series at the same time the later one is kept. `extra_labels` (such as job and instance) are
    added to every sample. Raises StorageError if the disk has no space for sorting, and OSError from `out`.
    """
    # SQLite sorts on disk: a history can have millions of samples.
    try:
        with closing(sqlite3.connect("")) as database:
            database.execute(
                "CREATE TABLE samples (family INTEGER, metric TEXT, at REAL, labels TEXT, value TEXT,"
                " PRIMARY KEY (family, metric, at, labels)) WITHOUT ROWID"
            )
            for evaluation in evaluations:
                rows = _samples(evaluation, dict(extra_labels or {}))
                database.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?)", rows)
            return _write(database, out)
    except sqlite3.Error as error:
        raise StorageError(f"history export: the temporary database cannot be used: {error}") from error


def _write(database: sqlite3.Connection, out: SupportsWrite[str]) -> int:
    written = 0
    current: int | None = None
    for place, labels, at, value in database.execute(
        "SELECT family, labels, at, value FROM samples ORDER BY family, metric, at, labels"
    ):
        family = FAMILIES[place]
        if place != current:
            out.write(openmetrics_header(family.base_name, family.kind, family.help))
            current = place
        out.write(f"{family.name}{labels} {value} {at:.3f}\n")
        written += 1
    out.write("# EOF\n")
    return written


def _samples(evaluation: Evaluation, extra_labels: dict[str, str]) -> Iterator[tuple[int, str, float, str, str]]:
    # Prometheus stores milliseconds: two samples in the same millisecond are duplicates.
    at = round(evaluation.finished_at, 3)
    for sample in evaluation_samples(evaluation):
        labels = extra_labels | dict(zip(sample.family.labels, sample.labels, strict=True))
        of_metric = label_text({name: value for name, value in labels.items() if name != "quantile"})
        yield _PLACES[sample.family.name], of_metric, at, label_text(labels), number_text(sample.value)


_PLACES = {family.name: place for place, family in enumerate(FAMILIES)}
