"""`scripts/up` checks the model and the dataset of its flags before it starts anything."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from stack import preflight
from stack.preflight import check_inputs
from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.errors import DatasetError, ModelError
from support.images import image_bytes, write_dataset
from support.models import write_random_model

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "config" / "starlight.yml"

pytestmark = pytest.mark.slow


def checked(model: Path | None, dataset: Path | None) -> str:
    output = io.StringIO()
    console = Console(file=output, width=1000)
    check_inputs(model=model, dataset=dataset, config=SHIPPED, console=console)
    return output.getvalue()


def test_nothing_is_checked_without_flags() -> None:
    assert checked(None, None) == ""


def test_model_without_methods_and_its_dataset_are_accepted(tmp_path: Path) -> None:
    model = write_random_model(tmp_path / "plain.onnx", streams=STREAMS[:1], method_output=False)
    dataset = write_dataset(tmp_path / "images", clean=5, stego=5, negatives=2)
    (dataset / "clean" / "notes.png").write_text("no image")
    lines = checked(model, dataset).splitlines()
    assert lines == [
        f"{model}: predicts no method: decided by probability > 0.5, not by probability > alpha 0.7, palette 0.98, lsb"
        " 0.95, exif 0.5, eoi 0.65",
        f"{dataset}: 6 clean, 5 stego, 2 negatives",
        f"{dataset}: 1 of 13 files cannot be measured, such as clean/notes.png: no image format is recognised",
    ]


def test_unusable_model_is_reported_with_the_reason_within_the_time(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"PK\x03\x04")
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"model\.onnx: not a loadable ONNX model: it is a ZIP archive") as error:
        checked(model, None)
    assert error.value.reason == "invalid"
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photos/a.png", "has none of the folders clean (or cover), stego (or a method) and negatives"),
        ("stego/a.png", "none of 1 files can be measured, such as stego/a.png: is a stego file without method"),
    ],
)
def test_unusable_dataset_is_reported_with_the_reason(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(image_bytes(1))
    with pytest.raises(DatasetError) as error:
        checked(None, tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: {message}")


def test_check_that_takes_too_long_does_not_prevent_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CHECK_SECONDS", 0.0)
    assert checked(None, tmp_path) == f"{tmp_path}: not checked: takes more than 0 s\n"
