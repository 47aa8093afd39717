"""Verification of exported samples. Prometheus and VictoriaMetrics: tests/integration/test_long_term_storage.py."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.backfill import export_openmetrics
from starlight_exporter.publish.history_verification import verify
from support.snapshots import full_evaluation

SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+) (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class StoredSample:
    """A series with one sample."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class ImportedText:
    """A store with the samples of an export; it matches only the name of the metric and the time."""

    def __init__(self, evaluation: Evaluation) -> None:
        out = io.StringIO()
        export_openmetrics([evaluation], out)
        found = (SAMPLE.fullmatch(line) for line in out.getvalue().splitlines() if not line.startswith("#"))
        self.series = [
            StoredSample({"__name__": one[1], **dict(LABEL.findall(one[2] or ""))}, ((float(one[4]), float(one[3])),))
            for one in found
            if one is not None
        ]

    def raw(self, selector: str, *, at: float, seconds: float) -> list[StoredSample]:
        """Return the samples of all metrics, or of one that the selector begins with."""
        name = selector.partition("{")[0]
        return [
            one
            for one in self.series
            if name in ("", one.labels["__name__"]) and at - seconds <= one.points[0][0] <= at
        ]


def test_imported_evaluation_is_recognised_between_two_milliseconds() -> None:
    evaluation = full_evaluation(finished_at=1790081543.2615)
    store = ImportedText(evaluation)
    (result,) = verify([evaluation], store, {})
    assert (result.origin, result.differences) == ("imported", ())
    assert result.samples == len(store.series)


@pytest.mark.parametrize(("loss", "differs"), [(1.01e-12, False), (1e-11, True)])
def test_lost_decimal_digits_of_victoria_metrics_are_no_difference(loss: float, differs: bool) -> None:
    """It has stored 0.8613861386138614 as 0.861386138613, which is a loss of 1.00001e-12."""
    evaluation = full_evaluation()
    store = ImportedText(evaluation)
    name = "starlight_evaluation_images_per_second"
    (kept,) = (one for one in store.series if one.labels["__name__"] == name)
    ((at, value),) = kept.points
    store.series[store.series.index(kept)] = StoredSample(kept.labels, ((at, value * (1 - loss)),))
    (result,) = verify([evaluation], store, {})
    assert bool(result.differences) is differs
