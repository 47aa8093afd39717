"""The version of a dataset's generator is read from its manifest, which any other file of this name is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.dataset.generator import MANIFEST, generator_version
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.synthesis.build import GENERATOR_VERSION
from support.run_cache import RunCache


def test_generated_dataset_has_the_version_of_the_generator(run_cache: RunCache) -> None:
    root = run_cache.small_synthetic(seed=3, clean=30, stego=25, negatives=5)
    assert generator_version(root) == str(GENERATOR_VERSION)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"[]", b"{", b"\xff", b'{"parameters": []}', b'{"parameters": {"generator": "3"}}', b"[" * 10_000],
)
def test_other_datasets_have_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    assert generator_version(tmp_path) is None


def test_remote_datasets_have_none() -> None:
    assert generator_version(RemoteRoot("s3://bucket/reference")) is None
