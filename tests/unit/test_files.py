"""Outputs are written to what their path is; regular files atomically."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from starlight_exporter.errors import StorageError
from starlight_exporter.files import (
    append_text,
    is_stream,
    open_output,
    replacing,
    write_text,
)


def test_write_text_replaces_the_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.json"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert os.listdir(path.parent) == ["metrics.json"]  # noqa: PTH208 - hidden files too, as plain names


def test_write_text_raises_storage_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("content")
    with pytest.raises(StorageError, match=r"folder: cannot be written"):
        write_text(tmp_path / "folder", "text")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "below_a_file.json", "text")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_content_is_synced_to_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "a.md", os.fsync
    synced: list[tuple[bytes, bool]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.pread(descriptor, 100, 0), path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "text\n")
    assert synced == [(b"text\n", False)]


@pytest.fixture(params=["unnamed", "named"])
def temporary_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with and without unnamed temporary files, which some file systems do not support."""
    kind = str(request.param)
    if kind == "named":
        monkeypatch.setattr("starlight_exporter.files._open_unnamed", lambda _folder, _mode: None)
    return kind


@pytest.mark.usefixtures("temporary_files")
@pytest.mark.parametrize("failure", [ValueError("invalid"), KeyboardInterrupt()])
def test_failed_block_keeps_the_old_content_and_leaves_no_other_file(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def write_half() -> None:
        with open_output(path) as file:
            file.write(b"half of the new" * 100_000)
            raise failure

    with pytest.raises(type(failure)):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_file_of_a_crashed_process_is_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "password"
    monkeypatch.setattr("starlight_exporter.files._open_unnamed", lambda _folder, _mode: None)
    with open_output(path):
        (left,) = tmp_path.iterdir()
    left.write_text("left by a crash")
    path.unlink()
    with open_output(path, mode=0o600) as file:
        assert [*tmp_path.iterdir()] == [left]
        assert left.stat().st_mode & 0o777 == 0o600
        file.write(b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_writer_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from starlight_exporter.files import open_output\n"
        "with open_output(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half' * 100_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "report.json")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("temporary_files")
def test_symbolic_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    target = tmp_path / "store" / "report.json"
    (tmp_path / "link").symlink_to("second")
    (tmp_path / "second").symlink_to(Path("store") / "report.json")
    for text in ("new", "replaced"):
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "second").is_symlink()
        assert target.read_text() == text
    assert list(target.parent.iterdir()) == [target]


def test_circular_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(StorageError, match="link: cannot be written: Too many levels of symbolic links"):
        write_text(tmp_path / "link", "text")


@pytest.mark.usefixtures("temporary_files")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_of_an_existing_file_are_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "report.json"
    path.touch()
    path.chmod(mode)
    write_text(path, "text")
    assert path.stat().st_mode & 0o7777 == mode


@pytest.mark.usefixtures("temporary_files")
def test_permissions_of_a_new_file_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "report.json", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "report.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.usefixtures("temporary_files")
def test_owner_of_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.touch()
    os.chown(path, 1234, 2345)
    write_text(path, "text")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    with ThreadPoolExecutor(1) as reader:
        for path in (pipe, tmp_path / "link"):
            assert is_stream(path)
            read = reader.submit(pipe.read_text)
            write_text(path, "text\n")
            assert read.result(timeout=60) == "text\n"
    assert pipe.is_fifo()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "pipe"]


def test_closed_pipe_raises_broken_pipe_error(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def write_without_reader() -> None:
        with open_output(pipe) as file:
            os.close(reader)
            file.write(b"text" * 100_000)

    with pytest.raises(BrokenPipeError):
        write_without_reader()


def replace_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can create device nodes")
@pytest.mark.parametrize("write", [write_text, replace_text])
def test_device_node_is_never_replaced(tmp_path: Path, write: Callable[[Path, str], object]) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("device nodes are not permitted here")
    with suppress(OSError):
        write(node, "text")
    assert node.is_char_device()
    assert list(tmp_path.iterdir()) == [node]


def test_full_device_is_an_error() -> None:
    with pytest.raises(StorageError, match="/dev/full: cannot be written: No space left on device"):
        write_text(Path("/dev/full"), "text")


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
def test_redirected_standard_output_is_appended_to(tmp_path: Path, name: str) -> None:
    script = (
        "import sys; from pathlib import Path; from starlight_exporter.files import write_text\n"
        "print('first'); write_text(Path(sys.argv[1]), 'second\\n'); print('third')\n"
    )
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as output:
        subprocess.run([sys.executable, "-c", script, name], stdout=output, check=True)
    assert log.read_text().split() == ["before", "first", "second", "third"]
    assert list(tmp_path.iterdir()) == [log]


@pytest.mark.usefixtures("temporary_files")
def test_long_file_names_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("ö" * 127)
    write_text(path, "text")
    assert path.read_text() == "text"


def test_folder_of_another_user_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("starlight_exporter.files._open_unnamed", refused)
    with pytest.raises(StorageError, match=r"report\.json: cannot be written: Permission denied"):
        write_text(tmp_path / "report.json", "text")
    assert list(tmp_path.iterdir()) == []


def test_text_is_appended_to_a_file_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("summary.md")
    for part in ("one\n", "two\n"):
        append_text(tmp_path / "link", part)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "summary.md").read_text() == "one\ntwo\n"
    append_text(Path("/dev/null"), "three\n")


def test_appending_to_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"^{tmp_path}: cannot be written: Is a directory$"):
        append_text(tmp_path, "x")
