"""The history survives crashes, full disks and damaged records without losing complete records."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish.history import History
from support.snapshots import FINISHED_AT, full_evaluation


def numbered(number: int, *, model: str = "production", dataset: str = "reference") -> Evaluation:
    return full_evaluation(
        evaluation_id=f"run-{number:04}", model=model, dataset=dataset, finished_at=FINISHED_AT + number * 60
    )


def ids(history: History) -> list[str]:
    return [result.id for result in history.evaluations()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.jsonl"


def test_appended_evaluations_read_back_equal(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    history.append(numbered(2))
    assert list(History(path).evaluations()) == [numbered(1), numbered(2)]
    for line, n in zip(path.read_text(encoding="utf-8").splitlines(), (1, 2), strict=True):
        assert line.startswith(to_json(numbered(n))[:-1] + ',"boot_clock":{')


def test_missing_history_is_empty(path: Path) -> None:
    assert ids(History(path)) == []
    latest = History(path).load_latest()
    assert latest.evaluations == {}
    assert latest.damaged_lines == 0
    assert not path.parent.exists()


def test_load_latest_returns_last_evaluation_of_each_model_and_dataset(path: Path) -> None:
    history = History(path)
    for number, (model, dataset) in enumerate([("a", "x"), ("b", "x"), ("a", "y"), ("a", "x"), ("b", "x")]):
        history.append(numbered(number, model=model, dataset=dataset))
    latest = history.load_latest().evaluations
    assert {pair: result.id for pair, result in latest.items()} == {
        ("a", "x"): "run-0003",
        ("b", "x"): "run-0004",
        ("a", "y"): "run-0002",
    }
    wanted = history.load_latest([("b", "x"), ("c", "x")]).evaluations
    assert {pair: result.id for pair, result in wanted.items()} == {("b", "x"): "run-0004"}


def test_load_latest_stops_when_all_wanted_are_found(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    path.write_bytes(b"damaged\n" + path.read_bytes())
    assert history.load_latest([("production", "reference")]).damaged_lines == 0
    with capture_logs() as logs:
        assert history.load_latest().damaged_lines == 1
    assert len(logs) == 1


def test_reads_records_longer_than_a_chunk_in_both_directions(path: Path) -> None:
    history = History(path)
    for number in range(3):
        result = numbered(number, model=f"m{number}")
        long = replace(result, quality=replace(result.quality, duplicate_groups=(("x" * 150_000, "é" * 10_000),)))
        history.append(long)
    assert ids(history) == ["run-0000", "run-0001", "run-0002"]
    assert sorted(result.id for result in history.load_latest().evaluations.values()) == ids(history)


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_truncated_last_record_is_moved(path: Path, kept: int) -> None:
    with_two = History(path)
    with_two.append(numbered(1))
    complete = path.read_bytes()
    with_two.append(numbered(2))
    with_two.close()
    line = path.read_bytes()[len(complete) :]
    truncated = line[: kept - 1] if kept == -1 else line[:kept]
    path.write_bytes(complete + truncated)

    history = History(path)
    with capture_logs() as logs:
        history.append(numbered(3))
    assert ids(history) == ["run-0001", "run-0003"]
    assert [entry["event"] for entry in logs] == [
        "damaged history record skipped",
        "truncated history record moved",
    ]
    assert path.with_name("history.jsonl.truncated").read_bytes() == truncated + b"\n"


def test_last_record_without_newline_is_kept(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    history.close()
    path.write_bytes(path.read_bytes()[:-1])
    history.append(numbered(2))
    assert ids(history) == ["run-0001", "run-0002"]
    assert not path.with_name("history.jsonl.truncated").exists()


def test_any_prefix_of_the_last_record_is_repaired(path: Path) -> None:
    """For any prefix of the second record on disk, the first and the third one are read."""
    history = History(path)
    history.append(numbered(1))
    first = path.read_bytes()
    history.append(numbered(2))
    both = path.read_bytes()
    history.close()
    for cut in [*range(len(first), len(both), 97), len(both) - 1, len(both)]:
        path.write_bytes(both[:cut])
        reopened = History(path)
        with capture_logs():
            reopened.append(numbered(3))
        reopened.close()
        found = ids(reopened)
        assert found[0] == "run-0001"
        assert found[-1] == "run-0003"
        assert found[1:-1] == (["run-0002"] if cut >= len(both) - 1 else [])


@pytest.mark.parametrize(
    "damage", [b"\x00" * 100, b"\xff\xfe", b"{}", b'{"schema":999}', b"[1]", b"null", b"[" * 100_000]
)
def test_damaged_record_is_skipped_logged_and_counted(path: Path, damage: bytes) -> None:
    history = History(path)
    history.append(numbered(1))
    with path.open("ab") as file:
        file.write(damage + b"\n\n")
    history.append(numbered(2))
    with capture_logs() as logs:
        assert ids(history) == ["run-0001", "run-0002"]
    assert [(entry["line"], entry["file"]) for entry in logs] == [("2", str(path))]
    with capture_logs():
        latest = history.load_latest()
    assert latest.damaged_lines == 1
    assert latest.evaluations[("production", "reference")].id == "run-0002"


def test_rotates_by_size_and_keeps_a_bounded_number_of_files(path: Path) -> None:
    size = len(to_json(numbered(0))) + 100
    history = History(path, max_bytes=3 * size, keep=2)
    for number in range(12):
        history.append(numbered(number))
    assert ids(history) == [f"run-{number:04}" for number in range(3, 12)]
    files = history.files()
    assert len(files) == 3
    assert files[-1] == path
    assert all(file.stat().st_size <= 3 * size for file in files)
    assert History(path).load_latest().evaluations[("production", "reference")].id == "run-0011"


def test_reader_yields_every_record_once_while_the_file_is_rotated(path: Path) -> None:
    history = History(path, max_bytes=3 * (len(to_json(numbered(1))) + 100))
    for number in range(5):
        history.append(numbered(number))
    reader = History(path).evaluations()
    found = [next(reader).id]
    # Rotates the file that the reader has yet to read.
    for number in range(5, 9):
        history.append(numbered(number))
    found += [one.id for one in reader]
    assert found[:5] == [numbered(number).id for number in range(5)]
    assert len(set(found)) == len(found)
    history.close()


def test_rotation_keeps_the_order_when_the_clock_is_set_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(path, max_bytes=1)
    for number, now in enumerate((FINISHED_AT, FINISHED_AT, FINISHED_AT, FINISHED_AT - 3_600, FINISHED_AT + 60)):
        monkeypatch.setattr("starlight_exporter.publish.history.time.time", lambda now=now: now)
        history.append(numbered(number))
    assert ids(history) == [f"run-{number:04}" for number in range(5)]
    assert len(history.files()) == 5


def test_keep_zero_keeps_only_the_active_file(path: Path) -> None:
    history = History(path, max_bytes=1, keep=0)
    for number in range(3):
        history.append(numbered(number))
    assert ids(history) == ["run-0002"]
    assert history.files() == [path]


def test_other_files_in_the_folder_are_not_touched(path: Path) -> None:
    path.parent.mkdir()
    for name in (
        "history-notes.jsonl",
        "history-20260101.jsonl",
        "history-20269999T000000.000000Z.jsonl",
        "history-my-20260101T000000.000000Z.jsonl",
        "other-20260101T000000.000000Z.jsonl",
    ):
        (path.parent / name).write_text("mine\n")
    history = History(path, max_bytes=1, keep=1)
    for number in range(4):
        history.append(numbered(number))
    assert len(history.files()) == 2
    assert (path.parent / "history-notes.jsonl").read_text() == "mine\n"
    assert len(list(path.parent.glob("*-2026*"))) == 4 + 1


def test_second_writer_is_rejected(path: Path) -> None:
    first, second = History(path), History(path)
    first.append(numbered(1))
    with pytest.raises(StorageError, match=r"history\.jsonl: another process is writing"):
        second.append(numbered(2))
    assert ids(second) == ["run-0001"]
    first.close()
    second.append(numbered(2))
    assert ids(first) == ["run-0001", "run-0002"]


@pytest.mark.slow
def test_killed_writer_releases_its_lock(path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from starlight_exporter.publish.history import History;"
        "h = History(Path(sys.argv[1])); h.open(); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match="another process"):
            History(path).append(numbered(1))
        writer.kill()
        writer.wait()
    History(path).append(numbered(1))
    assert ids(History(path)) == ["run-0001"]


def test_deleted_history_is_recreated(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    path.unlink()
    history.append(numbered(2))
    assert ids(history) == ["run-0002"]


def test_error_names_file_if_the_folder_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match=r"data/history\.jsonl: cannot be opened for writing"):
        History(tmp_path / "data" / "history.jsonl").append(numbered(1))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Drop root privileges, because root can write to read-only folders."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_read_only_folder_can_be_read_but_not_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(History(folder / "history.jsonl")) as writer:
            writer.append(numbered(1))
        folder.chmod(0o555)
        try:
            with unprivileged():
                history = History(folder / "history.jsonl")
                with pytest.raises(StorageError, match=r"history\.jsonl: cannot be opened for writing"):
                    history.append(numbered(2))
                assert ids(history) == ["run-0001"]
        finally:
            folder.chmod(0o755)
        history.append(numbered(3))
        assert ids(history) == ["run-0001", "run-0003"]
        history.close()


def test_full_disk_leaves_no_partial_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(path)
    history.append(numbered(1))
    before = path.read_bytes()
    real = os.write
    free = 100

    def write(file: int, data: bytes) -> int:
        nonlocal free
        if free == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(file, data[:free])
        free -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match=r"history\.jsonl: cannot be written: No space left on device"):
        history.append(numbered(2))
    assert path.read_bytes() == before
    monkeypatch.setattr(os, "write", real)
    history.append(numbered(3))
    assert ids(history) == ["run-0001", "run-0003"]


def test_rejects_evaluation_that_json_cannot_represent(path: Path) -> None:
    history = History(path)
    with pytest.raises(StorageError, match="run-0001 cannot be stored"):
        history.append(replace(numbered(1), log_loss=float("nan")))
    history.append(numbered(2))
    assert ids(history) == ["run-0002"]


def test_file_and_folder_are_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    history = History(path, max_bytes=1)
    history.append(numbered(1))
    assert synced == ["data", "history.jsonl"]
    synced.clear()
    history.append(numbered(2))
    assert synced == ["data", "data", "history.jsonl"]
