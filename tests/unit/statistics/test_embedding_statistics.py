"""Principal components, silhouettes, linear probe, balanced accuracy and samples of classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from starlight_exporter.statistics.balanced_accuracy import balanced_accuracy
from starlight_exporter.statistics.class_samples import balanced_sample
from starlight_exporter.statistics.intervals import clopper_pearson
from starlight_exporter.statistics.linear_probe import (
    FOLDS,
    SHRINKAGE,
    grouped_folds,
    linear_discriminant,
    out_of_sample_labels,
)
from starlight_exporter.statistics.principal_components import principal_components
from starlight_exporter.statistics.silhouette import silhouettes

decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed")
discriminant_analysis = pytest.importorskip("sklearn.discriminant_analysis", reason="scikit-learn is not installed")
metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
preprocessing = pytest.importorskip("sklearn.preprocessing", reason="scikit-learn is not installed")

Vectors = NDArray[np.float64]
Labels = NDArray[np.int64]


def blobs(images: int = 400, classes: int = 4, dimensions: int = 12, *, seed: int = 0) -> tuple[Vectors, Labels]:
    """Return overlapping classes in dimensions of different variance, with an offset."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    noise = rng.normal(size=(images, dimensions)) * np.geomspace(0.1, 10, dimensions)
    return rng.normal(size=(classes, dimensions))[labels] * 2 + noise + 3, labels


def small_vectors() -> st.SearchStrategy[tuple[Vectors, Labels]]:
    """Return vectors of small integers, so that many are equal, with labels of at least two classes."""
    sizes = st.integers(2, 12)
    return sizes.flatmap(
        lambda size: st.tuples(
            st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=size, max_size=size),
            st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(lambda found: len(set(found)) > 1),
        )
    ).map(lambda pair: (np.array(pair[0], np.float64), np.array(pair[1], np.int64)))


@pytest.mark.parametrize("seed", range(3))
def test_principal_components_agree_with_scikit_learn(seed: int) -> None:
    vectors, _ = blobs(seed=seed)
    ours, theirs = principal_components(vectors), decomposition.PCA(2, svd_solver="full").fit(vectors)
    assert np.abs(ours.coordinates - theirs.transform(vectors)).max() < 1e-12 * np.abs(vectors).max()
    assert ours.variance_shares == pytest.approx(theirs.explained_variance_ratio_, abs=1e-12)


def test_vectors_on_a_line_have_one_component() -> None:
    found = principal_components(np.outer(np.arange(5.0), [-3.0, 4.0, 0.0]))
    assert found.variance_shares == pytest.approx((1.0, 0.0), abs=1e-12)
    # The largest loading is positive, so that the coordinates ascend.
    assert found.coordinates[:, 0] == pytest.approx([-10, -5, 0, 5, 10])


