"""The history on disk: nothing that was written gets lost, whatever happens to the last line."""

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


def test_what_was_appended_is_read_back_field_for_field(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    history.append(numbered(2))
    assert list(History(path).evaluations()) == [numbered(1), numbered(2)]
    assert path.read_text(encoding="utf-8") == "".join(to_json(numbered(n)) + "\n" for n in (1, 2))


def test_no_history_yet_is_an_empty_one(path: Path) -> None:
    assert ids(History(path)) == []
    latest = History(path).load_latest()
    assert latest.evaluations == {}
    assert latest.damaged_lines == 0
    assert not path.parent.exists()


def test_the_last_one_of_every_model_and_dataset_counts(path: Path) -> None:
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


def test_reading_from_the_end_stops_when_everything_wanted_is_found(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    path.write_bytes(b"damaged\n" + path.read_bytes())
    assert history.load_latest([("production", "reference")]).damaged_lines == 0
    with capture_logs() as logs:
        assert history.load_latest().damaged_lines == 1
    assert len(logs) == 1


def test_a_line_longer_than_a_chunk_is_read_from_both_ends(path: Path) -> None:
    history = History(path)
    for number in range(3):
        result = numbered(number, model=f"m{number}")
        long = replace(result, quality=replace(result.quality, duplicate_groups=(("x" * 150_000, "é" * 10_000),)))
        history.append(long)
    assert ids(history) == ["run-0000", "run-0001", "run-0002"]
    assert sorted(result.id for result in history.load_latest().evaluations.values()) == ids(history)


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_last_line_is_set_aside_and_the_earlier_ones_stay(path: Path, kept: int) -> None:
    with_two = History(path)
    with_two.append(numbered(1))
    whole = path.read_bytes()
    with_two.append(numbered(2))
    with_two.close()
    line = path.read_bytes()[len(whole) :]
    torn = line[: kept - 1] if kept == -1 else line[:kept]
    path.write_bytes(whole + torn)

    history = History(path)
    with capture_logs() as logs:
        history.append(numbered(3))
    assert ids(history) == ["run-0001", "run-0003"]
    assert [entry["event"] for entry in logs] == [
        "damaged line of the history skipped",
        "torn last line of the history set aside",
    ]
    assert path.with_name("history.jsonl.torn").read_bytes() == torn + b"\n"


def test_a_last_line_that_lacks_only_its_newline_is_kept(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    history.close()
    path.write_bytes(path.read_bytes()[:-1])
    history.append(numbered(2))
    assert ids(history) == ["run-0001", "run-0002"]
    assert not path.with_name("history.jsonl.torn").exists()


def test_every_place_where_a_crash_can_cut_the_file(path: Path) -> None:
    """Whatever prefix of the second line is on the disk, the first one and the next one are read."""
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
def test_a_damaged_line_in_the_middle_is_skipped_reported_and_counted(path: Path, damage: bytes) -> None:
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


def test_a_full_file_is_rotated_and_a_bounded_number_is_kept(path: Path) -> None:
    size = len(to_json(numbered(0))) + 1
    history = History(path, max_bytes=3 * size, keep=2)
    for number in range(12):
        history.append(numbered(number))
    assert ids(history) == [f"run-{number:04}" for number in range(3, 12)]
    files = history.files()
    assert len(files) == 3
    assert files[-1] == path
    assert all(file.stat().st_size <= 3 * size for file in files)
    assert History(path).load_latest().evaluations[("production", "reference")].id == "run-0011"


def test_the_order_stays_when_the_clock_stands_still_or_is_set_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(path, max_bytes=1)
    for number, now in enumerate((FINISHED_AT, FINISHED_AT, FINISHED_AT, FINISHED_AT - 3_600, FINISHED_AT + 60)):
        monkeypatch.setattr("starlight_exporter.publish.history.time.time", lambda now=now: now)
        history.append(numbered(number))
    assert ids(history) == [f"run-{number:04}" for number in range(5)]
    assert len(history.files()) == 5


def test_keeping_no_rotated_file_keeps_the_one_in_use(path: Path) -> None:
    history = History(path, max_bytes=1, keep=0)
    for number in range(3):
        history.append(numbered(number))
    assert ids(history) == ["run-0002"]
    assert history.files() == [path]


def test_other_files_beside_the_history_are_left_alone(path: Path) -> None:
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


def test_one_writer_at_a_time(path: Path) -> None:
    first, second = History(path), History(path)
    first.append(numbered(1))
    with pytest.raises(StorageError, match=r"history\.jsonl: another process is writing"):
        second.append(numbered(2))
    assert ids(second) == ["run-0001"]
    first.close()
    second.append(numbered(2))
    assert ids(first) == ["run-0001", "run-0002"]


@pytest.mark.slow
def test_the_lock_of_a_killed_writer_is_free(path: Path) -> None:
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


def test_a_history_that_somebody_removed_is_begun_afresh(path: Path) -> None:
    history = History(path)
    history.append(numbered(1))
    path.unlink()
    history.append(numbered(2))
    assert ids(history) == ["run-0002"]


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match=r"data/history\.jsonl: cannot be opened for writing"):
        History(tmp_path / "data" / "history.jsonl").append(numbered(1))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere; as nobody it may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_can_be_read_and_not_written() -> None:
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


def test_a_full_disk_leaves_no_half_line_and_the_next_append_works(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(path)
    history.append(numbered(1))
    real = os.write
    room = 100

    def write(file: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(file, data[:room])
        room -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match=r"history\.jsonl: cannot be written: No space left on device"):
        history.append(numbered(2))
    assert path.read_bytes() == (to_json(numbered(1)) + "\n").encode()
    monkeypatch.setattr(os, "write", real)
    history.append(numbered(3))
    assert ids(history) == ["run-0001", "run-0003"]


def test_a_result_that_json_cannot_hold_is_an_error_and_not_a_line(path: Path) -> None:
    history = History(path)
    with pytest.raises(StorageError, match="run-0001 cannot be stored"):
        history.append(replace(numbered(1), log_loss=float("nan")))
    history.append(numbered(2))
    assert ids(history) == ["run-0002"]


def test_the_file_and_its_folder_are_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
