"""The store returns what was written, in pages, and finds flips between two evaluations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.publish.prediction_queries import SELECTION_DIRECTIONS, Selection
from starlight_exporter.publish.prediction_store import PredictionStore
from support.results import make_prediction
from support.snapshots import example_prediction

FACTS = FileFacts(123_456, 640, 480, "RGBA", 12, 99, "msb-first", 17)


def with_probability(entry: Prediction, probability: float | None) -> Prediction:
    return replace(entry, probability=probability)


ENTRIES = (
    with_probability(example_prediction("clean/a.png", verdict=True), 0.8),
    with_probability(example_prediction("clean/b.png", verdict=True), 0.99),
    with_probability(example_prediction("clean/c.png", verdict=False), 0.1),
    example_prediction("clean/d.png", verdict=None),
    with_probability(example_prediction("negatives/patterns/e.png", verdict=True, negative=True), 0.7),
    replace(
        with_probability(example_prediction("stego/f.png", verdict=False, stego=True), 0.01),
        image_format="webp",
        facts=FACTS,
    ),
    with_probability(example_prediction("stego/unsure.png", verdict=False, stego=True), 0.9),
    replace(with_probability(example_prediction("stego/g '\"<b>.png", verdict=True, stego=True), 0.9), method="lsb"),
)


@pytest.fixture
def store(tmp_path: Path) -> PredictionStore:
    PredictionTable.write(tmp_path / "a ?#%.sqlite", ENTRIES)
    return PredictionStore(tmp_path / "a ?#%.sqlite")


def paths(store: PredictionStore, selection: Selection, *, limit: int = 100, offset: int = 0) -> list[str]:
    return [row.prediction.path for row in store.page(selection, limit=limit, offset=offset)]


def test_predictions_read_back_equal(store: PredictionStore) -> None:
    found = store.by_number(5)
    assert found is not None
    assert (found.number, found.prediction) == (5, ENTRIES[5])
    assert store.by_number(8) is None
    assert store.by_number(-1) is None
    assert store.by_path("stego/g '\"<b>.png") is not None
    assert store.by_path("stego/nothing.png") is None


def test_most_confident_errors_come_first_in_pages(store: PredictionStore) -> None:
    wrong = ["clean/b.png", "stego/f.png", "clean/a.png", "negatives/patterns/e.png", "stego/unsure.png"]
    assert paths(store, Selection()) == wrong
    assert paths(store, Selection(), limit=2, offset=1) == wrong[1:3]
    assert store.count(Selection()) == 5
    assert store.measured(Selection()) == 7
    assert store.count(Selection("all")) == 8


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(filters={"class": "clean"}), ["clean/b.png", "clean/a.png"]),
        (Selection(filters={"class": "clean", "format": "webp"}), []),
        (Selection(filters={"format": "webp"}), ["stego/f.png"]),
        (Selection(filters={"method": "alpha"}), ["stego/f.png", "stego/unsure.png"]),
        (Selection(filters={"category": "patterns"}), ["negatives/patterns/e.png"]),
        (Selection(filters={"category": "'; DROP TABLE predictions; --"}), []),
        (Selection("not_measured"), ["clean/d.png"]),
        (Selection(direction="false_positive"), ["clean/b.png", "clean/a.png", "negatives/patterns/e.png"]),
        (Selection(direction="false_negative"), ["stego/f.png", "stego/unsure.png"]),
    ],
)
def test_selection_by_filters_and_direction(store: PredictionStore, selection: Selection, expected: list[str]) -> None:
    assert paths(store, selection) == expected
    assert store.count(selection) == len(expected)


def test_facet_counts_respect_the_other_filters(store: PredictionStore) -> None:
    found = store.facets(Selection(filters={"class": "clean"}))
    assert found["class"] == [("clean", 2), ("negative", 1), ("stego", 2)]
    assert found["format"] == [("png", 2)]
    assert found["method"] == found["category"] == []


def test_flips_between_two_stores(tmp_path: Path) -> None:
    before = [
        example_prediction("clean/broken.png", verdict=False),
        example_prediction("clean/fixed.png", verdict=True),
        example_prediction("clean/other-bytes.png", verdict=True),
        example_prediction("clean/not-measured.png", verdict=None),
        example_prediction("stego/fixed.png", verdict=False, stego=True),
        example_prediction("stego/same.png", verdict=False, stego=True),
    ]
    after = [
        example_prediction("stego/fixed.png", verdict=True, stego=True),
        example_prediction("clean/broken.png", verdict=True),
        example_prediction("clean/fixed.png", verdict=False),
        replace(example_prediction("clean/other-bytes.png", verdict=False), sha256="cd" * 32),
        example_prediction("stego/same.png", verdict=False, stego=True),
        example_prediction("clean/not-measured.png", verdict=True),
    ]
    PredictionTable.write(tmp_path / "before.sqlite", before)
    PredictionTable.write(tmp_path / "after.sqlite", after)
    store = PredictionStore(tmp_path / "after.sqlite", before=tmp_path / "before.sqlite")
    assert paths(store, Selection(direction="broken")) == ["clean/broken.png"]
    assert sorted(paths(store, Selection(direction="fixed"))) == ["clean/fixed.png", "stego/fixed.png"]
    assert paths(store, Selection(direction="fixed", filters={"class": "stego"})) == ["stego/fixed.png"]
    clean, stego = store.flip_counts()
    assert (clean.file_class, clean.both, clean.wrong_before, clean.wrong_after) == ("clean", 2, 1, 1)
    assert (clean.fixed, clean.broken) == (1, 1)
    assert (stego.method, stego.both, stego.fixed, stego.broken) == ("alpha", 2, 1, 0)
    fixed = store.page(Selection(direction="fixed", filters={"class": "clean"}), limit=9)
    previous = store.previous(fixed)
    assert [previous[row.number].prediction.verdict for row in fixed] == [True]


def test_error_names_damaged_or_missing_store(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing\.sqlite: cannot be read: No such file or directory"):
        PredictionStore(tmp_path / "missing.sqlite").by_number(0)
    (tmp_path / "text.sqlite").write_text("not a database, but long enough to be parsed as one" * 20)
    with pytest.raises(StorageError, match=r"text\.sqlite: cannot be read: file is not a database"):
        PredictionStore(tmp_path / "text.sqlite").count(Selection())


@pytest.mark.slow
def test_page_over_many_predictions_is_fast(tmp_path: Path) -> None:
    """A page over 1,000,000 predictions has 300 ms: `benchmarks/evidence_pages.py`."""
    images = 50_000
    stored = PredictionTable.write(tmp_path / "now.sqlite", many(images, 1))
    PredictionTable.write(tmp_path / "before.sqlite", many(images, 2))
    start = time.process_time()
    store = PredictionStore(stored.path, before=tmp_path / "before.sqlite")
    for direction in SELECTION_DIRECTIONS:
        selection = Selection(filters={"format": "png", "size": "65536 to 262144"}, direction=direction)
        count = store.count(selection)
        assert 0 < count < images
        assert store.measured(selection) == images
        assert len(store.page(selection, limit=60, offset=count - 10)) == 10
        assert sum(found for _, found in store.facets(selection)["class"]) == count
    # Four pages over a twentieth of the images, with a margin for slow machines.
    assert time.process_time() - start < 0.4


def many(images: int, seed: int) -> Iterator[Prediction]:
    facts = FileFacts(1, 256, 256, payload_bytes=100)
    for number, probability in enumerate(np.random.default_rng(seed).random(images).tolist()):
        kind: FileClass = "stego" if number % 2 else "clean"
        one = make_prediction(f"{number:06}.png", kind, probability, method="lsb" if number % 2 else None)
        yield replace(one, facts=facts)
