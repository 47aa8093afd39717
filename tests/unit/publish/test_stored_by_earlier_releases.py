"""Files written by earlier releases are read without loss."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from starlight_exporter.analysis.comparison import compare
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.evaluation.payload_results import RATE_BINS, SIZE_BINS
from starlight_exporter.evaluation.prediction_columns import NAMES
from starlight_exporter.publish.backfill import export_openmetrics
from starlight_exporter.publish.compaction import read_records
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.history import History
from starlight_exporter.publish.prediction_queries import Selection

STORED = Path(__file__).resolve().parents[2] / "resources" / "stored"
RELEASES = sorted(folder.name for folder in STORED.iterdir() if folder.is_dir())


@pytest.fixture(params=RELEASES)
def stored(request: pytest.FixtureRequest) -> Path:
    return STORED / str(request.param)


def evidence_of(stored: Path) -> Evidence:
    return Evidence(stored / "results", keep=1000, max_bytes=2**40)


def test_reads_every_history_record(stored: Path) -> None:
    latest = History(stored / "data" / "history.jsonl").load_latest(
        {("production", "small"), ("v3", "small"), ("absent", "small")}
    )
    assert latest.damaged_lines == 0
    assert set(latest.evaluations) == {("production", "small"), ("v3", "small")}
    lines = sum(len(file.read_text().splitlines()) for file in (stored / "data").glob("history*.jsonl"))
    assert lines == len(list(History(stored / "data" / "history.jsonl").evaluations()))


def test_history_export_has_the_same_samples(stored: Path) -> None:
    written = io.StringIO()
    export_openmetrics(History(stored / "data" / "history.jsonl").evaluations(), written)
    expected = gzip.decompress((stored / "history.om.gz").read_bytes()).decode()
    samples = [
        {line for line in text.splitlines() if not line.startswith("#")} for text in (written.getvalue(), expected)
    ]
    assert samples[1] - samples[0] == set()


def test_compaction_reads_every_history_record(stored: Path) -> None:
    history = History(stored / "data" / "history.jsonl")
    pairs = {(one.model, one.dataset) for one in history.evaluations()}
    files = [file.read_bytes() for file in history.files()]
    records = [record for file in history.files() for record in read_records(file)]
    assert {record.pair for record in records} == pairs
    assert [file.read_bytes() for file in history.files()] == files


def test_reads_evaluation_checks_predictions_and_thumbnails(stored: Path) -> None:
    evidence = evidence_of(stored)
    entries = evidence.entries()
    assert len(entries) == len(list((stored / "results" / "evaluations").iterdir()))
    thumbnails = 0
    for entry in entries:
        assert evidence.evaluation(entry).id == entry.id
        assert evidence.checks(entry)
        predictions = evidence.predictions(entry)
        assert len(predictions) == evidence.evaluation(entry).images == 80
        thumbnails += sum(evidence.thumbnail(entry, thumbnail_name(one.path)) is not None for one in predictions)
    assert thumbnails == 4


def test_latency_without_contention_and_ratio_is_read(stored: Path) -> None:
    evidence = evidence_of(stored)
    for entry in evidence.entries():
        evaluation = evidence.evaluation(entry)
        assert evaluation.latency is not None
        assert evaluation.latency.images > 0
        if stored.name == "0.1.0":
            assert evaluation.latency.contention is None
            assert evaluation.latency_ratio is None


def test_stored_checks_have_a_conclusion(stored: Path) -> None:
    evidence = evidence_of(stored)
    checks = [check for entry in evidence.entries() for check in evidence.checks(entry)]
    assert {check.conclusion for check in checks} >= {"pass", "fail (significant)"}
    if stored.name == "0.1.0":
        # Checks of 0.1.0 state neither whether they are conclusive nor why they have no result.
        assert {(check.conclusive, check.p_value, check.unavailable) for check in checks} == {(None, None, None)}


def test_comparisons_of_stored_predictions_are_unchanged(stored: Path) -> None:
    evidence = evidence_of(stored)
    entries = {entry.id: entry for entry in evidence.entries()}
    for expected in json.loads((stored / "comparisons.json").read_text()):
        new, old = entries[expected["evaluation_id"]], entries[expected["against_id"]]
        found = compare(
            evidence.evaluation(old),
            evidence.predictions(old),
            evidence.evaluation(new),
            evidence.predictions(new),
            against=expected["against"],
        )
        assert asdict(found) == expected


def test_columns_of_predictions_csv_keep_their_order(stored: Path) -> None:
    with (stored / "predictions.csv").open(newline="") as file:
        columns = tuple(next(csv.reader(file)))
    assert columns == NAMES[: len(columns)]


def test_filters_on_values_that_were_not_stored_select_no_image(stored: Path) -> None:
    evidence = evidence_of(stored)
    store = evidence.open(evidence.entries()[0])
    assert store.count(Selection("all", {"source": "camera"})) == 0
    assert store.page(Selection("all", {"reaches_crop": "true"}), limit=10) == []
    assert store.facets(Selection("all", {"source": "camera"}))["class"] == []
    # Size and payload were stored from the beginning.
    assert sum(store.count(Selection("all", {"size": name})) for name in SIZE_BINS.names) > 0
    assert sum(store.count(Selection("all", {"embedding_rate": name})) for name in RATE_BINS["bytes"].names) > 0
