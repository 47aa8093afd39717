"""Export of the history as OpenMetrics with timestamps."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Timestamp

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.backfill import export_openmetrics
from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.families import FAMILIES
from support.snapshots import FINISHED_AT, full_evaluation, full_snapshot, openmetrics_families


def exported(*results: Evaluation, extra_labels: dict[str, str] | None = None) -> str:
    out = io.StringIO()
    written = export_openmetrics(results, out, extra_labels=extra_labels)
    text = out.getvalue()
    assert written == sum(not line.startswith("#") for line in text.splitlines())
    return text


def all_evaluations() -> tuple[Evaluation, ...]:
    """Return the labelled and the unlabelled evaluation of the snapshot."""
    snapshot = full_snapshot()
    return (*snapshot.evaluations(), *snapshot.unlabelled_evaluations())


def test_empty_history_exports_no_samples() -> None:
    assert exported() == "# EOF\n"


def test_samples_equal_a_scrape_at_the_time_of_the_evaluation() -> None:
    registry = CollectorRegistry()
    registry.register(StarlightCollector(full_snapshot))
    of_evaluation = {family.base_name for family in FAMILIES if family.of_evaluation}
    scraped = {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in registry.collect()
        if family.name in of_evaluation
        for sample in family.samples
    }
    found = {}
    for family in openmetrics_families(exported(*all_evaluations())):
        assert family.name in of_evaluation
        for sample in family.samples:
            assert isinstance(sample.timestamp, Timestamp)
            assert float(sample.timestamp) == FINISHED_AT
            found[(sample.name, frozenset(sample.labels.items()))] = float(sample.value)
    assert found == scraped


def test_exports_every_family_of_an_evaluation() -> None:
    names = [family.name for family in openmetrics_families(exported(*all_evaluations()))]
    assert names == [family.base_name for family in FAMILIES if family.of_evaluation]


def test_samples_are_grouped_by_family_and_series_in_time_order() -> None:
    results = [
        full_evaluation(model=model, finished_at=FINISHED_AT + 60 * step, false_positives=step)
        for step in (2, 0, 1)
        for model in ("b", "a")
    ]
    text = exported(*results)
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(families) == len(set(families))
    times: dict[str, list[float]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            series, _, at = line.rsplit(" ", 2)
            times.setdefault(series, []).append(float(at))
    assert all(moments == sorted(set(moments)) for moments in times.values())
    openmetrics_families(text)  # the strict parser refuses interleaved series


def test_duplicate_evaluation_is_exported_once() -> None:
    assert exported(full_evaluation(), full_evaluation()) == exported(full_evaluation())
    later = replace(full_evaluation(), roc_auc=0.5)
    assert exported(full_evaluation(), later) == exported(later)


def test_times_are_seconds_with_milliseconds() -> None:
    assert " 1790000000.250\n" in exported(full_evaluation())
    same_millisecond = exported(
        full_evaluation(finished_at=FINISHED_AT + 1e-5), full_evaluation(finished_at=FINISHED_AT - 1e-5)
    )
    assert same_millisecond.count("starlight_clean_images{") == 1


def test_extra_labels_are_added_to_every_sample() -> None:
    text = exported(full_evaluation(), extra_labels={"job": "starlight", "instance": "127.0.0.1:9877"})
    for line in text.splitlines():
        if not line.startswith("#"):
            assert 'job="starlight"' in line
            assert 'instance="127.0.0.1:9877"' in line
