"""Remote stores: conditions, repeated requests, and failures with their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import fsspec
import pytest

from starlight_exporter.dataset.sources import remote
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.remote import RemoteStore
from starlight_exporter.dataset.sources.root import RemoteRoot, parse_root
from starlight_exporter.errors import DatasetError, DependencyError, ImageError
from support.http_files import HttpFiles, http_files
from support.packed import MAX_BYTES, contents, write_dataset
from support.s3 import use_s3


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpFiles]:
    """Return the files of a web server; pauses between attempts are short."""
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.001)
    with http_files() as files:
        yield files


def http_store(served: HttpFiles) -> RemoteStore:
    return RemoteStore(RemoteRoot(served.address))


def test_objects_in_memory_are_a_dataset(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_dataset(tmp_path_factory.mktemp("folder"), images=3)
    store = fsspec.filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            store.pipe_file(f"/memory-dataset/{file.relative_to(folder)}", file.read_bytes())
    assert contents(RemoteRoot("memory://memory-dataset")) == contents(folder)


def test_changed_object_in_memory_is_not_read() -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/memory-changes/a.png", b"old")
    with open_source(RemoteRoot("memory://memory-changes")) as source:
        (found,) = source.unlabelled_files()
        store.pipe_file("/memory-changes/a.png", b"new")
        with pytest.raises(ImageError, match=r"a\.png changed since the dataset was listed"):
            source.read(found, max_bytes=MAX_BYTES)


def test_prefix_without_objects_is_an_empty_dataset() -> None:
    with open_source(RemoteRoot("memory://memory-empty")) as source:
        assert list(source.unlabelled_files()) == []
        with pytest.raises(DatasetError, match="memory://memory-empty: no objects with this prefix"):
            source.labelled_files()


@pytest.mark.integration
def test_missing_folder_of_a_web_server_is_no_dataset(served: HttpFiles) -> None:
    served.files = {"a.png": b"1"}
    with pytest.raises(DatasetError, match=f"^{served.address}/missing: no such dataset"):
        RemoteStore(RemoteRoot(f"{served.address}/missing")).objects()


@pytest.mark.parametrize("name", ["clean/../../../a.png", "clean//a.png", "/clean/a.png"])
def test_objects_whose_names_lead_out_of_the_dataset_are_rejected(name: str) -> None:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pipe_file(f"/memory-names/{name}", b"1")
    with (
        open_source(RemoteRoot("memory://memory-names")) as source,
        pytest.raises(DatasetError, match=f"has an object '{name}', whose name must be relative"),
    ):
        source.labelled_files()


@pytest.mark.integration
def test_web_server_with_index_pages_is_listed(served: HttpFiles) -> None:
    served.files = {"clean/a.png": b"1234", "stego/lsb/b.png": b"12", "notes.txt": b""}
    listed = [(one.name, one.size_bytes) for one in http_store(served).objects()]
    assert listed == [("clean/a.png", 4), ("notes.txt", 0), ("stego/lsb/b.png", 2)]


@pytest.mark.integration
@pytest.mark.parametrize("etags", [True, False])
def test_range_is_read_while_the_file_is_unchanged(served: HttpFiles, etags: bool) -> None:
    served.files, served.etags = {"a.png": b"0123456789"}, etags
    store = http_store(served)
    (stored,) = store.objects()
    assert store.start("a.png", 2, 5, stored.identity)() == b"23456"
    for content in (b"abcdefghijk", b"a"):
        served.files["a.png"] = content
        with pytest.raises(ImageError, match=r"a\.png changed since the dataset was listed"):
            store.start("a.png", 2, 5, stored.identity)()


@pytest.mark.integration
def test_failures_that_pass_are_repeated(served: HttpFiles) -> None:
    served.files = {"a.png": b"0123"}
    store = http_store(served)
    (stored,) = store.objects()
    served.failures = remote.ATTEMPTS - 1
    assert store.start("a.png", 0, 4, stored.identity)() == b"0123"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "reason", "requests"), [(503, "not reachable after 5 attempts", 5), (403, "access refused", 1)]
)
def test_failures_end_the_dataset_not_the_image(served: HttpFiles, status: int, reason: str, requests: int) -> None:
    served.files = {"a.png": b"0123"}
    store = http_store(served)
    (stored,) = store.objects()
    served.failures, served.failure = 100, status
    served.requests.clear()
    with pytest.raises(DatasetError, match=f"^{served.address}: {reason}"):
        store.start("a.png", 0, 4, stored.identity)()
    assert len(served.requests) == requests


@pytest.mark.integration
def test_server_without_ranges_is_reported(served: HttpFiles) -> None:
    served.files, served.ranges = {"a.png": b"0123456789"}, False
    store = http_store(served)
    with pytest.raises(DatasetError, match="does not support requests for parts of files"):
        store.start("a.png", 2, 5, None)()


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "text"),
    [("ExpiredToken", "The provided token has expired."), ("AccessDenied", "Access Denied")],
)
def test_refused_credentials_are_reported_once(
    served: HttpFiles, monkeypatch: pytest.MonkeyPatch, code: str, text: str
) -> None:
    use_s3(monkeypatch, served.address)
    served.failures, served.failure = 100, 400 if code == "ExpiredToken" else 403
    served.body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
    store = RemoteStore(RemoteRoot("s3://images/set"))
    with pytest.raises(DatasetError, match=f"^s3://images/set: access refused: {text}"):
        store.objects()
    assert len(served.requests) == 1


@pytest.mark.integration
@pytest.mark.slow
def test_slow_request_is_repeated_by_s3(served: HttpFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, served.address)
    served.failures, served.failure = 100, 400
    served.body = b"<Error><Code>RequestTimeout</Code><Message>Idle</Message></Error>"
    with pytest.raises(DatasetError, match="not reachable after 5 attempts"):
        RemoteStore(RemoteRoot("s3://images/set")).objects()


def test_missing_library_names_the_extra() -> None:
    if find_spec("gcsfs") is not None:
        pytest.skip("gcsfs is installed")
    with pytest.raises(DependencyError, match="needs gcsfs; install this package with the extra gcs"):
        RemoteStore(RemoteRoot("gs://bucket/images"))


@pytest.mark.parametrize("text", ["S3://bucket/a/", "s3://bucket/a"])
def test_url_is_normalised(text: str) -> None:
    assert parse_root(text) == RemoteRoot("s3://bucket/a")


@pytest.mark.parametrize("text", ["s3://", "s3:///a", "s3://b/a//c", "s3://b/../c", "https://u:p@h/a", "https://h/a?b"])
def test_url_without_a_place_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_root(text)