@pytest.mark.parametrize(
    ("vectors", "text"),
    [
        ([[1.0, 2.0]], "at least 2 vectors"),
        ([[1.0], [2.0]], "at least 2 dimensions"),
        ([[1.0, np.nan], [2.0, 1.0]], "finite"),
        ([[1.0, 2.0], [1.0, 2.0]], "differ"),
    ],
)
def test_principal_components_reject(vectors: list[list[float]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        principal_components(vectors)


@pytest.mark.parametrize("seed", range(3))
def test_silhouettes_agree_with_scikit_learn(seed: int) -> None:
    vectors, labels = blobs(seed=seed)
    assert np.abs(silhouettes(vectors, labels) - metrics.silhouette_samples(vectors, labels)).max() < 1e-12


@settings(max_examples=200, deadline=None)
@given(small_vectors())
def test_silhouettes_agree_with_their_definition(example: tuple[Vectors, Labels]) -> None:
    vectors, labels = example
    expected = []
    for row, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        distances = np.linalg.norm(vectors - vector, axis=1)
        own = (labels == label) & (np.arange(len(labels)) != row)
        if not own.any():
            expected.append(0.0)
            continue
        a = distances[own].mean()
        b = min(distances[labels == other].mean() for other in set(labels.tolist()) - {label})
        expected.append(0.0 if a == b == 0 else (b - a) / max(a, b))
    assert silhouettes(vectors, labels) == pytest.approx(np.array(expected), abs=1e-12)


def test_equal_vectors_far_from_the_origin_have_silhouette_1() -> None:
    vectors = np.repeat([[1e6, 0.1], [1e6 + 1, 0.1]], 5, axis=0)
    assert silhouettes(vectors, np.repeat([0, 1], 5)).tolist() == [1.0] * 10


@pytest.mark.parametrize(
    ("vectors", "labels", "text"),
    [
        ([[1.0], [2.0]], [0], "one label"),
        ([[1.0], [np.inf]], [0, 1], "finite"),
        ([[1.0], [2.0]], [1, 1], "two classes"),
    ],
)
def test_silhouettes_reject(vectors: list[list[float]], labels: list[int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        silhouettes(vectors, labels)


@pytest.mark.parametrize("seed", range(3))
def test_linear_discriminant_agrees_with_scikit_learn(seed: int) -> None:
    vectors, labels = blobs(seed=seed)
    vectors[:, 3] = 7.0
    ours = linear_discriminant(vectors, labels)
    scaler = preprocessing.StandardScaler().fit(vectors)
    scaled = scaler.transform(vectors)
    theirs = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(scaled, labels)
    scores = vectors @ ours.weights.T + ours.bias
    assert scores == pytest.approx(theirs.decision_function(scaled), abs=1e-8)
    assert ours.predict(vectors).tolist() == theirs.predict(scaled).tolist()


def test_probe_predicts_out_of_sample() -> None:
    """Random labels of many dimensions are predicted within the sample, and at random out of it."""
    rng = np.random.default_rng(0)
    vectors, labels, covers = rng.normal(size=(120, 64)), rng.integers(0, 2, 120), np.arange(120)
    assert np.mean(linear_discriminant(vectors, labels).predict(vectors) == labels) > 0.85
    assert np.mean(out_of_sample_labels(vectors, labels, covers, seed=0) == labels) < 0.65


@pytest.mark.parametrize("seed", range(3))
def test_probe_is_a_discriminant_of_the_other_folds(seed: int) -> None:
    vectors, labels = blobs(seed=seed)
    covers = np.arange(len(labels)) // 3
    folds = grouped_folds(labels, covers, seed=seed)
    expected = np.empty_like(labels)
    for fold in range(FOLDS):
        fitted = linear_discriminant(vectors[folds != fold], labels[folds != fold])
        expected[folds == fold] = fitted.predict(vectors[folds == fold])
    assert out_of_sample_labels(vectors, labels, covers, seed=seed).tolist() == expected.tolist()


def test_probe_does_not_recognise_covers() -> None:
    """Each cover has its own vector and label: only files of the same cover could predict it."""
    rng = np.random.default_rng(0)
    covers = np.repeat(np.arange(60), 4)
    labels = rng.integers(0, 2, 60)[covers]
    vectors = rng.normal(size=(60, 64))[covers] + rng.normal(size=(240, 64)) * 0.01
    assert np.mean(out_of_sample_labels(vectors, labels, np.arange(240), seed=0) == labels) > 0.9
    assert np.mean(out_of_sample_labels(vectors, labels, covers, seed=0) == labels) < 0.65


def test_probe_separates_classes_without_variance() -> None:
    labels = np.arange(40) % 2
    vectors = np.zeros((40, 3))
    vectors[:, 1] = labels
    assert out_of_sample_labels(vectors, labels, np.arange(40), seed=0).tolist() == labels.tolist()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=20, max_size=120).filter(
        lambda files: len({cover for _, cover in files}) >= FOLDS
    ),
    st.integers(0, 10),
)
def test_folds_keep_covers_together(files: list[tuple[int, int]], seed: int) -> None:
    labels, covers = np.array(files).T
    folds = grouped_folds(labels, covers, seed=seed)
    assert len({(cover, fold) for cover, fold in zip(covers.tolist(), folds.tolist(), strict=True)}) == len(set(covers))
    assert set(folds.tolist()) == set(range(FOLDS))
    # The covers of the rarest class are dealt first, so that they are in as many folds as possible.
    sizes = {label: len(set(covers[labels == label].tolist())) for label in set(labels.tolist())}
    rarest = min(sizes, key=lambda label: (sizes[label], label))
    assert len(set(folds[labels == rarest].tolist())) == min(FOLDS, sizes[rarest])


@pytest.mark.parametrize(
    ("vectors", "covers", "text"),
    [
        (np.zeros((6, 2)), np.zeros(5, np.int64), "one label and cover"),
        (np.full((6, 2), np.nan), np.arange(6), "finite"),
        (np.zeros((6, 2)), np.array([0, 1, 2, 3, 0, 1]), "at least 5 covers"),
    ],
)
def test_probe_rejects(vectors: Vectors, covers: Labels, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        out_of_sample_labels(vectors, np.arange(6) % 2, covers, seed=0)


def test_balanced_accuracy_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    classes = rng.choice(3, 300, p=(0.8, 0.15, 0.05))
    predicted = np.where(rng.random(300) < 0.7, classes, rng.integers(0, 3, 300))
    found = balanced_accuracy(predicted == classes, classes, np.arange(300) // 2)
    assert found.value == pytest.approx(metrics.balanced_accuracy_score(classes, predicted), abs=1e-12)
    assert found.lower is not None
    assert found.upper is not None
    assert 0 < found.lower < found.value < found.upper < 1


def test_balanced_accuracy_without_errors_depends_on_the_smallest_class() -> None:
    classes = np.repeat([0, 1], [1000, 20])
    found = balanced_accuracy(np.ones(1020), classes, np.arange(1020))
    size = 4 / (1 / 1000 + 1 / 20)
    assert (found.value, found.upper) == (1.0, 1.0)
    assert found.lower == pytest.approx(clopper_pearson(size, size)[0])


def test_balanced_accuracy_of_one_cover_has_no_interval() -> None:
    found = balanced_accuracy([True, False], [0, 1], [7, 7])
    assert (found.value, found.lower, found.upper) == (0.5, None, None)


def test_balanced_accuracy_rejects_different_lengths() -> None:
    with pytest.raises(ValueError, match="one class and cover per file"):
        balanced_accuracy([True, False], [0], [0, 1])


@pytest.mark.slow
def test_interval_of_balanced_accuracy_covers_the_true_value() -> None:
    """Files of a cover share a random effect; three classes of different size and recall."""
    rng = np.random.default_rng(0)
    share, recall, covered, trials = np.array([0.7, 0.2, 0.1]), np.array([0.95, 0.7, 0.5]), 0, 1000
    for _ in range(trials):
        covers = np.repeat(np.arange(120), 3)
        classes = rng.choice(3, len(covers), p=share)
        # The same uniform number for two of three files of a cover.
        uniform = rng.random((120, 1)).repeat(3, axis=1)
        uniform[:, 2] = rng.random(120)
        found = balanced_accuracy(uniform.ravel() < recall[classes], classes, covers)
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= recall.mean() <= found.upper
    assert covered / trials >= 0.94


def test_small_dataset_is_its_own_sample() -> None:
    assert balanced_sample([0, 1, 1], 3, seed=0).tolist() == [0, 1, 2]


def test_sample_has_equal_numbers_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [1000, 5, 400])
    sample = balanced_sample(labels, 105, seed=1)
    assert np.bincount(labels[sample]).tolist() == [50, 5, 50]
    assert sample.tolist() == sorted(set(sample.tolist()))
    assert sample.tolist() == balanced_sample(labels, 105, seed=1).tolist()
    assert sample.tolist() != balanced_sample(labels, 105, seed=2).tolist()
