"""Compaction thins out old records of the history, and loses or doubles no other, whenever it is interrupted.

The dates of the records are trusted; wrong clocks are the subject of test_compaction_clocks.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish.compaction import DAY, FilePlan, plan_compaction, remove_records
from starlight_exporter.publish.history import History
from starlight_exporter.publish.history_files import rotated_files
from support.snapshots import full_evaluation

HOUR = DAY // 24
TODAY = int(time.time()) // DAY * DAY
AGE = 30 * DAY


def evaluation(name: str, at: float, *, model: str = "production", sha256: str = "a" * 64) -> Evaluation:
    result = full_evaluation(evaluation_id=name, model=model, dataset="reference", finished_at=at)
    return replace(result, provenance=replace(result.provenance, model_sha256=sha256))


def hourly(days_ago: int, hours: Sequence[int], **changes: str) -> list[Evaluation]:
    start = TODAY - days_ago * DAY
    return [evaluation(f"{days_ago}d-{hour}h", start + hour * HOUR, **changes) for hour in hours]


def write(path: Path, evaluations: Sequence[Evaluation]) -> History:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(to_json(one) + "\n" for one in evaluations), encoding="utf-8")
    return History(path)


def ids(history: History) -> list[str]:
    return [result.id for result in history.evaluations()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.jsonl"


@pytest.fixture
def opened() -> Iterator[list[History]]:
    histories: list[History] = []
    yield histories
    for history in histories:
        history.close()


OLD = [*hourly(60, range(0, 24, 6)), *hourly(40, range(0, 24, 6)), *hourly(1, range(0, 24, 6))]
KEPT = ["60d-0h", "40d-0h", "1d-0h", "1d-6h", "1d-12h", "1d-18h"]


def test_keeps_the_first_of_each_old_day_and_everything_newer(path: Path) -> None:
    history = write(path, OLD)
    lines = path.read_bytes().splitlines()
    removed = history.compact(AGE, trust_dates=True)
    assert ids(history) == KEPT
    assert removed.records == 6
    # The records that are kept are not written again.
    assert set(path.read_bytes().splitlines()) <= set(lines)
    assert history.compact(AGE, trust_dates=True).records == 0
    history.close()


def test_keeps_the_first_after_each_change_of_the_model(path: Path) -> None:
    day = hourly(60, range(8))
    changed = [replace(one, provenance=replace(one.provenance, model_sha256="b" * 64)) for one in day[3:5]]
    history = write(path, [*day[:3], *changed, *day[5:], *hourly(1, [0])])
    history.compact(AGE, trust_dates=True)
    assert ids(history) == ["60d-0h", "60d-3h", "60d-5h", "1d-0h"]
    history.close()


def test_keeps_the_newest_of_each_model_and_dataset(path: Path) -> None:
    history = write(path, [*hourly(60, range(3), model="gone"), *hourly(1, [0])])
    history.compact(AGE, trust_dates=True)
    assert ids(history) == ["60d-0h", "60d-2h", "1d-0h"]
    history.close()


def test_records_that_cannot_be_read_are_kept(path: Path) -> None:
    write(path, OLD)
    newer = to_json(OLD[1]).replace('{"schema":1,', '{"schema":2,')
    lines = path.read_text().splitlines(keepends=True)
    large = f'{{"schema":1,"finished_at":1{"0" * 400}}}\n'
    foreign = [newer + "\n", "damaged\n", '{"schema":1}\n', '{"schema":1,"finished_at":1e999}\n', large]
    path.write_text("".join([*foreign, *lines]))
    history = History(path)
    assert history.compact(AGE, trust_dates=True).records == 6
    assert path.read_text().splitlines(keepends=True)[: len(foreign)] == foreign
    with capture_logs():
        assert ids(history) == KEPT
    history.close()


def test_plan_changes_nothing_and_needs_no_lock(path: Path, opened: list[History]) -> None:
    opened.append(write(path, OLD))
    opened[0].open()
    before = path.read_bytes()
    plan = History(path).plan_compaction(AGE, trust_dates=True)
    assert plan.records == 6
    assert plan.bytes == sum(len(to_json(one)) + 1 for one in OLD if one.id not in KEPT)
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match="another process is writing this history"):
        History(path).compact(AGE, trust_dates=True)


def test_records_that_are_appended_meanwhile_are_kept(path: Path, opened: list[History]) -> None:
    opened.append(write(path, OLD))
    (plan,) = plan_compaction([path], AGE, now=None, trust_dates=True).files
    opened[0].append(evaluation("late", TODAY))
    assert remove_records(plan)
    assert ids(opened[0]) == [*KEPT, "late"]
    opened[0].append(evaluation("later", TODAY))
    assert ids(opened[0]) == [*KEPT, "late", "later"]


def test_a_file_that_was_replaced_meanwhile_is_left_as_it_is(path: Path) -> None:
    write(path, OLD)
    (plan,) = plan_compaction([path], AGE, now=None, trust_dates=True).files
    path.rename(path.with_name("other.jsonl"))
    write(path, OLD)
    assert not remove_records(plan)
    assert len(ids(History(path))) == len(OLD)


def test_rotated_files_are_compacted_and_empty_ones_deleted(path: Path) -> None:
    size = len(to_json(OLD[0])) + 100
    history = History(path, max_bytes=size)
    for one in OLD:
        history.append(one)
    assert len(history.files()) == len(OLD)
    history.compact(AGE, trust_dates=True)
    assert ids(history) == KEPT
    assert len(history.files()) == len(KEPT)
    history.close()


def test_more_compacted_files_are_kept_than_full_ones(path: Path) -> None:
    size = len(to_json(OLD[0])) + 100
    history = History(path, max_bytes=4 * size, keep=2)
    for one in OLD:
        history.append(one)
    history.compact(AGE, trust_dates=True)
    for number in range(4):
        history.append(evaluation(f"new-{number}", TODAY))
    assert len(history.files()) == 4
    assert ids(history)[: len(KEPT)] == KEPT
    history.close()


def test_reader_sees_every_kept_record_once_while_files_are_rewritten(path: Path, opened: list[History]) -> None:
    size = len(to_json(OLD[0])) + 100
    opened.append(History(path, max_bytes=4 * size))
    for one in OLD:
        opened[0].append(one)
    reader = History(path).evaluations()
    seen = [next(reader).id]
    opened[0].compact(AGE, trust_dates=True)
    seen += [one.id for one in reader]
    counts = Counter(seen)
    assert all(counts[name] == 1 for name in KEPT)
    assert max(counts.values()) == 1


def test_reader_sees_no_record_twice_if_the_active_file_is_rotated_and_rewritten_while_it_starts(
    path: Path, opened: list[History], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(len(to_json(one)) + 100 for one in OLD)
    opened.append(History(path, max_bytes=size))
    for one in OLD:
        opened[0].append(one)
    interrupted: list[bool] = []

    def interrupting(of: Path) -> list[Path]:
        if not interrupted:
            interrupted.append(True)
            opened[0].append(evaluation("new", TODAY))
            assert len(rotated_files(of)) == 1
            opened[0].compact(AGE, trust_dates=True)
        return rotated_files(of)

    monkeypatch.setattr("starlight_exporter.publish.history.rotated_files", interrupting)
    assert ids(opened[0]) == [*KEPT, "new"]


def test_writer_loses_nothing_while_files_are_rewritten(path: Path, opened: list[History]) -> None:
    opened.append(write(path, OLD))
    history = opened[0]
    stop = threading.Event()
    added: list[str] = []

    def append() -> None:
        while not stop.is_set():
            added.append(f"new-{len(added)}")
            history.append(evaluation(added[-1], TODAY))

    writer = threading.Thread(target=append)
    writer.start()
    removed = sum(history.compact(AGE, trust_dates=True).records for _ in range(5))
    stop.set()
    writer.join()
    assert removed == 6
    assert ids(history) == [*KEPT, *added]


def test_full_disk_leaves_the_file_unchanged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = write(path, OLD)
    history.open()
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"history\.jsonl: cannot be compacted: No space left on device"):
            history.compact(AGE, trust_dates=True)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.suffix != ".lock"] == [path.name]
    history.append(evaluation("next", TODAY))
    assert len(ids(history)) == len(OLD) + 1
    history.close()


def test_files_that_were_rewritten_before_a_failure_are_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(to_json(OLD[0])) + 100
    history = History(path, max_bytes=6 * size)
    for one in OLD:
        history.append(one)
    removed: list[FilePlan] = []

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:

        def fail_after_the_first(plan: FilePlan) -> None:
            removed.append(plan)
            patch.setattr(os, "fsync", full)

        with pytest.raises(StorageError, match="cannot be compacted: No space left on device"):
            history.compact(AGE, trust_dates=True, removed=fail_after_the_first)
    assert sum(len(plan.removed) for plan in removed) == len(OLD) - len(ids(history)) > 0
    history.close()


def test_lock_file_of_another_user_is_locked() -> None:
    """Root has restored a backup, or has compacted the history."""
    if os.getuid() != 0:
        pytest.skip("only root can create files of another user")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        path.parent.chmod(0o777)
        lock = path.with_name("history.jsonl.lock")
        lock.touch(0o644)

        def opened_by_another_user() -> bool:
            child = os.fork()
            if not child:
                with suppress(StorageError):
                    os.setuid(65534)
                    History(path).open()
                    os._exit(0)
                os._exit(1)
            return os.waitpid(child, 0)[1] == 0

        assert opened_by_another_user()
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert not opened_by_another_user()


def test_killed_compaction_loses_and_doubles_nothing(path: Path) -> None:
    size = len(to_json(OLD[0])) + 100
    history = History(path, max_bytes=3 * size)
    for one in OLD:
        history.append(one)
    history.close()
    complete = ids(history)
    for milliseconds in range(0, 40, 2):
        child = os.fork()
        if not child:
            try:
                History(path).compact(AGE, trust_dates=True)
            finally:
                os._exit(0)
        time.sleep(milliseconds / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = ids(History(path))
        assert [name for name in complete if name in found] == found
        assert set(KEPT) <= set(found)
    history.compact(AGE, trust_dates=True)
    assert ids(history) == KEPT
    history.close()
