"""Sources in an S3-compatible store on loopback, read through a fetcher process."""

from __future__ import annotations

import pickle
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from starlight_exporter.dataset.sources.fetched import end_fetchers, fetched_store, limit_silence
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.packing import pack
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.errors import DatasetError, ImageError
from support.certificates import Authority
from support.http_files import http_files
from support.packed import MAX_BYTES, contents, write_dataset
from support.s3 import BUCKET, Objects, s3_server, use_s3

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with s3_server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_fetcher() -> Iterator[None]:
    """End the fetchers after each test: they have the environment with which they were started."""
    yield
    end_fetchers()


@pytest.fixture
def objects(address: str, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """Return the bucket of the server, of which this process is a client."""
    use_s3(monkeypatch, address)
    return Objects(address)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("folder"), images=6)


def test_tar_shards_have_the_contents_of_the_folder(objects: Objects, folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "tar", "tar", shard_files=7)
    objects.put_folder(tmp_path / "tar", "tar")
    assert contents(RemoteRoot(f"s3://{BUCKET}/tar")) == contents(folder)


def test_parquet_shards_have_the_contents_of_the_folder(objects: Objects, folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "parquet", "parquet", shard_files=7)
    objects.put_folder(tmp_path / "parquet", "parquet")
    assert contents(RemoteRoot(f"s3://{BUCKET}/parquet")) == contents(folder)


def test_objects_in_class_folders_have_the_contents_of_the_folder(objects: Objects, folder: Path) -> None:
    objects.put_folder(folder, "plain")
    assert contents(RemoteRoot(f"s3://{BUCKET}/plain")) == contents(folder)


def test_folders_that_consoles_store_as_objects_are_ignored(objects: Objects, folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "tar", "tar")
    objects.put({"markers/": b"", "markers/old/": b""})
    objects.put_folder(tmp_path / "tar", "markers")
    assert contents(RemoteRoot(f"s3://{BUCKET}/markers")) == contents(folder)


def test_names_with_characters_of_queries_are_objects(objects: Objects) -> None:
    objects.put({"special/a#1.png": b"1", "special/b?.png": b"2"})
    with open_source(RemoteRoot(f"s3://{BUCKET}/special")) as source:
        found = list(source.unlabelled_files())
        read = [(file.path, data) for file, data in source.read_shard(found, max_bytes=MAX_BYTES)]
    assert read == [("a#1.png", b"1"), ("b?.png", b"2")]


def test_bucket_that_is_deleted_ends_the_dataset_not_the_image(address: str, objects: Objects) -> None:
    del objects
    deleted = Objects(address, "deleted")
    deleted.put({"set/a.png": b"1"})
    with open_source(RemoteRoot("s3://deleted/set")) as source:
        (found,) = source.unlabelled_files()
        deleted.delete("set/a.png")
        deleted.delete_bucket()
        with pytest.raises(DatasetError, match="s3://deleted/set: no such dataset"):
            source.read(found, max_bytes=MAX_BYTES)


def test_dataset_whose_objects_were_deleted_is_empty(objects: Objects) -> None:
    objects.put({"emptied/a.png": b"1"})
    root = RemoteRoot(f"s3://{BUCKET}/emptied")
    with open_source(root) as source:
        assert len(source.unlabelled_files()) == 1
        objects.delete("emptied/a.png")
        assert list(source.unlabelled_files()) == []
    with open_source(RemoteRoot("s3://missing/images")) as source, pytest.raises(DatasetError, match="no such dataset"):
        source.unlabelled_files()


def test_identity_changes_with_the_content(objects: Objects) -> None:
    root = RemoteRoot(f"s3://{BUCKET}/identity")

    def keys() -> list[str | None]:
        with open_source(root) as source:
            return [found.content_key for found in source.unlabelled_files()]

    objects.put({"identity/a.png": b"1", "identity/b.png": b"1"})
    before = keys()
    assert keys() == before
    assert len({*before}) == 2
    assert None not in before
    objects.put({"identity/b.png": b"2"})
    assert [old == new for old, new in zip(before, keys(), strict=True)] == [True, False]


