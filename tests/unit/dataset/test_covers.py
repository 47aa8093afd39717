"""Files that share a cover: labels from sidecars, and intervals that account for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starlight_exporter.dataset.dataset import Dataset, LabelledFile
from starlight_exporter.dataset.layout import scan
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.formatting import fraction
from starlight_exporter.statistics.intervals import proportion
from support.images import image_bytes


def dataset_with(root: Path, sidecars: dict[str, object]) -> Dataset:
    """Return a scanned dataset of one clean file and a stego file per sidecar."""
    for folder in ("clean", "stego"):
        (root / folder).mkdir(parents=True)
    (root / "clean" / "a.png").write_bytes(image_bytes(0))
    for index, (name, content) in enumerate(sidecars.items(), 1):
        (root / "stego" / name).write_bytes(image_bytes(index))
        (root / "stego" / f"{name}.json").write_text(json.dumps(content))
    return scan("covers", root)


def by_path(dataset: Dataset) -> dict[str, LabelledFile]:
    return {file.path: file for file in dataset.files}


def test_stego_files_share_the_cover_of_their_clean_file(tmp_path: Path) -> None:
    files = by_path(
        dataset_with(
            tmp_path,
            {
                "x_lsb_1.png": {"clean_file": "a.png"},
                "x_lsb_2.png": {"cover": "clean/a.png"},
                "x_lsb_3.png": {"cover": "camera-7"},
                "x_lsb_4.png": {"clean_file": None},
            },
        )
    )
    assert files["clean/a.png"].cover is None
    covers = [files[f"stego/x_lsb_{index}.png"].cover for index in (1, 2, 3, 4)]
    assert covers == ["clean/a.png", "clean/a.png", "camera-7", None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"clean_file": 3}, "sidecar key `clean_file` must be a file name or null"),
        ({"cover": ""}, "sidecar key `cover` must be a file name or null"),
        ({"cover": "a\nb"}, "sidecar key `cover` must be a file name or null"),
        ({"clean_file": "a.png", "cover": "b.png"}, "sidecar keys `clean_file` and `cover` differ"),
    ],
)
def test_invalid_cover_is_a_problem_of_the_file(tmp_path: Path, content: object, reason: str) -> None:
    problem = by_path(dataset_with(tmp_path, {"x_lsb_1.png": content}))["stego/x_lsb_1.png"].problem
    assert problem is not None
    assert (problem.reason, problem.text) == ("unlabelled", f"stego/x_lsb_1.png.json: {reason}")


def test_covers_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    one = dataset_with(tmp_path / "one", {"x_lsb_1.png": {"cover": "camera-7"}})
    other = dataset_with(tmp_path / "other", {"x_lsb_1.png": {}})
    assert one.fingerprint == other.fingerprint


def prediction(index: int, cover: str | None, *, verdict: bool) -> Prediction:
    return Prediction(
        path=f"stego/{index}.png",
        sha256=f"{index:064x}",
        file_class="stego",
        method="lsb",
        category=None,
        image_format="png",
        probability=float(verdict),
        predicted_method=None,
        verdict=verdict,
        not_measured=None,
        detail="",
        seconds=None,
        facts=FileFacts(cover=cover),
    )


def test_interval_is_wider_for_images_that_share_covers() -> None:
    # 40 covers of 6 files each; all files of 8 covers are missed.
    shared = accuracy([prediction(i, f"cover-{i // 6}", verdict=i // 6 >= 8) for i in range(240)]).detections["lsb"]
    exact = proportion(192, 240)
    assert (shared.count, shared.total, shared.covers) == (192, 240, 40)
    assert shared.lower is not None
    assert shared.upper is not None
    assert exact.lower is not None
    assert exact.upper is not None
    assert shared.lower < exact.lower
    assert shared.upper > exact.upper
    assert fraction(shared) == "192 of 240 from 40 covers"


def test_images_with_covers_of_their_own_have_the_exact_interval() -> None:
    found = accuracy([prediction(i, None, verdict=i >= 8) for i in range(40)]).detections["lsb"]
    assert found == proportion(32, 40)
