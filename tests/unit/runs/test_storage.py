"""Storage on full disks, and while files are removed."""

from __future__ import annotations

import errno
import itertools
import math
import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.config import Config, load_config
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish.boot_clock import BootClock
from starlight_exporter.publish.compaction import CompactionPlan, FilePlan, remove_records
from starlight_exporter.publish.history import History
from starlight_exporter.runs.scratch import scratch_folder
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage
from support.snapshots import FINISHED_AT, empty_snapshot, example_prediction, full_evaluation


def configured(folder: Path, *, data: Path, results: Path) -> Config:
    file = folder / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\ndatasets: [{name: reference, path: images}]\n"
        f"paths: {{data: {data}, results: {results}}}\n"
    )
    return load_config(file)


def numbered(number: int) -> Evaluation:
    return full_evaluation(evaluation_id=f"run-{number}", finished_at=FINISHED_AT + number)


def store(storage: Storage, numbers: range) -> None:
    many = tuple(example_prediction(f"clean/{number:05}.png") for number in range(200))
    for number in numbers:
        storage.store(RunResult(numbered(number), many, None), (), None)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def ids(storage: Storage) -> list[str]:
    return [entry.id for entry in storage.evidence.entries()]


def test_full_history_disk_does_not_remove_evidence_on_another_disk(tmp_path: Path, small_disk: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, data=small_disk, results=tmp_path / "results"))
    store(storage, range(1, 4))
    fill(small_disk)
    store(storage, range(4, 6))
    storage.close()
    assert ids(storage) == ["run-5", "run-4", "run-3", "run-2", "run-1"]
    assert state.snapshot.storage_failures == {"history": 2}


def test_full_history_disk_removes_old_evidence_on_the_same_disk(tmp_path: Path, small_disk: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, data=small_disk, results=small_disk / "results"))
    store(storage, range(1, 4))
    fill(small_disk)
    store(storage, range(4, 5))
    storage.close()
    assert [one.id for one in storage.history.evaluations()][-1] == "run-4"
    assert "run-1" not in ids(storage)
    assert state.snapshot.storage_failures == {}


def test_results_are_stored_in_order_when_the_disk_is_back(tmp_path: Path, small_disk: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, data=small_disk, results=small_disk / "results"))
    fill(small_disk)
    thumbnails = tmp_path / "thumbnails"
    thumbnails.mkdir()
    (thumbnails / "a.png").write_bytes(b"image")
    many = tuple(example_prediction(f"clean/{number:05}.png") for number in range(100))
    for number in (1, 2, 3):
        storage.store(RunResult(numbered(number), many, None), (), thumbnails)
    (thumbnails / "a.png").unlink()
    assert state.snapshot.storage_pending == 3
    waiting = state.snapshot.storage_failures
    storage.check()
    assert state.snapshot.storage_pending == 3
    # A result that waits is counted once.
    assert state.snapshot.storage_failures == waiting
    (small_disk / "filler").unlink()
    storage.check()
    assert state.snapshot.storage_pending == 0
    assert [one.id for one in storage.history.evaluations()] == ["run-1", "run-2", "run-3"]
    assert ids(storage) == ["run-3", "run-2", "run-1"]
    newest = storage.evidence.entries()[0]
    found = storage.evidence.thumbnail(newest, "a.png")
    assert found is not None
    assert found.read_bytes() == b"image"
    storage.close()


def test_predictions_of_a_pending_result_outlive_the_folder_of_its_run(tmp_path: Path, small_disk: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, data=tmp_path / "data", results=small_disk / "results"))
    fill(small_disk)
    many = tuple(example_prediction(f"clean/{number:05}.png") for number in range(100))
    with scratch_folder() as folder:
        table = PredictionTable.write(folder / "predictions.sqlite", many)
        storage.store(RunResult(numbered(1), table, None), (), None)
    assert not folder.exists()
    pending = storage.pending_predictions("run-1")
    assert pending == many
    (small_disk / "filler").unlink()
    storage.check()
    assert storage.evidence.predictions(storage.evidence.entries()[0]) == many
    assert storage.pending_predictions("run-1") is None
    storage.close()
    assert not pending.path.parent.exists()


def test_bounded_number_of_results_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starlight_exporter.runs.pending_results.MAX_RESULTS", 3)
    state = State(empty_snapshot())
    data = tmp_path / "data"
    data.write_text("not a folder")
    storage = Storage(state, configured(tmp_path, data=data, results=tmp_path / "results"))
    store(storage, range(1, 6))
    assert state.snapshot.storage_pending == 3
    data.unlink()
    storage.check()
    assert [one.id for one in storage.history.evaluations()] == ["run-3", "run-4", "run-5"]
    storage.close()