def test_object_that_changes_after_the_listing_is_not_read(objects: Objects) -> None:
    objects.put({"changing/a.png": b"1", "changing/b.png": b"2"})
    with open_source(RemoteRoot(f"s3://{BUCKET}/changing")) as source:
        first, second = source.unlabelled_files()
        objects.put({"changing/a.png": b"3"})
        with pytest.raises(ImageError, match=r"a\.png changed since the dataset was listed"):
            source.read(first, max_bytes=MAX_BYTES)
        assert source.read(second, max_bytes=MAX_BYTES) == b"2"
        objects.delete("changing/b.png")
        with pytest.raises(ImageError, match=r"b\.png was not found"):
            source.read(second, max_bytes=MAX_BYTES)


def test_source_is_opened_again_in_another_process(objects: Objects) -> None:
    objects.put({"again/a.png": b"1"})
    with open_source(RemoteRoot(f"s3://{BUCKET}/again")) as source:
        (found,) = source.unlabelled_files()
        with pickle.loads(pickle.dumps(source)) as other:
            assert other.read(found, max_bytes=MAX_BYTES) == b"1"


@pytest.mark.parametrize(
    ("url", "reason"),
    [("s3://missing/images", "no such dataset"), (f"s3://{BUCKET}/missing", "no objects with this prefix")],
)
def test_missing_dataset_is_reported(objects: Objects, url: str, reason: str) -> None:
    del objects
    with open_source(RemoteRoot(url)) as source, pytest.raises(DatasetError, match=f"^{url}: {reason}"):
        source.labelled_files()


def test_missing_credentials_are_reported(objects: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del objects
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_source(RemoteRoot(f"s3://{BUCKET}/x")) as source, pytest.raises(DatasetError, match="no credentials"):
        source.labelled_files()


def test_server_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # A port that nothing listens on.
    use_s3(monkeypatch, "http://127.0.0.1:1")
    with (
        open_source(RemoteRoot(f"s3://{BUCKET}/x")) as source,
        pytest.raises(DatasetError, match="not reachable after 5 attempts"),
    ):
        source.labelled_files()


def test_shards_are_read_over_tls_with_a_certificate_of_another_authority(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    pack(folder, tmp_path / "tar", "tar")
    authority = Authority("tests")
    with http_files(authority.issue(tmp_path, "server")) as served:
        served.files = {file.name: file.read_bytes() for file in (tmp_path / "tar").iterdir()}
        root = RemoteRoot(served.address)
        with open_source(root) as source, pytest.raises(DatasetError, match="certificate"):
            source.labelled_files()
        end_fetchers()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path / "authority.crt")))
        assert contents(root) == contents(folder)


def test_fetcher_is_shared_and_ends_with_its_owner(objects: Objects) -> None:
    objects.put({"end/a.png": b"1"})
    root = RemoteRoot(f"s3://{BUCKET}/end")
    with open_source(root) as source:
        (found,) = source.unlabelled_files()
    assert fetched_store(root) is source._store  # type: ignore[attr-defined]
    process: subprocess.Popen[bytes] = source._store._process  # type: ignore[attr-defined,assignment]
    end_fetchers()
    assert process.poll() is not None
    with pytest.raises(DatasetError, match="has ended"):
        source.read(found, max_bytes=MAX_BYTES)
    with open_source(root) as again:
        assert again.read(found, max_bytes=MAX_BYTES) == b"1"


def test_stopped_fetcher_fails_the_requests_and_is_replaced(objects: Objects) -> None:
    objects.put({"stopped/a.png": b"1"})
    root = RemoteRoot(f"s3://{BUCKET}/stopped")
    with open_source(root) as source:
        (found,) = source.unlabelled_files()
        store = fetched_store(root)
        limit_silence(store._connection, 3.0)
        # The limit applies after the next message.
        assert source.read(found, max_bytes=MAX_BYTES) == b"1"
        assert store._process is not None
        store._process.send_signal(signal.SIGSTOP)
        with pytest.raises(DatasetError, match=f"^{root}: the process that reads it does not respond"):
            source.read(found, max_bytes=MAX_BYTES)
    with open_source(root) as again:
        assert again.read(found, max_bytes=MAX_BYTES) == b"1"


def test_killed_fetcher_fails_the_requests(objects: Objects) -> None:
    objects.put({"killed/a.png": b"1"})
    with open_source(RemoteRoot(f"s3://{BUCKET}/killed")) as source:
        (found,) = source.unlabelled_files()
        source._store._process.kill()  # type: ignore[attr-defined]
        with pytest.raises(DatasetError, match="has ended"):
            source.read(found, max_bytes=MAX_BYTES)
