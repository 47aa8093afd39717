"""Opening untrusted files: what is refused, what is never opened, and that a hash belongs to the bytes returned."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlight_exporter.file_access import (
    FileTooLargeError,
    NotRegularFileError,
    OutsideRootError,
    hash_content,
    open_regular,
    read_content,
)

Reader = Callable[[Path, int, Path | None], object]


def _read(path: Path, max_bytes: int, root: Path | None) -> object:
    return read_content(path, max_bytes=max_bytes, root=root)


def _hash(path: Path, max_bytes: int, root: Path | None) -> object:
    return hash_content(path, max_bytes=max_bytes, root=root)


def _open(path: Path, max_bytes: int, root: Path | None) -> object:
    del max_bytes
    with open_regular(path, root=root) as file:
        return file.read()


readers = pytest.mark.parametrize("read", [_read, _hash, _open])
sized_readers = pytest.mark.parametrize("read", [_read, _hash])
rooted = pytest.mark.parametrize("with_root", [False, True])


def _root(folder: Path, with_root: bool) -> Path | None:
    return folder if with_root else None


def test_content_has_the_hash_of_its_bytes_and_the_modification_time(tmp_path: Path) -> None:
    path, data = tmp_path / "file", b"content" * 300_000
    path.write_bytes(data)
    os.utime(path, (1_000, 2_000))
    for root in (None, tmp_path):
        content = read_content(path, max_bytes=len(data), root=root)
        assert content.data == data
        assert content.sha256 == hash_content(path, max_bytes=len(data), root=root) == hashlib.sha256(data).hexdigest()
        assert content.modified_at == 2_000


@sized_readers
@rooted
def test_file_of_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path, read: Reader, with_root: bool) -> None:
    path, root = tmp_path / "file", _root(tmp_path, with_root)
    path.write_bytes(b"x" * 1000)
    assert read(path, 1000, root)
    with pytest.raises(FileTooLargeError) as caught:
        read(path, 999, root)
    assert caught.value.strerror == "larger than 999 bytes"


@sized_readers
def test_empty_file_is_read(tmp_path: Path, read: Reader) -> None:
    (tmp_path / "empty").touch()
    assert read(tmp_path / "empty", 0, tmp_path)


@readers
@rooted
def test_refuses_a_directory(tmp_path: Path, read: Reader, with_root: bool) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotRegularFileError) as caught:
        read(tmp_path / "folder", 10, _root(tmp_path, with_root))
    assert caught.value.strerror == "is a directory, not a regular file"


@readers
@rooted
@pytest.mark.timeout(60)
def test_refuses_a_named_pipe_without_waiting_for_a_writer(tmp_path: Path, read: Reader, with_root: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(NotRegularFileError, match="is a named pipe"):
            read(tmp_path / name, 10, _root(tmp_path, with_root))


@readers
@rooted
def test_refuses_a_socket(tmp_path: Path, read: Reader, with_root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The path of a socket is limited to about 100 characters.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(NotRegularFileError, match="is a socket"):
            read(tmp_path / "socket", 10, _root(tmp_path, with_root))


@readers
@pytest.mark.parametrize(("kind", "text"), [(stat.S_IFCHR, "a character device"), (stat.S_IFBLK, "a block device")])
def test_never_opens_a_device(
    tmp_path: Path, read: Reader, kind: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "device"
    try:
        # Numbers without a driver: opening them would fail with ENXIO instead.
        os.mknod(device, kind | 0o600, os.makedev(240, 77))
    except PermissionError:
        pytest.skip("creating a device node is not permitted")
    opened = _recorded_opens(monkeypatch)
    for root in (None, tmp_path):
        with pytest.raises(NotRegularFileError, match=text):
            read(device, 10, root)
    assert not [path for path in opened if path.endswith("device")]


@readers
@rooted
def test_pipe_that_replaces_the_file_before_it_is_opened_does_not_block(
    tmp_path: Path, read: Reader, with_root: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    def swap() -> None:
        path.unlink()
        os.mkfifo(path)

    with _before_open(monkeypatch, "file", swap), pytest.raises(NotRegularFileError, match="is a named pipe"):
        read(path, 100, _root(tmp_path, with_root))


@readers
@rooted
def test_missing_file_and_dangling_link_are_not_found(tmp_path: Path, read: Reader, with_root: bool) -> None:
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("missing", "dangling", "missing/below"):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / name, 10, _root(tmp_path, with_root))


@readers
@rooted
def test_link_to_itself_is_an_error(tmp_path: Path, read: Reader, with_root: bool) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read(tmp_path / "loop", 10, _root(tmp_path, with_root))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a folder with a file, next to a file outside of it."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "inside").write_bytes(b"inside")
    (tmp_path / "outside").write_bytes(b"outside")
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "file").write_bytes(b"another root")
    return root


@readers
@pytest.mark.parametrize("target", ["../outside", "folder/../../outside", "../root-2/file", "{parent}/outside"])
def test_link_out_of_the_root_is_refused(dataset: Path, read: Reader, target: str) -> None:
    link = dataset / "link"
    link.symlink_to(target.format(parent=dataset.parent))
    with pytest.raises(OutsideRootError) as caught:
        read(link, 100, dataset)
    assert caught.value.strerror == f"leads out of {dataset}"
    assert read(link, 100, None)


@readers
def test_chain_of_links_and_linked_folder_out_of_the_root_are_refused(dataset: Path, read: Reader) -> None:
    (dataset / "first").symlink_to("folder/second")
    (dataset / "folder" / "second").symlink_to("../../outside")
    (dataset / "up").symlink_to("..")
    for path in (dataset / "first", dataset / "up" / "outside", dataset / ".." / "outside"):
        with pytest.raises(OutsideRootError):
            read(path, 100, dataset)


@readers
def test_links_inside_the_root_are_followed(dataset: Path, read: Reader) -> None:
    (dataset / "relative").symlink_to("folder/inside")
    (dataset / "absolute").symlink_to(dataset / "folder" / "inside")
    (dataset / "chain").symlink_to("relative")
    (dataset / "linked_folder").symlink_to("folder")
    (dataset.parent / "linked_root").symlink_to("root")
    expected = read(dataset / "folder" / "inside", 100, None)
    for path in ("relative", "absolute", "chain", "linked_folder/inside"):
        assert read(dataset / path, 100, dataset) == expected
        assert read(dataset.parent / "linked_root" / path, 100, dataset.parent / "linked_root") == expected


def test_relative_paths_are_relative_to_the_working_folder(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(dataset.parent)
    assert read_content(Path("root/folder/inside"), max_bytes=10, root=Path("root")).data == b"inside"
    with pytest.raises(OutsideRootError):
        read_content(Path("outside"), max_bytes=10, root=Path("root"))


@pytest.mark.parametrize("part", ["inside", "folder"])
@pytest.mark.parametrize(("through", "text"), [("folder", "leads out of"), ("linked", "was replaced")])
def test_link_that_replaces_a_part_after_the_check_is_not_followed(
    dataset: Path, part: str, through: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dataset / "folder" / "inside"
    # A path without links is opened directly, another one after its links were resolved and checked.
    (dataset / "linked").symlink_to("folder")
    elsewhere = dataset.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "inside").write_bytes(b"outside")
    replaced, target = (path, elsewhere / "inside") if part == "inside" else (path.parent, elsewhere)

    def swap() -> None:
        replaced.rename(dataset / "moved")
        replaced.symlink_to(target)

    with _before_open(monkeypatch, part, swap), pytest.raises(OutsideRootError, match=text):
        read_content(dataset / through / "inside", max_bytes=100, root=dataset)


def test_link_swapped_all_the_time_never_leads_out(dataset: Path) -> None:
    link, done = dataset / "link", threading.Event()

    def swap() -> None:
        while not done.is_set():
            for target in ("folder/inside", "../outside"):
                (dataset / "next").symlink_to(target)
                (dataset / "next").rename(link)

    link.symlink_to("folder/inside")
    thread = threading.Thread(target=swap)
    thread.start()
    results = {"inside": 0, "refused": 0}
    try:
        # Until both states of the link were seen often enough.
        while min(results.values()) < 20:
            try:
                assert read_content(link, max_bytes=100, root=dataset).data == b"inside"
                results["inside"] += 1
            except OutsideRootError:
                results["refused"] += 1
    finally:
        done.set()
        thread.join()


def test_file_that_grows_while_it_is_read_is_refused_beyond_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    path.write_bytes(b"start")
    with _after_open_status(monkeypatch, grow):
        content = read_content(path, max_bytes=9)
    assert content.data == b"startmore"
    assert content.sha256 == hashlib.sha256(b"startmore").hexdigest()
    for read in (_read, _hash):
        path.write_bytes(b"start")
        with _after_open_status(monkeypatch, grow), pytest.raises(FileTooLargeError):
            read(path, 8, None)


def test_file_that_shrinks_while_it_is_read_has_the_hash_of_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with _after_open_status(monkeypatch, lambda: os.truncate(path, 3)):
        content = read_content(path, max_bytes=100)
    assert (content.data, content.sha256) == (b"con", hashlib.sha256(b"con").hexdigest())


@sized_readers
@rooted
@pytest.mark.timeout(60)
def test_sparse_file_of_100_gb_is_refused_without_reading_it(tmp_path: Path, read: Reader, with_root: bool) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 100 * 10**9)
    with pytest.raises(FileTooLargeError):
        read(path, 256 * 1024 * 1024, _root(tmp_path, with_root))


@readers
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_read_permission_is_an_error(tmp_path: Path, read: Reader) -> None:
    (tmp_path / "secret").touch(0o000)
    with pytest.raises(PermissionError):
        read(tmp_path / "secret", 10, tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_file_without_a_size_is_read_to_its_end_and_not_beyond_the_limit() -> None:
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    content = read_content(path, max_bytes=100_000)
    assert content.data.startswith(b"Name:")
    assert content.data.endswith(b"\n")
    with pytest.raises(FileTooLargeError):
        read_content(path, max_bytes=10)


@readers
@rooted
@pytest.mark.parametrize("name", ["a\0b", "lone \ud800 surrogate"])
def test_name_that_no_file_can_have_is_an_os_error(tmp_path: Path, read: Reader, with_root: bool, name: str) -> None:
    with pytest.raises(OSError, match="not a valid file name"):
        read(tmp_path / name, 10, _root(tmp_path, with_root))


@readers
@rooted
def test_name_with_bytes_that_are_not_utf_8_is_opened(tmp_path: Path, read: Reader, with_root: bool) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    path.write_bytes(b"content")
    assert read(path, 10, _root(tmp_path, with_root))


def test_no_descriptor_is_left_open(dataset: Path) -> None:
    (dataset / "link").symlink_to("../outside")
    before = set(os.listdir("/dev/fd"))  # noqa: PTH208 - names only
    for path in (dataset / "folder" / "inside", dataset / "folder", dataset / "link", dataset / "missing"):
        for read in (_read, _hash, _open):
            try:
                read(path, 100, dataset)
            except OSError:
                continue
    assert set(os.listdir("/dev/fd")) == before  # noqa: PTH208


def test_errors_can_be_passed_between_processes(tmp_path: Path) -> None:
    with pytest.raises(NotRegularFileError) as caught:
        read_content(tmp_path, max_bytes=10)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.strerror) == (NotRegularFileError, caught.value.strerror)


def _recorded_opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    real, opened = os.open, []

    def record(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        opened.append(str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", record)
    return opened


@contextmanager
def _before_open(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[], None]) -> Iterator[None]:
    """Call `change` once, immediately before the file or folder of this name is opened."""
    real, pending = os.open, [change]

    def swapped(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if pending and Path(path).name == name:
            pending.pop()()
        return real(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", swapped)
        yield
    assert not pending


@contextmanager
def _after_open_status(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> Iterator[None]:
    """Call `change` once, after the size of the opened file was determined and before it is read."""
    real, calls = os.fstat, []

    def changed(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        calls.append(descriptor)
        # The first call is that of the check for a regular file, the second one that of the size.
        if len(calls) == 2:
            change()
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", changed)
        yield
    assert len(calls) == 2
