"""`starlight dataset fingerprint`: the key of caches."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.cli import main as starlight
from starlight_exporter.dataset.layout import scan
from support.images import write_dataset


def test_prints_the_fingerprint_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dataset(tmp_path / "images")
    assert starlight.main(["dataset", "fingerprint", str(root)]) == 0
    assert capsys.readouterr() == (scan("images", root).fingerprint + "\n", "")


def test_changes_with_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dataset(tmp_path / "images")
    starlight.main(["dataset", "fingerprint", str(root)])
    (root / "negatives" / "patterns").rename(root / "negatives" / "textures")
    starlight.main(["dataset", "fingerprint", str(root)])
    first, second = capsys.readouterr().out.split()
    assert first != second


def test_missing_folder_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert starlight.main(["dataset", "fingerprint", str(tmp_path / "nowhere")]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    (line,) = error.splitlines()
    assert "nowhere" in line
