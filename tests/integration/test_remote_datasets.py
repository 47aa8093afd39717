"""The exporter on datasets in an S3-compatible store: labelled shards and unlabelled objects, changed and broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from starlight_exporter.dataset.sources.packing import pack
from support.exporter import Exporter, write_config
from support.images import image_bytes, write_dataset
from support.s3 import BUCKET, Objects, s3_environment, s3_server

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

LABELLED = {"model": "production", "dataset": "shards"}
CHANGE_SECONDS = 240.0
"""A changed unlabelled dataset is scanned at most once a minute."""
INCOMING = {"model": "production", "dataset": "incoming"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with s3_server() as running:
        yield running


@pytest.fixture
def objects(address: str, tmp_path: Path) -> Objects:
    """Return a bucket with a packed dataset of 34 images below `set`, and two images below `incoming`."""
    write_dataset(tmp_path / "images", clean=20, stego=10, negatives=4)
    pack(tmp_path / "images", tmp_path / "packed", "tar", shard_files=12)
    objects = Objects(address)
    objects.put_folder(tmp_path / "packed", "set")
    objects.put({f"incoming/{number}.png": image_bytes(90_000 + number) for number in range(2)})
    return objects


@pytest.fixture
def exporter(tmp_path: Path, address: str, objects: Objects) -> Iterator[Exporter]:
    del objects
    config = write_config(
        tmp_path,
        datasets=[
            {"name": "shards", "path": f"s3://{BUCKET}/set"},
            {"name": "incoming", "path": f"s3://{BUCKET}/incoming", "labelled": False, "window": {"images": 50}},
        ],
        watch={"interval": "500ms", "settle": "100ms"},
        latency={"sample": 10},
    )
    with Exporter(config, environment={**os.environ, **s3_environment(address)}) as process:
        yield process


def wait_for(exporter: Exporter, expected: float, name: str, labels: dict[str, str]) -> None:
    exporter.wait_until(lambda: exporter.value(name, **labels) == expected, name, timeout=CHANGE_SECONDS)


def test_changed_and_broken_objects(exporter: Exporter, objects: Objects, tmp_path: Path) -> None:
    wait_for(exporter, 20, "clean_images", LABELLED)
    assert exporter.value("images_not_measured", **LABELLED, reason="unreadable") in (None, 0)
    wait_for(exporter, 2, "unlabelled_measured_images", INCOMING)

    # Pages read images through a fetcher, too; neither worker nor fetcher stays behind after an evaluation.
    latest = f"{exporter.url}/evaluations/latest/images"
    page = httpx.get(latest, params={**LABELLED, "shown": "all"}, follow_redirects=True, timeout=30.0)
    number = 0
    thumbnail = httpx.get(f"{page.url.copy_with(query=None)}/{number}/thumbnail.png", timeout=60.0)
    assert (thumbnail.status_code, thumbnail.content[:4]) == (200, b"\x89PNG"), thumbnail.text[-500:]
    assert httpx.get(f"{page.url.copy_with(query=None)}/{number}/pixel.png", timeout=60.0).status_code == 200

    # New objects are noticed by their listing. A missing shard fails the evaluation, and the last result stays.
    objects.put({"incoming/new.png": image_bytes(90_100)})
    objects.delete("set/shard-000001.tar")
    exporter.wait_until(
        lambda: (exporter.value("evaluations_total", **LABELLED, outcome="error") or 0) >= 1,
        "failed evaluation",
        timeout=CHANGE_SECONDS,
    )
    assert exporter.value("clean_images", **LABELLED) == 20
    assert exporter.value("evaluation_last_run_successful", **LABELLED) == 0
    assert "shard-000001.tar, which labels.csv names, is missing" in httpx.get(exporter.url).text
    wait_for(exporter, 3, "unlabelled_measured_images", INCOMING)

    # The evaluation succeeds as soon as the shard is back. A prefix without objects is an empty dataset.
    objects.put({"set/shard-000001.tar": (tmp_path / "packed" / "shard-000001.tar").read_bytes()})
    for name in ("0.png", "1.png", "new.png"):
        objects.delete(f"incoming/{name}")
    wait_for(exporter, 1, "evaluation_last_run_successful", LABELLED)
    wait_for(exporter, 0, "unlabelled_images", INCOMING)
    assert exporter.value("evaluation_last_run_successful", **INCOMING) == 1
    assert "not measured: no images" in httpx.get(exporter.url).text

    # No fetcher survives its exporter.
    children = psutil.Process(exporter.process.pid).children(recursive=True)
    exporter.process.kill()
    exporter.process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
