"""No single feature of a synthesised file separates stego from clean files of the same format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from starlight_exporter.dataset import layout
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector import decoding, streams
from starlight_exporter.detector.contract import METHODS, Method

pytestmark = pytest.mark.slow

FLOATS = (
    *("has alpha", "alpha std", "is palette", "is rgb", "width", "height"),
    *(
        "rgb distinct",
        "rgb printable",
        "rgb most frequent byte",
        "alpha distinct",
        "alpha printable",
        "alpha most frequent byte",
    ),
)
LARGEST_BALANCED_ACCURACY = 0.8

Floats = NDArray[np.float64]
Key = Callable[["Row"], object]


class Row:
    """The features of one file that a rule may use."""

    def __init__(self, root: Path, file: LabelledFile) -> None:
        data = (root / file.path).read_bytes()
        image = decoding.decode(data)
        tensors = streams.tensors(image, ("format", "content"))
        palette = np.frombuffer(image.palette, dtype=np.uint8).reshape(-1, 3)
        self.file = file
        self.mode = image.mode
        self.features: dict[str, float] = dict(zip(FLOATS, [*tensors["format"], *tensors["content"]], strict=True))
        self.features |= {
            "file size": len(data),
            "has exif": image.exif_bytes > 0,
            "exif length": image.exif_bytes,
            "has tail": image.tail_bytes > 0,
            "tail length": image.tail_bytes,
            "grey palette": bool((palette == palette[:, :1]).all()),
            "palette length": len(image.palette),
            "mode": float(("1", "L", "P", "RGB", "RGBA").index(image.mode)),
        }


def balanced_accuracy(stego: Floats, clean: Floats, clean_weights: Floats) -> float:
    """Return the balanced accuracy of the best rule `value > threshold` (or <=), with weighted clean files."""
    values = np.concatenate([stego, clean])
    weights = np.concatenate([np.full(stego.size, 1 / stego.size), -clean_weights / clean_weights.sum()])
    order = np.argsort(values, kind="stable")
    values, gaps = values[order], np.cumsum(weights[order])
    ends = np.append(values[1:] != values[:-1], True)
    return float(0.5 + np.abs(gaps[ends]).max() / 2)


def best_rules(rows: list[Row], method: Method, key: Key) -> dict[str, float]:
    """Return the balanced accuracy per feature against clean files, weighted to the same distribution of `key`."""
    stego = [row for row in rows if row.file.method == method]
    kinds = Counter(map(key, stego))
    clean = [row for row in rows if row.file.file_class == "clean" and key(row) in kinds]
    clean_kinds = Counter(map(key, clean))
    weights = np.array([kinds[key(row)] / clean_kinds[key(row)] for row in clean], dtype=np.float64)
    return {
        name: balanced_accuracy(
            np.array([row.features[name] for row in stego], dtype=np.float64),
            np.array([row.features[name] for row in clean], dtype=np.float64),
            weights,
        )
        for name in rows[0].features
    }


@pytest.fixture(scope="module")
def rows(synthetic: Path) -> list[Row]:
    found = layout.scan("synthetic", synthetic)
    return [Row(synthetic, file) for file in found.files if file.file_class != "negative"]


def test_balanced_accuracy_detects_a_planted_shortcut() -> None:
    stego, clean = np.array([5.0, 6.0, 7.0, 8.0]), np.array([1.0, 2.0, 3.0, 6.5])
    assert balanced_accuracy(stego, clean, np.ones(4)) == pytest.approx(0.875)
    assert balanced_accuracy(clean, stego, np.ones(4)) == pytest.approx(0.875)
    assert balanced_accuracy(stego, stego, np.ones(4)) == pytest.approx(0.5)


@pytest.mark.parametrize("method", METHODS)
def test_no_single_feature_separates_a_method_from_clean_files_of_the_same_mode(
    rows: list[Row], method: Method
) -> None:
    rules = best_rules(rows, method, key=lambda row: (row.file.image_format, row.mode))
    name = max(rules, key=rules.__getitem__)
    print(f"{method}: best single rule is {name!r}, balanced accuracy {rules[name]:.3f}")
    assert rules[name] <= LARGEST_BALANCED_ACCURACY


@pytest.mark.parametrize("method", METHODS)
def test_storage_features_do_not_separate_a_method_from_clean_files(rows: list[Row], method: Method) -> None:
    """Compare mode, size and metadata with all clean files of the same formats."""
    rules = best_rules(rows, method, key=lambda row: row.file.image_format)
    for name in (
        "mode",
        "width",
        "height",
        "file size",
        "has exif",
        "exif length",
        "has tail",
        "tail length",
        "is rgb",
    ):
        assert rules[name] <= LARGEST_BALANCED_ACCURACY, name
    assert rules["grey palette"] <= 0.75


def test_clean_files_have_the_same_features_as_stego_files(rows: list[Row]) -> None:
    clean = [row for row in rows if row.file.file_class == "clean"]
    share = {
        "exif": np.mean([row.features["has exif"] for row in clean]),
        "tail": np.mean([row.features["has tail"] for row in clean]),
        "alpha": np.mean([row.mode == "RGBA" for row in clean]),
        "varied alpha": np.mean([row.features["alpha std"] > 0 for row in clean]),
        "colour palette": np.mean([row.mode == "P" and not row.features["grey palette"] for row in clean]),
        "grey palette": np.mean([row.mode == "P" and row.features["grey palette"] for row in clean]),
    }
    assert share["exif"] > 0.3
    assert share["tail"] > 0.4
    assert share["alpha"] > 0.2
    assert share["varied alpha"] > 0.12
    assert share["colour palette"] > 0.12
    assert share["grey palette"] > 0.02


def test_stego_files_have_benign_exif_and_tails(rows: list[Row]) -> None:
    pixel = [row for row in rows if row.file.method in ("alpha", "lsb") and row.file.image_format in ("png", "webp")]
    assert np.mean([row.features["has exif"] for row in pixel]) > 0.5
    assert np.mean([row.features["has tail"] for row in pixel]) > 0.5


def test_every_payload_is_visible_to_the_detector(rows: list[Row]) -> None:
    """Payloads in the tail are within the bytes that the detector reads."""
    for row in rows:
        if row.file.method == "eoi":
            assert row.features["tail length"] >= 100, row.file.path
            assert row.features["exif length"] + min(row.features["tail length"], 120) <= 2048
