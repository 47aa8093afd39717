"""A downgrade: what a later release has stored is named with its version, and neither used nor lost."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.history import History
from support.snapshots import FINISHED_AT, example_prediction, full_evaluation

PREDICTIONS = tuple(example_prediction(f"clean/{number:03}.png") for number in range(20))
REASON = "stored evaluation has schema 2; this version reads schema 1: written by starlight-exporter '0.9.0'"


def later_record(name: str) -> str:
    content = json.loads(to_json(full_evaluation(evaluation_id=name, finished_at=FINISHED_AT)))
    content["schema"] = 2
    content["provenance"] = {"exporter_version": "0.9.0", "hashes": {}}
    return json.dumps(content)


def test_history_record_is_skipped_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(later_record("later") + "\n")
    history = History(path)
    history.append(full_evaluation(evaluation_id="own", finished_at=FINISHED_AT))
    with capture_logs() as logs:
        latest = history.load_latest()
    assert [one.id for one in latest.evaluations.values()] == ["own"]
    assert [(log["event"], log["reason"]) for log in logs] == [("history record of a newer version skipped", REASON)]
    assert path.read_text().splitlines()[0] == later_record("later")
    history.close()


@pytest.mark.parametrize("provenance", [None, [], {"exporter_version": 9}])
def test_unknown_version_is_not_named(tmp_path: Path, provenance: object) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps({"schema": 2, "provenance": provenance}) + "\n")
    with capture_logs() as logs:
        History(path).load_latest()
    assert logs[0]["reason"].endswith("written by a newer version")


def stored(evidence: Evidence, name: str, number: int) -> Path:
    return evidence.store(full_evaluation(evaluation_id=name, finished_at=FINISHED_AT + number), PREDICTIONS)


def test_evidence_is_skipped_named_once_and_deleted_after_routine_results(tmp_path: Path) -> None:
    later = stored(Evidence(tmp_path), "later", 0)
    (later / "evaluation.json").write_text(later_record("later"))
    size = sum(file.stat().st_size for file in later.rglob("*"))
    evidence = Evidence(tmp_path, max_bytes=3.5 * size)
    with capture_logs() as logs:
        for number, name in enumerate(("first", "second", "third"), start=1):
            stored(evidence, name, number)
    found = [(log["folder"], log["reason"]) for log in logs if log["event"] == "evidence of a newer version skipped"]
    assert found == [("later", REASON)]
    # The oldest routine result was deleted instead.
    assert [entry.id for entry in evidence.entries()] == ["third", "second"]
    assert (later / "evaluation.json").read_text() == later_record("later")


def test_unknown_fields_of_checks_are_ignored(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    check = CheckResult("fpr_target", "", 0.1, 0.2, True, False, "detail")
    folder = stored(evidence, "later", 0)
    (folder / "checks.json").write_text(json.dumps([{**asdict(check), "added_later": 1}]))
    fresh = Evidence(tmp_path)
    (entry,) = fresh.entries()
    assert fresh.checks(entry) == (check,)
