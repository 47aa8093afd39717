"""An exporter with a watched folder of unlabelled images: empty, growing, with images of another source, emptied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from starlight_exporter.evaluation.drift import MIN_IMAGES
from support.exporter import Exporter, write_config
from support.images import image_bytes, write_dataset
from support.models import write_constant_model

pytestmark = pytest.mark.integration

CLEAN = MIN_IMAGES + 40
WINDOW = 150
PAIR = {"model": "production", "dataset": "incoming"}


def add_images(folder: Path, name: str, count: int, *, seed: int, size: tuple[int, int] = (48, 40)) -> None:
    """Add a subfolder of images in one step."""
    partial = folder.parent / f"partial-{name}"
    partial.mkdir()
    for index in range(count):
        (partial / f"{index:04}.png").write_bytes(image_bytes(seed + index, size=size))
    partial.rename(folder / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def exporter(tmp_path: Path, folder: Path) -> Iterator[Exporter]:
    write_dataset(tmp_path / "images", clean=CLEAN, stego=5, negatives=2)
    config = write_config(
        tmp_path,
        datasets=[
            {"name": "small", "path": "images"},
            {
                "name": "incoming",
                "path": str(folder),
                "labelled": False,
                "drift_reference": "small",
                "window": {"images": WINDOW},
            },
        ],
        latency={"sample": 0},
    )
    with Exporter(config) as process:
        process.wait_for_value(0.0, "unlabelled_images", **PAIR)
        yield process


def evaluate(exporter: Exporter) -> None:
    answer = httpx.post(f"{exporter.url}/api/v1/evaluations", params={"dataset": "incoming"})
    assert answer.is_success, answer.text


def status(exporter: Exporter) -> dict[str, Any]:
    (row,) = httpx.get(f"{exporter.url}/status.json").json()["unlabelled"]
    assert isinstance(row, dict)
    return row


def test_growing_folder(exporter: Exporter, folder: Path) -> None:
    # Empty: not measured, which is neither a failure nor a rate of 0.
    assert exporter.value("unlabelled_alarm_ratio", **PAIR) is None
    assert exporter.value("evaluation_last_run_successful", **PAIR) == 1
    assert exporter.value("drift_unavailable", **PAIR, reason="too_few_images") == 1
    assert exporter.value("drift_detected", **PAIR) is None
    assert "not measured: no images" in httpx.get(exporter.url).text

    # The first change is evaluated at once; images of the same kind have not drifted.
    add_images(folder, "a", MIN_IMAGES + 10, seed=50_000)
    exporter.wait_for_value(MIN_IMAGES + 10, "unlabelled_measured_images", **PAIR)
    assert exporter.value("unlabelled_alarm_ratio", **PAIR) == 0.0
    assert exporter.value("drift_psi", **PAIR, fact="score") == pytest.approx(0.0, abs=0.01)

    # The folder grows past the window, with images of another size.
    add_images(folder, "b", WINDOW, seed=60_000, size=(64, 24))
    evaluate(exporter)
    exporter.wait_for_value(MIN_IMAGES + 10, "unlabelled_images_outside_window", **PAIR)
    assert exporter.value("unlabelled_images", **PAIR) == WINDOW
    assert exporter.value("drift_detected", **PAIR) == 1
    assert (exporter.value("drift_psi", **PAIR, fact="width") or 0) > 1
    assert status(exporter)["drift_detected"] is True

    # No labelled metric has the dataset, and nothing is checked or timed.
    names = {name for (name, labels) in exporter.metrics() if ("dataset", "incoming") in labels}
    expected = ("starlight_unlabelled_", "starlight_drift_", "starlight_evaluation", "starlight_dataset_")
    assert {name for name in names if not name.startswith(expected)} == set()

    page = httpx.get(f"{exporter.url}/evaluations/latest", params=PAIR, follow_redirects=True)
    assert page.is_success
    assert "unlabelled images" in page.text
    assert "Drift from small" in page.text
    evaluation = httpx.get(f"{exporter.url}/evaluations/latest.json", params=PAIR, follow_redirects=True).json()
    assert evaluation["evaluation"]["unlabelled"]["images"] == WINDOW
    images = httpx.get(
        f"{exporter.url}/evaluations/latest/images", params={**PAIR, "shown": "alarms"}, follow_redirects=True
    )
    assert images.is_success
    assert "No images." in images.text
    assert httpx.get(f"{exporter.url}/evaluations").is_success

    # All images are removed: again not measured.
    for subfolder in folder.iterdir():
        shutil.rmtree(subfolder)
    evaluate(exporter)
    exporter.wait_for_value(0.0, "unlabelled_images", **PAIR)
    assert exporter.value("unlabelled_alarm_ratio", **PAIR) is None
    assert exporter.value("drift_detected", **PAIR) is None


def test_alarms_are_listed(exporter: Exporter, folder: Path, tmp_path: Path) -> None:
    write_constant_model(tmp_path / "new.onnx", logit=4.0).replace(tmp_path / "models" / "model.onnx")
    add_images(folder, "a", 20, seed=50_000)
    exporter.wait_for_value(1.0, "unlabelled_alarm_ratio", **PAIR)
    assert exporter.value("unlabelled_method_share_ratio", **PAIR, method="alpha") == 1.0
    alarms = {**PAIR, "shown": "alarms"}
    page = httpx.get(f"{exporter.url}/evaluations/latest/images", params=alarms, follow_redirects=True)
    assert page.text.count('class="card"') == 20
    assert "false positive" not in page.text
    csv = httpx.get(f"{exporter.url}/evaluations/latest/images.csv", params=alarms, follow_redirects=True)
    assert len(csv.text.splitlines()) == 21
    single = httpx.get(f"{page.url.copy_with(query=None)}/0")
    assert single.is_success
    assert "<td>unlabelled</td>" in single.text


def test_continuous_arrivals_delay_no_labelled_dataset(exporter: Exporter, folder: Path, tmp_path: Path) -> None:
    add_images(folder, "a", 10, seed=50_000)
    exporter.wait_for_value(10.0, "unlabelled_images", **PAIR)
    for number in range(3):
        add_images(folder, f"b{number}", 5, seed=60_000 + 100 * number)
        (tmp_path / "images" / "clean" / f"more-{number}.png").write_bytes(image_bytes(70_000 + number))
        exporter.wait_for_value(CLEAN + 1.0 + number, "clean_images", model="production", dataset="small")
    # The later changes wait, and no evaluation was cancelled for them.
    assert exporter.value("unlabelled_images", **PAIR) == 10
    assert exporter.value("evaluations_total", **PAIR, outcome="success") == 2
    assert exporter.value("evaluations_total", **PAIR, outcome="cancelled") == 0
