"""Samples of a snapshot are consistent, current, and absent if not measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from starlight_exporter.publish.collector import StarlightCollector, build_registry
from starlight_exporter.publish.exposition import render
from starlight_exporter.publish.families import EVALUATION_SECTIONS, FAMILIES, SECTIONS, accuracy
from starlight_exporter.publish.snapshot import OUTCOMES, RunState, Snapshot
from support.snapshots import (
    EMPTY,
    FINISHED_AT,
    empty_snapshot,
    full_evaluation,
    full_snapshot,
    large_snapshot,
    model_state,
    proportion,
    run_state,
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(snapshot: Snapshot) -> Series:
    return samples(registry_of(snapshot))


def registry_of(snapshot: Snapshot) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StarlightCollector(lambda: snapshot))
    return registry


def samples(registry: CollectorRegistry) -> Series:
    found: Series = {}
    for family in text_string_to_metric_families(render(registry, None, [])[0].decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("starlight_"), frozenset(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


PAIR = {"model": "production", "dataset": "reference"}


def test_samples_equal_the_values_of_the_evaluation() -> None:
    series = scrape(full_snapshot())
    result = full_evaluation()
    assert value(series, "clean_images", **PAIR) == 4_000
    assert value(series, "false_positives", **PAIR) == 3
    assert value(series, "false_positive_ratio", **PAIR) == result.clean.ratio
    assert value(series, "false_positive_ratio_lower", **PAIR) == result.clean.lower
    assert value(series, "false_positive_ratio_upper", **PAIR) == result.clean.upper
    assert value(series, "detections", **PAIR, method="palette") == 197
    assert value(series, "stego_images", **PAIR, method="palette") == 200
    assert value(series, "negative_false_positives", **PAIR, category="patterns") == 1
    assert value(series, "method_predictions", **PAIR, actual="lsb", predicted="clean") == 1
    assert value(series, "images_not_measured", **PAIR, reason="model_error") == 4
    assert value(series, "images_not_measured", **PAIR, reason="timeout") == 0
    assert value(series, "operating_point_detection_ratio", **PAIR, threshold="0.15") == 0.99
    assert value(series, "latency_seconds", **PAIR, quantile="0.95") == 0.0034
    assert value(series, "latency_upper_seconds", **PAIR, quantile="0.95") == 0.0036
    assert value(series, "latency_images", **PAIR) == 1_000
    assert value(series, "evaluation_timestamp_seconds", **PAIR) == FINISHED_AT
    assert value(series, "training_loss", model="production", split="validation") == 0.12
    assert value(series, "training_epochs", model="production") == 2
    assert value(series, "baseline_format_false_positive_ratio", **PAIR, format="png") == 0.005
    assert (
        value(series, "dataset_images", dataset="reference", format="unknown", method="none", **{"class": "clean"}) == 3
    )
    unlabelled = {"class": "stego", "method": "unlabelled"}
    assert value(series, "dataset_images", dataset="reference", format="gif", **unlabelled) == 2


def test_figure_of_merit_has_bounds_or_a_reason() -> None:
    series = scrape(full_snapshot())
    assert value(series, "figure_of_merit", **PAIR, figure="p_e") == 0.0125
    assert value(series, "figure_of_merit_lower", **PAIR, figure="p_e") == 0.00625
    assert value(series, "figure_of_merit_upper", **PAIR, figure="p_e") == 0.0125 * 1.5
    missing = {**PAIR, "figure": "detection_at_0_1_percent_fpr"}
    for suffix in ("", "_lower", "_upper"):
        assert value(series, f"figure_of_merit{suffix}", **missing) is None
    assert value(series, "figure_of_merit_not_measured", **missing, reason="few_clean_images") == 1
    without = replace(full_evaluation(), figures=None)
    names = {name for name, _ in scrape(full_snapshot().with_run("production", "reference", run_state(without)))}
    assert not {name for name in names if name.startswith("figure_of_merit")}


def test_an_empty_slice_has_counts_but_no_ratio() -> None:
    series = scrape(full_snapshot())
    for prefix, labels in (("format", {"format": "bmp"}), ("negative", {"category": "special_cases"})):
        images = "format_clean_images" if prefix == "format" else "negative_images"
        assert value(series, images, **PAIR, **labels) == 0
        assert value(series, f"{prefix}_false_positives", **PAIR, **labels) == 0
        for suffix in ("", "_lower", "_upper"):
            assert value(series, f"{prefix}_false_positive_ratio{suffix}", **PAIR, **labels) is None


def test_unmeasured_values_are_absent() -> None:
    result = replace(
        full_evaluation(),
        roc_auc=None,
        log_loss=None,
        expected_calibration_error=None,
        latency=None,
        training=None,
        clean=EMPTY,
    )
    names = {name for name, _ in scrape(full_snapshot().with_run("production", "reference", run_state(result)))}
    assert not names & {"roc_auc", "log_loss", "expected_calibration_error", "false_positive_ratio"}
    assert not {name for name in names if name.startswith(("latency_", "throughput_", "training_"))}
    assert {"clean_images", "detection_ratio"} <= names


def test_no_throughput_without_measured_images() -> None:
    for speed, expected in ((0.0, None), (423.5, 423.5)):
        result = replace(full_evaluation(), images_per_second=speed)
        series = scrape(full_snapshot().with_run("production", "reference", run_state(result)))
        assert value(series, "evaluation_images_per_second", **PAIR) == expected


def test_only_counters_and_states_before_the_first_evaluation() -> None:
    series = scrape(full_snapshot())
    field = {"model": "production", "dataset": "field"}
    of_field = {name for name, labels in series if ("dataset", "field") in labels}
    assert of_field == {
        "dataset_alerts",
        "dataset_labelled",
        "evaluations_total",
        "evaluation_in_progress",
        "evaluation_interval_seconds",
    }
    assert {value(series, "evaluations_total", **field, outcome=outcome) for outcome in OUTCOMES} == {0}
    assert value(series, "evaluations_total", **PAIR, outcome="success") == 2


def test_model_without_file_has_failures_but_no_file_properties() -> None:
    series = scrape(full_snapshot())
    assert value(series, "model_load_failures_total", model="v3", reason="missing") == 3
    assert value(series, "model_load_failures_total", model="v3", reason="signature") == 0
    assert value(series, "model_size_bytes", model="v3") is None
    info = [dict(labels) for name, labels in series if name == "model_info"]
    assert {labels["model"]: labels["sha256"] for labels in info} == {"production": "3b7c0f1e2d4a", "v3": ""}


def test_file_on_disk_can_differ_from_the_loaded_file() -> None:
    series = scrape(full_snapshot())
    assert value(series, "model_file_info", model="production", sha256="c0ffee1e2d4a") == 1
    assert value(series, "model_last_load_successful", model="production") == 0
    assert value(series, "model_last_load_successful", model="v3") is None
    assert not any(name == "model_file_info" and ("model", "v3") in labels for name, labels in series)


def test_last_run_successful_is_absent_before_the_first_run() -> None:
    failed = full_snapshot().with_run("v3", "reference", RunState(last_run_successful=False))
    assert value(scrape(failed), "evaluation_last_run_successful", model="v3", dataset="reference") == 0
    assert value(scrape(failed), "evaluation_last_run_successful", **PAIR) == 1
    assert value(scrape(failed), "evaluation_last_run_successful", model="production", dataset="field") is None


def test_unknown_free_space_is_absent() -> None:
    series = scrape(full_snapshot())
    assert value(series, "storage_free_bytes", store="history") == 2**34
    assert value(series, "storage_free_bytes", store="evidence") is None
    assert value(series, "storage_failures_total", store="evidence") == 0


def test_hashes_have_twelve_digits() -> None:
    for name, labels in scrape(full_snapshot()):
        for label, text in labels:
            if label in ("sha256", "model_sha256", "fingerprint", "dataset_fingerprint") and text:
                assert len(text) == 12, name


def test_progress_only_while_a_run_is_in_progress() -> None:
    series = scrape(full_snapshot())
    assert value(series, "evaluation_in_progress", **PAIR) == 1
    assert value(series, "evaluation_progress_ratio", **PAIR) == 0.25
    idle = full_snapshot().with_run("production", "reference", run_state(full_evaluation(), progress=0.25))
    assert value(scrape(idle), "evaluation_progress_ratio", **PAIR) is None


def test_check_without_measured_inputs_is_absent() -> None:
    result = replace(full_evaluation(), latency=None)
    series = scrape(full_snapshot().with_run("production", "reference", run_state(result)))
    passed = "regression_check_passed"
    assert value(series, passed, **PAIR, check="latency_limit", slice="p95") is None
    assert value(series, passed, **PAIR, check="fpr_baseline", slice="") == 1
    assert value(series, passed, **PAIR, check="fpr_target", slice="") == 0


def test_series_of_a_removed_model_end() -> None:
    before = full_snapshot()
    after = replace(
        before,
        models={name: state for name, state in before.models.items() if name != "production"},
        runs={pair: run for pair, run in before.runs.items() if pair[0] != "production"},
    )
    assert any(("model", "production") in labels for _, labels in scrape(before))
    assert not any(("model", "production") in labels for _, labels in scrape(after))


def test_snapshot_rejects_runs_of_unknown_models_and_datasets() -> None:
    with pytest.raises(ValueError, match="v9 on reference"):
        full_snapshot().with_run("v9", "reference", RunState())
    with pytest.raises(ValueError, match="v3 on elsewhere"):
        full_snapshot().with_run("v3", "elsewhere", RunState())


def test_snapshot_copies_its_mappings() -> None:
    models = {"production": model_state()}
    snapshot = replace(empty_snapshot(), models=models)
    models.clear()
    assert list(snapshot.models) == ["production"]
    with pytest.raises(TypeError, match="does not support item assignment"):
        cast("dict[str, Any]", snapshot.models)["v3"] = model_state("v3")


def test_newest_evaluation_provides_samples_of_a_shared_dataset() -> None:
    snapshot = large_snapshot(2, 1)
    older = replace(full_evaluation(model="model-0", dataset="dataset-0"), finished_at=FINISHED_AT - 60)
    newer = full_evaluation(model="model-1", dataset="dataset-0", fingerprint="f" * 64)
    for first, second in ((older, newer), (newer, older)):
        both = replace(snapshot, runs={}).with_run(first.model, "dataset-0", run_state(first))
        both = both.with_run(second.model, "dataset-0", run_state(second))
        prints = [dict(labels)["fingerprint"] for name, labels in scrape(both) if name == "dataset_info"]
        assert prints == ["f" * 12]


def test_no_created_series_and_no_timestamps() -> None:
    text = render(registry_of(full_snapshot()), None, [])[0].decode()
    assert "_created" not in text
    families = list(text_string_to_metric_families(text))
    assert all(sample.timestamp is None for family in families for sample in family.samples)


def test_registry_rejects_duplicate_families() -> None:
    registry = registry_of(full_snapshot())
    assert len(StarlightCollector(full_snapshot).describe()) == len(FAMILIES)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(StarlightCollector(full_snapshot))
    restricted = registry.restricted_registry([accuracy.CLEAN.ratio.name])
    assert [family.name for family in restricted.collect()] == [accuracy.CLEAN.ratio.name]


def test_name_parameter_restricts_the_families() -> None:
    body, _ = render(build_registry(full_snapshot), None, ["starlight_detection_ratio", "process_start_time_seconds"])
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert families == {"starlight_detection_ratio", "process_start_time_seconds"}


def test_registry_includes_process_and_platform_metrics() -> None:
    families = {family.name for family in build_registry(full_snapshot).collect()}
    assert {
        "process_resident_memory_bytes",
        "python_info",
        "python_gc_collections",
        "starlight_clean_images",
    } <= families


class Broken:
    """A mapping that raises, as a programming error would."""

    def items(self) -> Iterator[Any]:
        raise RuntimeError("cannot be read")


def test_failed_section_is_logged_counted_and_omitted() -> None:
    snapshot = full_snapshot()
    result = replace(full_evaluation(), confusion=cast("dict[str, dict[str, int]]", Broken()))
    registry = registry_of(snapshot.with_run("production", "reference", run_state(result)))
    with capture_logs() as logs:
        first, second = samples(registry), samples(registry)
    assert value(first, "exporter_collector_errors_total", section="accuracy") == 1
    assert value(second, "exporter_collector_errors_total", section="accuracy") == 2
    assert value(second, "exporter_collector_errors_total", section="runs") == 0
    # The whole section is omitted: a part would look as if the rest were not measured.
    assert value(second, "clean_images", **PAIR) is None
    assert value(second, "evaluation_timestamp_seconds", **PAIR) == FINISHED_AT
    assert [entry["section"] for entry in logs] == ["accuracy", "accuracy"]


def test_scrape_without_snapshot_counts_the_error() -> None:
    def fails() -> Snapshot:
        raise RuntimeError("no snapshot")

    registry = CollectorRegistry()
    registry.register(StarlightCollector(fails))
    with capture_logs():
        series = samples(registry)
    assert value(series, "exporter_collector_errors_total", section="snapshot") == 1
    assert {name for name, _ in series} == {"exporter_collector_errors_total"}


def test_error_counts_start_at_zero_for_every_section() -> None:
    series = scrape(empty_snapshot())
    for section in ("snapshot", *SECTIONS, *EVALUATION_SECTIONS):
        assert value(series, "exporter_collector_errors_total", section=section) == 0


def test_label_that_is_not_utf8_does_not_fail_the_scrape() -> None:
    result = replace(full_evaluation(), negatives={"caf\udce9": proportion(1, 10)})
    body, _ = render(registry_of(full_snapshot().with_run("production", "reference", run_state(result))), None, [])
    assert b'category="caf?"' in body


def test_scrape_reads_the_snapshot_once_and_is_consistent() -> None:
    """Count, total and ratio stay consistent while another thread replaces the snapshot."""
    made = []
    for count in range(40):
        result = full_evaluation(false_positives=count, clean_images=1_000 + count)
        made.append(empty_snapshot().with_model(model_state()).with_dataset(full_snapshot().datasets["reference"]))
        made[-1] = made[-1].with_run("production", "reference", run_state(result, outcomes={"success": count}))
    current = made[0]
    registry = CollectorRegistry()
    registry.register(StarlightCollector(lambda: current))
    stop = threading.Event()

    def swap() -> None:
        nonlocal current
        while not stop.is_set():
            for snapshot in made:
                current = snapshot

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[float] = set()
    try:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            found = {
                sample.name.removeprefix("starlight_"): sample.value
                for family in registry.collect()
                for sample in family.samples
                if sample.labels.get("outcome", "success") == "success"
            }
            wrong, images = found["false_positives"], found["clean_images"]
            assert images == 1_000 + wrong
            assert found["false_positive_ratio"] == wrong / images
            assert found["evaluations_total"] == wrong
            seen.add(wrong)
    finally:
        stop.set()
        swapper.join()
    assert len(seen) > 5


def test_next_scrape_has_the_samples_of_the_evaluations_of_its_snapshot() -> None:
    snapshot = full_snapshot()
    shown = [snapshot]
    registry = build_registry(lambda: shown[0])
    labels = {"model": "production", "dataset": "reference"}

    def false_positives() -> float | None:
        return registry.get_sample_value("starlight_false_positives", labels)

    before = snapshot.runs["production", "reference"]
    assert before.evaluation is not None
    assert false_positives() == before.evaluation.clean.count
    replaced = full_evaluation(false_positives=before.evaluation.clean.count + 4)
    shown[0] = snapshot.with_run("production", "reference", replace(before, evaluation=replaced))
    assert false_positives() == before.evaluation.clean.count + 4
    shown[0] = snapshot.with_run("production", "reference", replace(before, evaluation=None))
    assert false_positives() is None
    shown[0] = snapshot
    assert false_positives() == before.evaluation.clean.count
