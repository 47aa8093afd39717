"""Metrics, report, data frame and stored projection of embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.evaluation.embedding_results import EMBEDDING_CLASSES, EmbeddingResult
from starlight_exporter.evaluation.embeddings import measure_embeddings
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.publish.evaluation_report import ReportRow, report_rows
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.families import embeddings
from starlight_exporter.publish.families.family import MetricSample
from starlight_exporter.runs.pending_results import PendingResults
from support.embedding_results import EMBEDDINGS, example_images, table
from support.snapshots import full_evaluation

PAIR = ("production", "reference")


def samples(result: EmbeddingResult | None) -> list[MetricSample]:
    return list(embeddings.evaluation_samples(replace(full_evaluation(), embeddings=result)))


def report(result: EmbeddingResult | None) -> dict[str, ReportRow]:
    rows = report_rows(replace(full_evaluation(), embeddings=result))
    return {row.name: row for row in rows if row.section == "Embeddings"}


def test_measured_classes_have_recall_and_silhouette_and_others_a_reason() -> None:
    found = {(sample.family, sample.labels): sample.value for sample in samples(EMBEDDINGS)}
    for name in EMBEDDING_CLASSES:
        labels = (*PAIR, name)
        missing = (embeddings.NOT_MEASURED, (*labels, "few_images"))
        assert (missing in found) == (name == "eoi")
        for family in (embeddings.CLASS_SILHOUETTE, embeddings.RECALL.ratio, embeddings.RECALL.total):
            assert ((family, labels) in found) == (name != "eoi")
    assert found[embeddings.RECALL.ratio, (*PAIR, "palette")] == 0.52
    assert found[embeddings.PROBE.count, PAIR] == 4_560
    assert found[embeddings.SILHOUETTE, PAIR] == 0.362


@pytest.mark.parametrize("reason", ["no_output", "unsupported_output"])
def test_model_without_embeddings_has_only_the_reason(reason: str) -> None:
    problem = "" if reason == "no_output" else "another shape"
    result, _ = measure_embeddings([], table([], example_images({"clean": 1})[1][:0]), problem, seed=0)
    assert samples(result) == [MetricSample(embeddings.NOT_MEASURED, (*PAIR, "", reason), 1)]


def test_separation_that_is_not_measured_has_no_value() -> None:
    predictions, values = example_images({"clean": 30})
    result, _ = measure_embeddings(predictions, table(predictions, values), None, seed=0)
    found = samples(result)
    assert {sample.labels for sample in found if sample.family is embeddings.NOT_MEASURED} == {
        (*PAIR, "", "one_class"),
        *((*PAIR, name, "no_images") for name in EMBEDDING_CLASSES if name != "clean"),
    }
    others = {sample.family: sample.value for sample in found if sample.family is not embeddings.NOT_MEASURED}
    assert others == {embeddings.IMAGES: 30, embeddings.NOT_FINITE: 0}


def test_evaluation_of_an_earlier_version_has_no_samples() -> None:
    assert samples(None) == []
    assert (report(None)["linear probe"].value, report(None)["linear probe"].interval) == ("not measured", "")


def test_report_has_intervals_and_numbers_of_images() -> None:
    rows = report(EMBEDDINGS)
    assert rows["linear probe accuracy"].value == "95.60%"
    assert rows["balanced accuracy"] == ReportRow("Embeddings", "balanced accuracy", "91.70%", "90.20–93.10%", "4,770")
    assert rows["mean silhouette"] == ReportRow("Embeddings", "mean silhouette", "0.3620", "", "1,980")
    assert rows["recall of palette"].images == "104 of 200"
    assert "recall of eoi" not in rows


def test_report_states_the_reason() -> None:
    predictions, values = example_images({"clean": 30})
    result, _ = measure_embeddings(predictions, table(predictions, values), None, seed=0)
    assert report(result)["linear probe"].interval == "all images are clean"


def test_data_frame_has_accuracy_and_recalls() -> None:
    pytest.importorskip("pandas")
    frame = replace(full_evaluation(), embeddings=EMBEDDINGS).to_frame()
    recalls = frame[frame["metric"] == "embedding_probe_recall"].set_index("slice")
    assert list(recalls.index) == [name for name in EMBEDDING_CLASSES if name != "eoi"]
    assert (recalls.loc["palette", "count"], recalls.loc["palette", "total"]) == (104, 200)
    (accuracy,) = frame[frame["metric"] == "embedding_probe_accuracy"]["count"]
    assert accuracy == 4_560


def test_projection_is_stored_with_its_evaluation(tmp_path: Path) -> None:
    predictions, values = example_images({"clean": 40, "lsb": 30})
    result, projection = measure_embeddings(predictions, table(predictions, values), None, seed=0)
    assert projection is not None
    evidence = Evidence(tmp_path)
    evidence.store(replace(full_evaluation(), id="with", embeddings=result), predictions, projection=projection)
    evidence.store(replace(full_evaluation(), id="without", embeddings=None), predictions)
    found = {entry.id: evidence.projection(entry) for entry in evidence.entries()}
    assert found["without"] is None
    assert found["with"] is not None
    assert found["with"].images.tobytes() == projection.images.tobytes()
    (entry,) = (entry for entry in evidence.entries() if entry.id == "with")
    assert evidence.evaluation(entry).embeddings == result


def test_pending_result_keeps_its_projection() -> None:
    predictions, values = example_images({"clean": 40, "lsb": 30})
    result, projection = measure_embeddings(predictions, table(predictions, values), None, seed=0)
    assert projection is not None
    evaluation = replace(full_evaluation(), embeddings=result)
    pending = PendingResults()
    pending.add(RunResult(evaluation, tuple(predictions), None, projection=projection), (), None)
    sizes = []
    pending.write(lambda _, one: sizes.append((one.projection, one.size)))
    assert sizes[0][0] is projection
    assert sizes[0][1] > projection.images.nbytes
