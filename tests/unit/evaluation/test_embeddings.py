"""Separation of embeddings by class: values, projection, and reasons why something is not measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LABELLED_CLASSES
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation import embeddings
from starlight_exporter.evaluation.embedding_results import (
    EMBEDDING_CLASSES,
    MIN_IMAGES,
    EmbeddingResult,
    Projection,
    read_projection,
)
from starlight_exporter.evaluation.embedding_table import EmbeddingCollector, sampled_numbers
from starlight_exporter.evaluation.embeddings import measure_embeddings
from starlight_exporter.evaluation.results import Prediction
from support.embedding_results import example_image, example_images, table
from support.results import make_prediction

COUNTS = {"clean": 120, "alpha": 60, "palette": 60, "lsb": 60}


def measure(predictions: list[Prediction], values: NDArray[np.float32]) -> tuple[EmbeddingResult, Projection | None]:
    return measure_embeddings(predictions, table(predictions, values), None, seed=0)


def test_distant_classes_are_separated() -> None:
    result, projection = measure(*example_images(COUNTS, distance=3.0))
    assert (result.images, result.not_finite, result.not_measured) == (300, 0, None)
    assert result.probe is not None
    assert result.probe.accuracy.ratio == 1.0
    assert result.probe.balanced_accuracy.value == 1.0
    assert result.probe.largest_class == 0.4
    assert result.silhouette is not None
    assert result.silhouette > 0.5
    assert tuple(result.classes) == EMBEDDING_CLASSES
    for name, one in result.classes.items():
        assert one.images == COUNTS.get(name, 0)
        assert one.not_measured == (None if name in COUNTS else "no_images")
        assert (one.recall is None) == (one.silhouette is None) == (name not in COUNTS)
    assert projection is not None
    assert projection.images["number"].tolist() == list(range(300))


def test_equal_distributions_are_not_separated() -> None:
    result, _ = measure(*example_images(COUNTS, distance=0.0))
    assert result.probe is not None
    assert result.probe.accuracy.lower is not None
    assert result.probe.accuracy.lower < result.probe.largest_class
    assert result.silhouette == pytest.approx(0, abs=0.02)


def test_silhouette_of_a_sample_estimates_that_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, values = example_images({"clean": 900, "alpha": 120, "lsb": 60}, distance=0.7)
    labels = [one.method or "clean" for one in predictions]
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    expected = metrics.silhouette_score(values.astype(np.float64), labels)
    result, _ = measure(predictions, values)
    assert result.silhouette == pytest.approx(expected, abs=1e-9)
    assert result.silhouette_images == 1080
    monkeypatch.setattr(embeddings, "MAX_SAMPLE", 300)
    sampled, projection = measure(predictions, values)
    assert sampled.silhouette_images == 300
    assert [sampled.classes[name].silhouette_images for name in ("clean", "alpha", "lsb")] == [120, 120, 60]
    assert sampled.silhouette == pytest.approx(expected, abs=0.02)
    assert projection is not None
    assert len(projection.images) == 300


def test_only_measured_clean_and_stego_images_count() -> None:
    predictions, values = example_images(COUNTS)
    expected = measure(predictions, values)[0]
    negative = make_prediction("negative.png", "negative", 0.5)
    late = make_prediction("late.png", "clean", None, reason="timeout")
    unknown = make_prediction("unknown.png", "clean", 0.5)
    others = [negative, late]
    more = table([*predictions, *others], np.vstack([values, np.full((2, 64), 9, np.float32)]))
    result, projection = measure_embeddings([*predictions, *others, unknown], more, None, seed=0)
    assert result == replace(expected, measured=301)
    assert projection is not None
    assert projection.images["number"].tolist() == list(range(300))


def test_embeddings_that_are_not_finite_are_excluded() -> None:
    predictions, values = example_images(COUNTS)
    kept = np.arange(300) >= 7
    expected = measure([one for one, keep in zip(predictions, kept, strict=True) if keep], values[kept])[0]
    damaged = values.copy()
    damaged[:7, 3] = [np.nan, np.inf, -np.inf, np.nan, np.nan, np.inf, np.nan]
    result, projection = measure(predictions, damaged)
    assert result == replace(expected, not_finite=7, measured=300)
    assert projection is not None
    assert projection.images["number"].min() == 7


def test_class_with_few_images_or_covers_is_not_measured() -> None:
    predictions, values = example_images(COUNTS | {"eoi": MIN_IMAGES - 1, "exif": 40})
    one_cover = [
        replace(one, facts=replace(one.facts, cover="the same")) if one.method == "exif" else one for one in predictions
    ]
    result, projection = measure(one_cover, values)
    assert result.not_measured is None
    assert result.classes["eoi"].not_measured == "few_images"
    assert result.classes["exif"].not_measured == "few_covers"
    assert result.probe is not None
    assert result.probe.accuracy.total == 300
    assert projection is not None
    # They are shown, but without silhouette.
    assert np.count_nonzero(np.isnan(projection.images["silhouette"])) == 40 + MIN_IMAGES - 1


def of_one_cover(predictions: list[Prediction]) -> list[Prediction]:
    return [replace(one, facts=replace(one.facts, cover="the same")) for one in predictions]


@pytest.mark.parametrize(
    ("example", "reason", "detail", "projected"),
    [
        (([], np.zeros((0, 64), np.float32)), "no_images", "no clean or stego image was measured", False),
        ((example_images(COUNTS)[0], np.full((300, 64), np.nan, np.float32)), "not_finite", "300 images", False),
        ((example_images(COUNTS)[0], np.ones((300, 64), np.float32)), "constant", "all embeddings are equal", False),
        (([example_image(0, "lsb", 0)], np.ones((1, 64), np.float32)), "one_class", "all images are lsb", False),
        (example_images({"clean": 50}), "one_class", "all images are clean", True),
        ((of_one_cover(example_images(COUNTS)[0]), example_images(COUNTS)[1]), "one_cover", "one cover", True),
        (example_images({"clean": 50, "lsb": MIN_IMAGES - 1}), "few_images", "fewer than 2 classes", True),
    ],
)
def test_reason_without_separation(
    example: tuple[list[Prediction], NDArray[np.float32]], reason: str, detail: str, projected: bool
) -> None:
    result, projection = measure(*example)
    assert result.not_measured == reason
    assert detail in result.detail
    assert (result.silhouette, result.probe) == (None, None)
    assert all(one.recall is None and one.silhouette is None for one in result.classes.values())
    assert (projection is not None) == projected == (result.explained_variance is not None)


@pytest.mark.parametrize(
    ("problem", "reason", "detail"),
    [
        ("", "no_output", "the model has no output embedding"),
        ("output embedding N×32, expected tensor(float) N×64", "unsupported_output", "N×32"),
    ],
)
def test_reason_without_usable_output(problem: str, reason: str, detail: str) -> None:
    result, projection = measure_embeddings([example_image(0, "lsb", 0)], EmbeddingCollector().table(), problem, seed=0)
    assert (result.images, result.not_measured, projection) == (0, reason, None)
    assert detail in result.detail


def test_embeddings_of_larger_datasets_are_a_sample_of_clean_and_stego_files() -> None:
    root = Path("set")
    files = FoundFiles.of(root, [FoundFile(root, f"{at:03}", LABELLED_CLASSES[at % 3]) for at in range(120)])
    assert sampled_numbers(files, seed=0, limit=80) is None
    chosen = sampled_numbers(files, seed=0, limit=50)
    assert chosen is not None
    assert len(chosen) == 50
    assert np.all(np.diff(chosen) > 0)
    assert not any(files[int(number)].file_class == "negative" for number in chosen)
    again, other = (sampled_numbers(files, seed=seed, limit=50) for seed in (0, 1))
    assert again is not None
    assert other is not None
    assert chosen.tolist() == again.tolist() != other.tolist()


def test_sample_of_the_bulk_pass_is_stated() -> None:
    predictions, values = example_images(COUNTS)
    result, _ = measure_embeddings(predictions, table(predictions[:200], values[:200]), None, seed=0)
    assert (result.images, result.measured) == (200, 300)


def test_largest_values_of_single_precision_are_measured() -> None:
    predictions, values = example_images(COUNTS)
    result, projection = measure(predictions, values / np.abs(values).max() * np.float32(3e38))
    assert result.probe == measure(predictions, values)[0].probe
    assert projection is not None
    assert np.isfinite(projection.images["x"]).all()


def test_stored_projection_is_read_again(tmp_path: Path) -> None:
    _, projection = measure(*example_images(COUNTS))
    assert projection is not None
    file = tmp_path / "projection.npy"
    file.write_bytes(projection.to_bytes())
    assert read_projection(file).images.tolist() == projection.images.tolist()


@pytest.mark.parametrize("damage", ["missing", "truncated", "dtype", "shape", "values"])
def test_damaged_projection_is_an_error(tmp_path: Path, damage: str) -> None:
    _, projection = measure(*example_images(COUNTS))
    assert projection is not None
    file, images = tmp_path / "projection.npy", projection.images
    if damage == "values":
        images["x"][3] = np.nan
    changed = {"dtype": images["x"], "shape": images.reshape(-1, 2)}.get(damage, images)
    if damage != "missing":
        content = Projection(changed).to_bytes()
        file.write_bytes(content[:-5] if damage == "truncated" else content)
    with pytest.raises(StorageError, match=str(file)):
        read_projection(file)
