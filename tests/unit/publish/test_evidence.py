"""The evidence behind evaluations: whole or not at all, bounded, and reachable by known ids alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.errors import StorageError
from exporter.evaluation.evaluation import Evaluation
from exporter.publish.evidence import Entry, Evidence
from support.publishing import FINISHED_AT, evaluation, prediction

PREDICTIONS = (
    prediction("clean/a.png"),
    prediction("stego/b.png", stego=True),
    prediction("clean/c.png", verdict=None),
)


def numbered(
    number: int, *, model: str = "production", fingerprint: str = "f" * 64, sha256: str = "a" * 64
) -> Evaluation:
    return evaluation(
        evaluation_id=f"run-{number:04}",
        model=model,
        finished_at=FINISHED_AT + number,
        fingerprint=fingerprint,
        model_sha256=sha256,
    )


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    folder = Evidence(tmp_path).store(numbered(1), PREDICTIONS)
    assert folder == tmp_path / "evaluations" / "run-0001"
    assert sorted(item.name for item in folder.iterdir()) == ["evaluation.json", "predictions.csv"]
    again = Evidence(tmp_path)
    entry = again.find("run-0001")
    assert entry is not None
    assert again.evaluation(entry) == numbered(1)
    assert again.predictions(entry) == PREDICTIONS
    assert again.folder(entry) == folder


def test_nothing_stored_yet(tmp_path: Path) -> None:
    assert Evidence(tmp_path / "nowhere").entries() == []
    assert Evidence(tmp_path).find("run-0001") is None


def test_lists_are_newest_first_and_by_model_or_dataset(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for number, model in ((2, "a"), (1, "a"), (3, "b")):
        evidence.store(numbered(number, model=model), PREDICTIONS)
    assert ids(evidence.entries()) == ["run-0003", "run-0002", "run-0001"]
    assert ids(evidence.entries("a")) == ["run-0002", "run-0001"]
    assert ids(evidence.entries("b", "reference")) == ["run-0003"]
    assert ids(evidence.entries("b", "field")) == []


def test_the_oldest_of_the_same_model_and_dataset_make_room(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, keep=2)
    evidence.store(numbered(0, model="other"), PREDICTIONS)
    for number in (5, 3, 4, 6):
        evidence.store(numbered(number), PREDICTIONS)
    assert ids(evidence.entries()) == ["run-0006", "run-0005", "run-0000"]
    assert sorted(item.name for item in (tmp_path / "evaluations").iterdir()) == ["run-0000", "run-0005", "run-0006"]


def test_another_process_may_add_and_remove(tmp_path: Path) -> None:
    one, other = Evidence(tmp_path), Evidence(tmp_path, keep=1)
    one.store(numbered(1), PREDICTIONS)
    assert ids(other.entries()) == ["run-0001"]
    other.store(numbered(2), PREDICTIONS)
    assert ids(one.entries()) == ["run-0002"]


@pytest.mark.parametrize(
    "asked", ["", ".", "..", "../run-0001", "run-0001/", "run-0001/../run-0001", "/etc", "run-0001\x00", "link", "*"]
)
def test_only_ids_that_are_there_lead_anywhere(tmp_path: Path, asked: str) -> None:
    evidence = Evidence(tmp_path)
    folder = evidence.store(numbered(1), PREDICTIONS)
    (tmp_path / "evaluations" / "link").symlink_to(folder)
    assert evidence.find(asked) is None


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", ".hidden", "a b", "x" * 201, "a\n"])
def test_an_id_that_is_no_folder_name_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(StorageError, match="cannot be the name of a folder"):
        Evidence(tmp_path).store(evaluation(evaluation_id=bad), PREDICTIONS)
    assert list(tmp_path.rglob("*")) == []


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    broken = (*PREDICTIONS, replace(PREDICTIONS[0], path="caf\udce9.png"))
    with pytest.raises(StorageError, match=r"evaluations/run-0001: cannot be written"):
        evidence.store(numbered(1), broken)
    assert list((tmp_path / "evaluations").iterdir()) == []
    evidence.store(numbered(1), PREDICTIONS)
    with pytest.raises(StorageError, match=r"evaluations/run-0001: cannot be written: Directory not empty"):
        evidence.store(numbered(1), ())
    entry = evidence.find("run-0001")
    assert entry is not None
    assert evidence.predictions(entry) == PREDICTIONS


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "evaluations").write_text("mine")
    with pytest.raises(StorageError, match=r"run-0001: cannot be written"):
        Evidence(tmp_path).store(numbered(1), PREDICTIONS)
    with pytest.raises(StorageError, match=r"evaluations: cannot be read: Not a directory"):
        Evidence(tmp_path).entries()


def test_what_a_crash_left_half_written_is_no_evidence_and_goes_away(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    evidence.store(numbered(1), PREDICTIONS)
    partial = tmp_path / "evaluations" / ".partial-run-0002"
    partial.mkdir()
    (partial / "evaluation.json").write_text("{")
    assert ids(evidence.entries()) == ["run-0001"]
    evidence.store(numbered(3), PREDICTIONS)
    assert not partial.exists()


def test_damaged_evidence_is_skipped_and_logged_once(tmp_path: Path) -> None:
    Evidence(tmp_path).store(numbered(1), PREDICTIONS)
    (Evidence(tmp_path).store(numbered(2), PREDICTIONS) / "evaluation.json").write_bytes(b"\xff")
    evidence = Evidence(tmp_path)
    with capture_logs() as logs:
        assert ids(evidence.entries()) == ["run-0001"]
        assert ids(evidence.entries()) == ["run-0001"]
    assert len(logs) == 1
    assert "run-0002/evaluation.json" in logs[0]["reason"]


def test_evidence_that_vanishes_while_it_is_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, keep=1)
    evidence.store(numbered(1), PREDICTIONS)
    entry = evidence.find("run-0001")
    assert entry is not None
    evidence.store(numbered(2), PREDICTIONS)
    with pytest.raises(StorageError, match=r"run-0001/evaluation\.json: cannot be read: No such file"):
        evidence.evaluation(entry)
    with pytest.raises(StorageError, match=r"run-0001/predictions\.csv"):
        evidence.predictions(entry)


def test_the_previous_one_is_of_the_same_content(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    evidence.store(numbered(1), PREDICTIONS)
    evidence.store(numbered(2, model="other"), PREDICTIONS)
    evidence.store(numbered(3, fingerprint="e" * 64), PREDICTIONS)
    evidence.store(numbered(4), PREDICTIONS)
    newest, first = evidence.find("run-0004"), evidence.find("run-0001")
    assert newest is not None
    assert first is not None
    assert evidence.previous(newest) == first
    assert evidence.previous(first) is None


def test_the_predecessor_is_another_file_under_the_same_name(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    evidence.store(numbered(1, sha256="b" * 64), PREDICTIONS)
    evidence.store(numbered(2, sha256="c" * 64, fingerprint="e" * 64), PREDICTIONS)
    evidence.store(numbered(3, sha256="d" * 64, model="other"), PREDICTIONS)
    evidence.store(numbered(4), PREDICTIONS)
    evidence.store(numbered(5), PREDICTIONS)
    newest, first = evidence.find("run-0005"), evidence.find("run-0001")
    assert newest is not None
    assert first is not None
    assert evidence.predecessor(newest) == first
    assert evidence.predecessor(first) is None
