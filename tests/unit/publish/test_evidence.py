"""Evidence is written atomically, bounded by count and bytes, and found only by ids of stored evaluations."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.checks.basis import basis_without_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.disk import bytes_below, is_full
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.history import History
from starlight_exporter.publish.prediction_queries import Selection
from starlight_exporter.publish.retention import Entry
from support.snapshots import FINISHED_AT, example_prediction, full_evaluation, proportion

PREDICTIONS = (
    example_prediction("clean/a.png"),
    example_prediction("stego/b.png", stego=True),
    example_prediction("clean/c.png", verdict=None),
)


def numbered(
    number: int, *, model: str = "production", fingerprint: str = "f" * 64, sha256: str = "a" * 64
) -> Evaluation:
    return full_evaluation(
        evaluation_id=f"run-{number:04}",
        model=model,
        finished_at=FINISHED_AT + number,
        fingerprint=fingerprint,
        model_sha256=sha256,
    )


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def test_stored_evaluation_reads_back_equal(tmp_path: Path) -> None:
    folder = Evidence(tmp_path).store(numbered(1), PREDICTIONS)
    assert folder == tmp_path / "evaluations" / "run-0001"
    assert sorted(item.name for item in folder.iterdir()) == [
        *("checks.json", "evaluation.json", "predictions.sqlite", "sequence"),
    ]
    again = Evidence(tmp_path)
    entry = again.find("run-0001")
    assert entry is not None
    assert again.evaluation(entry) == numbered(1)
    assert again.predictions(entry) == PREDICTIONS
    assert again.folder(entry) == folder


def test_empty_evidence_has_no_entries(tmp_path: Path) -> None:
    assert Evidence(tmp_path / "nowhere").entries() == []
    assert Evidence(tmp_path).find("run-0001") is None


def test_entries_are_newest_first_and_filtered_by_model_and_dataset(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for number, model in ((1, "a"), (2, "a"), (3, "b")):
        evidence.store(numbered(number, model=model), PREDICTIONS)
    assert ids(evidence.entries()) == ["run-0003", "run-0002", "run-0001"]
    assert ids(evidence.entries("a")) == ["run-0002", "run-0001"]
    assert ids(evidence.entries("b", "reference")) == ["run-0003"]
    assert ids(evidence.entries("b", "field")) == []


def test_keeps_newest_evaluations_of_each_model_and_dataset(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, keep=2)
    evidence.store(numbered(0, model="other"), PREDICTIONS)
    for number in (3, 4, 5, 6):
        evidence.store(numbered(number), PREDICTIONS)
    assert ids(evidence.entries()) == ["run-0006", "run-0005", "run-0000"]
    assert sorted(item.name for item in (tmp_path / "evaluations").iterdir()) == ["run-0000", "run-0005", "run-0006"]


def test_order_of_storage_counts_after_the_clock_was_set_back(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, keep=3)
    old = replace(numbered(9).provenance, model_sha256="c" * 64)
    for number in (8, 9, 1, 2):
        evidence.store(numbered(number) if number != 9 else replace(numbered(9), provenance=old), PREDICTIONS)
    assert ids(evidence.entries()) == ["run-0002", "run-0001", "run-0009"]
    assert ids(evidence.earlier(numbered(1))) == ["run-0009"]
    # Not stored yet.
    assert ids(evidence.earlier(numbered(3))) == ["run-0002", "run-0001", "run-0009"]
    found = evidence.predecessor(numbered(2))
    assert found is not None
    assert found.id == "run-0009"


def test_keeps_failed_checks_and_changes_longer_than_routine_evaluations(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, keep=5)
    for number in range(1, 11):
        new = replace(numbered(number).provenance, model_sha256="c" * 64 if number >= 5 else "b" * 64)
        result = replace(numbered(number), provenance=new)
        worse = replace(result, clean=proportion(90, 100))
        checks = run_checks(worse, basis_without_baseline(worse, None)) if number == 2 else ()
        evidence.store(result, PREDICTIONS, checks=checks)
    # 4 and 5 are before and after the new model, 2 failed, 10 is the newest, 9 the newest routine evaluation.
    assert ids(evidence.entries()) == ["run-0010", "run-0009", "run-0005", "run-0004", "run-0002"]
    assert [entry.failed_checks > 0 for entry in evidence.entries()] == [False, False, False, False, True]


def test_total_size_is_bounded_and_newest_of_a_pair_is_deleted_last(tmp_path: Path) -> None:
    plain = sum(item.stat().st_size for item in Evidence(tmp_path / "one").store(numbered(1), PREDICTIONS).iterdir())
    evidence = Evidence(tmp_path, max_bytes=plain * 3 + 1000)
    evidence.store(numbered(1, model="other"), PREDICTIONS)
    for number in range(2, 7):
        evidence.store(numbered(number), PREDICTIONS)
    assert ids(evidence.entries()) == ["run-0006", "run-0005", "run-0001"]
    tiny = Evidence(tmp_path, max_bytes=1)
    tiny.store(numbered(7), PREDICTIONS)
    assert ids(tiny.entries()) == ["run-0007"]


@pytest.mark.slow
def test_full_disk_evicts_oldest_evidence(small_disk: Path) -> None:
    evidence = Evidence(small_disk)
    many = [example_prediction(f"clean/{number:05}.png") for number in range(300)]
    with capture_logs() as logs:
        for number in range(1, 11):
            evidence.store(numbered(number), many)
    kept = ids(evidence.entries())
    assert kept[0] == "run-0010"
    assert kept == [f"run-{number:04}" for number in range(10, 10 - len(kept), -1)]
    assert sum(log["event"] == "old evidence deleted" for log in logs) == 10 - len(kept) > 0
    assert evidence.open(evidence.entries()[0]).count(Selection("all")) == 300
    with pytest.raises(StorageError, match=r"No space left|disk is full"):
        evidence.store(numbered(11), [example_prediction(f"clean/{number:06}.png") for number in range(20_000)])
    assert not list((small_disk / "evaluations").glob(".partial-*"))


def test_evicting_evidence_frees_space_for_history(small_disk: Path) -> None:
    evidence, history = Evidence(small_disk), History(small_disk / "history.jsonl")
    many = [example_prediction(f"clean/{number:05}.png") for number in range(200)]
    for number in range(1, 4):
        evidence.store(numbered(number), many)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StorageError) as error:
        history.append(numbered(4))
    assert is_full(error.value)
    assert evidence.evict()
    history.append(numbered(4))
    assert [one.id for one in history.evaluations()] == ["run-0004"]
    assert ids(evidence.entries()) == ["run-0003", "run-0002"]
    history.close()


def test_never_evicts_newest_of_a_model_and_dataset(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for number, model in ((1, "other"), (2, "production"), (3, "production")):
        evidence.store(numbered(number, model=model), PREDICTIONS)
    assert evidence.evict() > 0
    assert evidence.evict() == 0
    assert ids(evidence.entries()) == ["run-0003", "run-0001"]


def test_thumbnails_are_stored(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    evidence.store(numbered(1), PREDICTIONS, thumbnails={"a.png": b"image"})
    (entry,) = evidence.entries()
    assert evidence.thumbnail(entry, "b.png") is None
    found = evidence.thumbnail(entry, "a.png")
    assert found is not None
    assert found.read_bytes() == b"image"


def test_entries_follow_changes_by_another_process(tmp_path: Path) -> None:
    one, other = Evidence(tmp_path), Evidence(tmp_path, keep=1)
    one.store(numbered(1), PREDICTIONS)
    assert ids(other.entries()) == ["run-0001"]
    other.store(numbered(2), PREDICTIONS)
    assert ids(one.entries()) == ["run-0002"]


@pytest.mark.parametrize(
    "asked", ["", ".", "..", "../run-0001", "run-0001/", "run-0001/../run-0001", "/etc", "run-0001\x00", "link", "*"]
)
def test_unknown_ids_find_nothing(tmp_path: Path, asked: str) -> None:
    evidence = Evidence(tmp_path)
    folder = evidence.store(numbered(1), PREDICTIONS)
    (tmp_path / "evaluations" / "link").symlink_to(folder)
    assert evidence.find(asked) is None


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", ".hidden", "a b", "x" * 201, "a\n"])
def test_rejects_id_that_is_not_a_folder_name(tmp_path: Path, bad: str) -> None:
    with pytest.raises(StorageError, match="is not a valid folder name"):
        Evidence(tmp_path).store(full_evaluation(evaluation_id=bad), PREDICTIONS)
    assert list(tmp_path.rglob("*")) == []


def test_failed_write_leaves_no_files(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    broken = (*PREDICTIONS, replace(PREDICTIONS[0], path="caf\udce9.png"))
    with pytest.raises(StorageError, match="cannot be written: 'utf-8' codec"):
        evidence.store(numbered(1), broken)
    assert list((tmp_path / "evaluations").iterdir()) == []
    evidence.store(numbered(1), PREDICTIONS)
    with pytest.raises(StorageError, match=r"evaluations/run-0001: cannot be written: Directory not empty"):
        evidence.store(numbered(1), ())
    entry = evidence.find("run-0001")
    assert entry is not None
    assert evidence.predictions(entry) == PREDICTIONS


def test_error_if_evaluations_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "evaluations").write_text("mine")
    with pytest.raises(StorageError, match=r"evaluations: cannot be read: Not a directory"):
        Evidence(tmp_path).store(numbered(1), PREDICTIONS)
    with pytest.raises(StorageError, match=r"evaluations: cannot be read: Not a directory"):
        Evidence(tmp_path).entries()


def test_partial_folder_of_a_crash_is_ignored_and_deleted(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("damage", ['{"schema": 0}', "{", None])
def test_damaged_evidence_counts_towards_size_and_is_deleted_first(tmp_path: Path, damage: str | None) -> None:
    plain = bytes_below(Evidence(tmp_path).store(numbered(1), PREDICTIONS))
    damaged = Evidence(tmp_path).store(numbered(2), PREDICTIONS)
    if damage is None:
        (damaged / "evaluation.json").unlink()
    else:
        (damaged / "evaluation.json").write_text(damage)
    (damaged / "filler").write_bytes(b"x" * plain)
    evidence = Evidence(tmp_path, max_bytes=plain * 2 + 1000)
    with capture_logs() as logs:
        evidence.store(numbered(3), PREDICTIONS)
    assert not damaged.exists()
    assert ids(evidence.entries()) == ["run-0003", "run-0001"]
    assert str(damaged) in [log["folder"] for log in logs if log["event"] == "damaged evidence skipped"]


def test_temporarily_unreadable_evidence_is_kept_and_logged_once(tmp_path: Path) -> None:
    folder = Evidence(tmp_path).store(numbered(1), PREDICTIONS)
    Evidence(tmp_path).store(numbered(2), PREDICTIONS)
    evidence = Evidence(tmp_path)
    # A symlink to itself cannot be opened by any user, including root.
    moved = (folder / "evaluation.json").rename(folder / "moved")
    (folder / "evaluation.json").symlink_to("evaluation.json")
    with capture_logs() as logs:
        assert ids(evidence.entries()) == ids(evidence.entries()) == ["run-0002"]
    assert [log["folder"] for log in logs] == [str(folder)]
    assert evidence.evict() == 0
    moved.replace(folder / "evaluation.json")
    assert ids(evidence.entries()) == ["run-0002", "run-0001"]


def test_error_names_deleted_evidence(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, keep=1)
    evidence.store(numbered(1), PREDICTIONS)
    entry = evidence.find("run-0001")
    assert entry is not None
    evidence.store(numbered(2), PREDICTIONS)
    with pytest.raises(StorageError, match=r"run-0001/evaluation\.json: cannot be read: No such file"):
        evidence.evaluation(entry)
    with pytest.raises(StorageError, match=r"run-0001/predictions\.sqlite"):
        evidence.predictions(entry)


def test_previous_prefers_another_model_file_to_a_repetition(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for number, sha256 in ((1, "a"), (2, "a"), (3, "b"), (4, "b")):
        result = numbered(number)
        evidence.store(replace(result, provenance=replace(result.provenance, model_sha256=sha256 * 64)), PREDICTIONS)
    found = {entry.id: evidence.previous(entry) for entry in evidence.entries()}
    assert {key: entry and entry.id for key, entry in found.items()} == {
        "run-0004": "run-0002",
        "run-0003": "run-0002",
        "run-0002": "run-0001",
        "run-0001": None,
    }


def test_previous_has_the_same_images(tmp_path: Path) -> None:
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
