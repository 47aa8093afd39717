"""Balance, entropy and duplicates of a dataset."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from starlight_exporter.dataset import layout
from starlight_exporter.dataset.dataset import Dataset, DatasetQuality, FileClass, FileProblem, LabelledFile, SliceCount
from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.predictions import not_measured
from starlight_exporter.evaluation.quality import MAX_GROUP_PATHS, MAX_GROUPS, entropy_bits, measure_quality


def labelled(
    path: str,
    file_class: FileClass = "clean",
    method: Method | None = None,
    *,
    image_format: ImageFormat | None = "png",
    sha256: str | None = None,
    problem: FileProblem | None = None,
) -> LabelledFile:
    content = path if sha256 is None else sha256
    digest = content and hashlib.sha256(content.encode()).hexdigest()
    return LabelledFile(path, file_class, method, None, image_format, 10, digest, problem)


def dataset(*files: LabelledFile) -> Dataset:
    return Dataset("test", Path("nowhere"), files, "")


def measure(found: Dataset) -> DatasetQuality:
    error = ImageError("", reason="unreadable")
    return measure_quality([not_measured(file, error) for file in found.files], ignored_files=0)


def test_counts_by_class_method_and_format() -> None:
    quality = measure(
        dataset(
            labelled("c1", image_format="jpeg"),
            labelled("c2", image_format="jpeg"),
            labelled("c3", image_format=None),
            labelled("s1", "stego", "eoi", image_format="gif"),
            labelled("s2", "stego", None, problem=FileProblem("unlabelled", "s2: …")),
            labelled("n1", "negative", image_format="other"),
        )
    )
    assert quality.counts == (
        SliceCount("clean", None, "jpeg", 2),
        SliceCount("clean", None, None, 1),
        SliceCount("stego", "eoi", "gif", 1),
        SliceCount("stego", None, "png", 1),
        SliceCount("negative", None, "other", 1),
    )


def test_entropy_of_equal_shares_is_the_maximum() -> None:
    quality = measure(dataset(*(labelled(f"{m}{i}", "stego", m) for m in METHODS for i in range(3))))
    assert quality.method_shares == dict.fromkeys(METHODS, 0.2)
    assert quality.entropy_bits == pytest.approx(math.log2(5))
    assert quality.entropy_max_bits == pytest.approx(2.321928)


def test_entropy_of_a_single_method_is_zero() -> None:
    quality = measure(dataset(labelled("a", "stego", "lsb"), labelled("b", "stego", "lsb")))
    assert quality.method_shares == {"alpha": 0.0, "palette": 0.0, "lsb": 1.0, "exif": 0.0, "eoi": 0.0}
    assert quality.entropy_bits == 0.0
    assert math.copysign(1, quality.entropy_bits or 0.0) == 1.0


def test_entropy_of_known_shares() -> None:
    assert entropy_bits((0.5, 0.25, 0.25, 0.0, 0.0)) == pytest.approx(1.5)


def test_entropy_without_labelled_stego_files_is_none() -> None:
    quality = measure(dataset(labelled("a"), labelled("b", "stego", None)))
    assert quality.method_shares == {}
    assert quality.entropy_bits is None


def test_finds_duplicates_across_classes_except_unreadable_files() -> None:
    quality = measure(
        dataset(
            labelled("clean/a", sha256="1"),
            labelled("clean/b", sha256="1"),
            labelled("clean/c", sha256="2"),
            labelled("clean/e1", sha256="0", image_format=None),
            labelled("clean/e2", sha256="0", image_format=None),
            labelled("clean/u1", sha256="", image_format=None),
            labelled("clean/u2", sha256="", image_format=None),
            labelled("negatives/p/n", "negative", sha256="3"),
            labelled("stego/x", "stego", "alpha", sha256="1"),
            labelled("stego/y", "stego", "alpha", sha256="3"),
            labelled("stego/z", "stego", "alpha", sha256="4"),
        )
    )
    assert quality.duplicate_groups == (("clean/a", "clean/b", "stego/x"), ("negatives/p/n", "stego/y"))
    assert quality.duplicate_images == 3
    assert quality.clean_equals_stego == (("clean/a", "clean/b", "stego/x"),)


def test_paths_of_many_duplicates_are_limited() -> None:
    same = [labelled(f"clean/same/{number:04}", sha256="1") for number in range(500)]
    pairs = [labelled(f"clean/{kind}/{number:04}", sha256=f"pair {number}") for kind in "ab" for number in range(500)]
    quality = measure(dataset(*same, *pairs))
    assert quality.duplicate_images == 499 + 500
    assert len(quality.duplicate_groups) == MAX_GROUPS
    assert max(map(len, quality.duplicate_groups)) == MAX_GROUP_PATHS


@pytest.mark.slow
def test_synthetic_dataset_is_balanced_and_has_no_duplicates(synthetic: Path) -> None:
    found = layout.scan("synthetic", synthetic)
    quality = measure(found)
    assert len(found.files) == 1100
    assert [file.problem for file in found.files if file.problem] == []
    assert quality.method_shares == dict.fromkeys(METHODS, 0.2)
    assert quality.duplicate_groups == ()
    by_class = {c: sum(n.images for n in quality.counts if n.file_class == c) for c in ("clean", "stego", "negative")}
    assert by_class == {"clean": 600, "stego": 400, "negative": 100}
    clean = {count.image_format: count.images for count in quality.counts if count.file_class == "clean"}
    assert set(clean) == {"jpeg", "png", "gif", "webp", "bmp"}
    assert min(clean.values()) > 40
