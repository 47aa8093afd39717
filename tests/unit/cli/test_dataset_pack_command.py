"""`starlight dataset pack`: a dataset as shards, or one line with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.cli.main import main
from starlight_exporter.exit_codes import NOT_MEASURED, OK
from support.packed import contents, write_dataset


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_writes_shards_and_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str], shard_format: str) -> None:
    root, out = write_dataset(tmp_path / "images", images=2), tmp_path / "shards"
    assert main(["dataset", "pack", str(root), "--out", str(out), "--format", shard_format]) == OK
    assert capsys.readouterr().out == f"{out}: 1 shard and labels.csv\n"
    assert sorted(file.name for file in out.iterdir()) == ["labels.csv", f"shard-000000.{shard_format}"]
    assert contents(out) == contents(root)


def test_reports_a_folder_that_is_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "pack", str(tmp_path / "missing"), "--out", str(tmp_path / "out")]) == NOT_MEASURED
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == f"starlight dataset pack: {tmp_path}/missing: no such dataset folder"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host/images", "unknown protocol 'ftp'; expected s3, gs, https, http, or a path"),
        ("s3://key:secret@bucket/images", "a URL must not contain credentials; use those of the environment"),
        ("s3://bucket/../images", "a URL must have a bucket or host, and no empty parts, . and .."),
        ("https://host/images?token=secret", "a URL of a dataset has no query and no fragment"),
    ],
)
def test_rejects_urls_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, reason: str
) -> None:
    assert main(["dataset", "pack", url, "--out", str(tmp_path / "out")]) == NOT_MEASURED
    error = capsys.readouterr().err
    assert error.splitlines()[-1].endswith(reason)
    assert "secret" not in error