def test_result_that_can_never_be_stored_does_not_delay_others(tmp_path: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    damaged = replace(numbered(1), duration_seconds=math.inf)
    storage.store(RunResult(damaged, (), None), (), None)
    store(storage, range(2, 3))
    assert state.snapshot.storage_pending == 0
    assert [one.id for one in storage.history.evaluations()] == ["run-2"]
    storage.close()


def test_result_that_can_never_be_stored_is_counted_after_an_outage(tmp_path: Path) -> None:
    state = State(empty_snapshot())
    data = tmp_path / "data"
    data.write_text("not a folder")
    storage = Storage(state, configured(tmp_path, data=data, results=tmp_path / "results"))
    store(storage, range(1, 2))
    storage.store(RunResult(replace(numbered(2), duration_seconds=math.inf), (), None), (), None)
    before = state.snapshot.storage_failures["history"]
    data.unlink()
    storage.check()
    assert [one.id for one in storage.history.evaluations()] == ["run-1"]
    assert state.snapshot.storage_failures["history"] == before + 1
    storage.close()


def test_checks_of_a_pending_result_can_be_replaced(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.write_text("not a folder")
    storage = Storage(State(empty_snapshot()), configured(tmp_path, data=tmp_path / "data", results=results))
    predictions = (example_prediction("clean/1.png"),)
    storage.store(RunResult(numbered(1), predictions, None), (), None)
    assert storage.pending_predictions("run-1") == predictions
    assert storage.pending_predictions("run-2") is None
    check = CheckResult("fpr_target", "", 0.0, 0.0005, True, False, "0 of 1")
    storage.replace_checks("run-1", (check,))
    results.unlink()
    storage.check()
    assert storage.pending_predictions("run-1") is None
    assert storage.evidence.checks(storage.evidence.entries()[0]) == (check,)
    storage.close()


def test_disk_usage_ignores_files_that_are_removed_meanwhile(tmp_path: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    over = threading.Event()

    def add_and_remove() -> None:
        while not over.is_set():
            for number in range(8):
                (tmp_path / "results" / "evaluations" / f"run-{number}" / "thumbnails").mkdir(parents=True)
            for number in range(8):
                (tmp_path / "results" / "evaluations" / f"run-{number}" / "thumbnails").rmdir()
                (tmp_path / "results" / "evaluations" / f"run-{number}").rmdir()

    other = threading.Thread(target=add_and_remove)
    other.start()
    try:
        for _ in range(500):
            storage.update_metrics()
    finally:
        over.set()
        other.join()
    assert state.snapshot.storage_size_bytes["evidence"] == 0


def old_results(count: int) -> list[Evaluation]:
    """Return results of one day, and one of a later day."""
    day = FINISHED_AT // 86_400 * 86_400 - 365 * 86_400
    old = [full_evaluation(evaluation_id=f"old-{number}", finished_at=day + number) for number in range(count)]
    return [*old, full_evaluation(evaluation_id="new", finished_at=day + 100 * 86_400)]


@pytest.fixture
def uptime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock advances by a year between two readings, so that all dates are confirmed."""
    years = itertools.count()
    monkeypatch.setattr(
        "starlight_exporter.publish.history.read_boot_clock", lambda: BootClock("boot", 365.0 * 86_400 * next(years))
    )


def compacting(config: Config) -> Config:
    return config.model_copy(update={"history": config.history.model_copy(update={"compact_after": 30 * 86_400.0})})


def success(state: State) -> bool | None:
    return state.snapshot.history_compaction_successful


@pytest.mark.usefixtures("uptime")
def test_history_is_compacted_only_if_configured(tmp_path: Path) -> None:
    config = configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results")
    state = State(empty_snapshot())
    storage = Storage(state, config)
    for one in old_results(4):
        storage.history.append(one)
    storage.compact()
    assert len(list(storage.history.evaluations())) == 5
    assert success(state) is None
    storage.move(compacting(config))
    storage.compact()
    assert [one.id for one in storage.history.evaluations()] == ["old-0", "new"]
    assert success(state) is True
    assert state.snapshot.storage_removed["history"] == 3
    storage.compact()
    assert state.snapshot.storage_removed["history"] == 3
    storage.close()


def test_compaction_that_is_no_longer_configured_has_no_result(tmp_path: Path) -> None:
    config = configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results")
    state = State(empty_snapshot())
    storage = Storage(state, compacting(config))
    storage.compact()
    assert success(state) is True
    storage.move(config)
    storage.compact()
    assert success(state) is None
    storage.close()


@pytest.mark.usefixtures("uptime")
def test_compaction_releases_a_history_from_which_the_configuration_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compacting(configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    moved = configured(tmp_path, data=tmp_path / "other", results=tmp_path / "results")
    storage = Storage(State(empty_snapshot()), config)
    for one in old_results(4):
        storage.history.append(one)
    plan = storage.history.plan_compaction

    def planned(age: float, *, trust_dates: bool) -> CompactionPlan:
        found = plan(age, trust_dates=trust_dates)
        storage.move(moved)
        return found

    monkeypatch.setattr(storage.history, "plan_compaction", planned)
    storage.compact()
    other = History(tmp_path / "data" / "history.jsonl")
    other.open()
    assert [one.id for one in other.evaluations()] == ["old-0", "new"]
    other.close()
    storage.close()


@pytest.mark.usefixtures("uptime")
def test_full_disk_keeps_old_results_until_compaction_succeeds(tmp_path: Path, small_disk: Path) -> None:
    config = compacting(configured(tmp_path, data=small_disk / "data", results=tmp_path / "results"))
    state = State(empty_snapshot())
    storage = Storage(state, config)
    for one in old_results(8):
        storage.history.append(one)
    written = (small_disk / "data" / "history.jsonl").read_bytes()
    fill(small_disk)
    storage.compact()
    assert success(state) is False
    assert (small_disk / "data" / "history.jsonl").read_bytes() == written
    (small_disk / "filler").unlink()
    storage.compact()
    assert success(state) is True
    assert state.snapshot.storage_removed["history"] == 7
    storage.close()


@pytest.mark.usefixtures("uptime")
def test_results_that_were_removed_before_a_failure_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compacting(configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    limited = config.history.model_copy(update={"max_bytes": 2 * len(to_json(numbered(1))) + 400})
    state = State(empty_snapshot())
    storage = Storage(state, config.model_copy(update={"history": limited}))
    for one in old_results(6):
        storage.history.append(one)
    rewritten: list[FilePlan] = []

    def failing(plan: FilePlan) -> bool:
        if rewritten:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        rewritten.append(plan)
        return remove_records(plan)

    with monkeypatch.context() as patch:
        patch.setattr("starlight_exporter.publish.history.remove_records", failing)
        storage.compact()
    assert success(state) is False
    left = len(list(storage.history.evaluations()))
    assert state.snapshot.storage_removed["history"] == 7 - left > 0
    storage.compact()
    assert success(state) is True
    assert state.snapshot.storage_removed["history"] == 5
    storage.close()


def test_history_is_read_for_compaction_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compacting(configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    storage = Storage(State(empty_snapshot()), config)
    plan, planned = storage.history.plan_compaction, []

    def counted(age: float, *, trust_dates: bool) -> CompactionPlan:
        planned.append(age)
        return plan(age, trust_dates=trust_dates)

    monkeypatch.setattr(storage.history, "plan_compaction", counted)
    noon = time.time() // 86_400 * 86_400 + 43_200
    for hours in (0, 1, 11, 12, 13, 36):
        monkeypatch.setattr(time, "time", lambda hours=hours: noon + 3_600.0 * hours)
        storage.compact()
    assert len(planned) == 3
    storage.close()


def test_results_whose_age_is_not_confirmed_are_kept_with_a_reason(tmp_path: Path) -> None:
    config = compacting(configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    state = State(empty_snapshot())
    storage = Storage(state, config)
    for one in old_results(4):
        storage.history.append(one)
    with capture_logs() as logs:
        storage.compact()
    (entry,) = logs
    assert (entry["event"], entry["records"]) == ("old results kept", 3)
    assert entry["reason"] == "a wrong system clock is possible: the uptime of the machine confirms only 0 s"
    assert success(state) is True
    assert len(list(storage.history.evaluations())) == 5
    storage.close()


@pytest.mark.usefixtures("uptime")
def test_results_with_dates_in_the_future_are_kept_with_a_warning(tmp_path: Path) -> None:
    config = compacting(configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results"))
    state = State(empty_snapshot())
    storage = Storage(state, config)
    for number in range(3):
        storage.history.append(full_evaluation(evaluation_id=f"{number}", finished_at=time.time() + 3_650 * 86_400))
    with capture_logs() as logs:
        storage.compact()
    assert logs == [
        {
            "event": "results with dates in the future kept",
            "log_level": "warning",
            "records": 3,
            "reason": "the system clock was ahead when they were stored, or is behind now",
        }
    ]
    assert success(state) is True
    storage.close()


def test_evicted_evidence_is_counted(tmp_path: Path) -> None:
    config = configured(tmp_path, data=tmp_path / "data", results=tmp_path / "results")
    config = config.model_copy(update={"evidence": config.evidence.model_copy(update={"keep": 2})})
    state = State(empty_snapshot())
    storage = Storage(state, config)
    store(storage, range(5))
    assert state.snapshot.storage_removed["evidence"] == 3
    storage.close()
