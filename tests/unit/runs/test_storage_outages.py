"""Volumes that become read-only, and exceeded quotas: results wait and are stored in order, as on a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.config import Config, load_config
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.publish.disk import is_full
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage
from support.small_disk import remount
from support.snapshots import FINISHED_AT, empty_snapshot, example_prediction, full_evaluation


def configured(folder: Path, *, disk: Path) -> Config:
    file = folder / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\ndatasets: [{name: reference, path: images}]\n"
        f"paths: {{data: {disk / 'data'}, results: {disk / 'results'}}}\n"
    )
    return load_config(file)


def store(storage: Storage, *numbers: int) -> None:
    for number in numbers:
        evaluation = full_evaluation(evaluation_id=f"run-{number}", finished_at=FINISHED_AT + number)
        storage.store(RunResult(evaluation, (example_prediction("clean/1.png"),), None), (), None)


def stored(storage: Storage) -> tuple[list[str], list[str]]:
    """Return the results in the history, and those with evidence, oldest first."""
    return [one.id for one in storage.history.evaluations()], [one.id for one in storage.evidence.entries()][::-1]


def test_results_wait_while_the_volume_is_read_only(tmp_path: Path, small_disk: Path) -> None:
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, disk=small_disk))
    store(storage, 1)
    # A file that is open for writing keeps this file system writable, unlike one that an error makes read-only.
    storage.history.close()
    remount(small_disk, "ro")
    with capture_logs() as logs:
        store(storage, 2, 3)
        storage.check()
    assert {log["reason"].rpartition(": ")[2] for log in logs} == {"Read-only file system"}
    assert state.snapshot.storage_pending == 2
    assert state.snapshot.storage_failures == {"history": 2, "evidence": 2}
    assert stored(storage) == (["run-1"], ["run-1"])
    assert state.snapshot.storage_removed == {}
    assert set(state.snapshot.storage_free_bytes) == {"history", "evidence"}
    remount(small_disk, "rw")
    storage.check()
    assert state.snapshot.storage_pending == 0
    assert stored(storage) == (["run-1", "run-2", "run-3"], ["run-1", "run-2", "run-3"])
    storage.close()


def test_service_starts_with_a_read_only_volume(tmp_path: Path, small_disk: Path) -> None:
    config = configured(tmp_path, disk=small_disk)
    storage = Storage(State(empty_snapshot()), config)
    store(storage, 1)
    storage.close()
    remount(small_disk, "ro")
    state = State(empty_snapshot())
    restarted = Storage(state, config)
    restarted.open()
    assert state.snapshot.storage_failures == {"history": 1}
    latest = restarted.latest([("production", "reference")])
    assert [one.id for one in latest.values()] == ["run-1"]
    remount(small_disk, "rw")
    store(restarted, 2)
    assert stored(restarted)[0] == ["run-1", "run-2"]
    restarted.close()


def test_exceeded_quota_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems report it when a file is synced."""
    state = State(empty_snapshot())
    storage = Storage(state, configured(tmp_path, disk=tmp_path))
    store(storage, 1)

    def exceeded(_descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", exceeded)
        store(storage, 2, 3)
        with pytest.raises(StorageError, match="Disk quota exceeded") as error:
            storage.history.append(full_evaluation())
    assert is_full(error.value)
    assert state.snapshot.storage_pending == 2
    assert state.snapshot.storage_failures == {"history": 2, "evidence": 2}
    storage.check()
    assert state.snapshot.storage_pending == 0
    # Old evidence was evicted, as on a full disk.
    assert stored(storage) == (["run-1", "run-2", "run-3"], ["run-2", "run-3"])
    assert state.snapshot.storage_removed == {"evidence": 1}
    storage.close()
