"""The table of predictions: rows and columns as written, pairs of two tables, and memory that the images do not use."""

from __future__ import annotations

import pickle
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.checks.counts import baseline_errors, slice_counts
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.payload import by_payload
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.prediction_writer import PredictionWriter
from starlight_exporter.evaluation.quality import measure_quality
from starlight_exporter.evaluation.results import FileFacts, Prediction
from support.results import make_prediction

IMAGES = 10_000


def predictions(images: int = 12) -> Iterator[Prediction]:
    """Yield clean, stego and negative images; every fifth one is not measured, three share a cover."""
    for number in range(images):
        cover, reaches_crop = f"cover-{number // 3}", number % 2 == 0
        facts = FileFacts(number, 640, 480, "RGB", 0, 7, "msb-first", number, cover, "camera", reaches_crop)
        probability = None if number % 5 == 4 else number / images
        content = f"{number:064x}"
        match number % 3:
            case 0:
                one = make_prediction(f"clean/{number:07}.png", "clean", probability)
            case 1:
                one = make_prediction(f"stego/{number:07}.gif", "stego", probability, method="lsb", image_format="gif")
            case _:
                one = make_prediction(f"negatives/x/{number:07}.png", "negative", probability, category="x")
        yield replace(one, sha256=content, facts=facts)


def test_rows_are_equal_to_what_was_written(tmp_path: Path) -> None:
    written = tuple(predictions(1200))
    writer = PredictionWriter(tmp_path / "table.sqlite")
    for start in range(0, len(written), 256):
        writer.append(written[start : start + 256])
    table = PredictionTable(writer.finish())
    assert len(table) == 1200
    assert tuple(table) == written
    assert table == written
    assert table != written[:-1]
    assert (table[0], table[-1], table[700:703]) == (written[0], written[-1], written[700:703])
    assert list(table.rows([1199, 0, 600])) == [written[1199], written[0], written[600]]
    assert table.numbers(["stego/0000001.gif", "absent"]) == {"stego/0000001.gif": 1}
    assert pickle.loads(pickle.dumps(table)) == written
    with pytest.raises(IndexError):
        table[1200]
    with pytest.raises(IndexError):
        list(table.rows([1200]))


def test_columns_have_a_code_or_number_per_image(tmp_path: Path) -> None:
    written = tuple(predictions())
    table = PredictionTable.write(tmp_path / "table.sqlite", written)
    for field in ("file_class", "method", "category", "image_format", "not_measured", "predicted_method"):
        names = table.names(field)
        codes = table.column(field).tolist()
        assert [None if code == MISSING else names[code] for code in codes] == [getattr(one, field) for one in written]
    assert np.array_equal(
        table.column("probability"), [np.nan if one.probability is None else one.probability for one in written], True
    )
    assert table.column("payload_bytes").tolist() == [one.facts.payload_bytes for one in written]
    assert table.column("cover").tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert table.measured.tolist() == [one.verdict is not None for one in written]
    assert sorted(table.column("order").tolist()) == list(range(12))
    assert not table.column("cover").flags.writeable


def test_files_are_paired_by_path_and_content_in_any_order(tmp_path: Path) -> None:
    now = list(predictions())
    then = [replace(now[3], sha256="f" * 64), *reversed(now[4:]), now[0]]
    table, other = PredictionTable.of(now), PredictionTable.write(tmp_path / "other.sqlite", then)
    assert table.aligned(other).tolist() == [9, *[MISSING] * 3, *range(8, 0, -1)]
    own, theirs = table.same_files(other)
    assert [one.path for one in table.rows(own)] == sorted(one.path for one in [now[0], *now[4:]])
    assert list(other.rows(theirs)) == list(table.rows(own))
    assert table.aligned(PredictionTable.of(now)).tolist() == list(range(12))


def test_unlabelled_cover_of_a_file_is_its_path() -> None:
    one, other = make_prediction("a.png"), replace(make_prediction("b.png"), facts=FileFacts(cover="a.png"))
    assert PredictionTable.of([one, other, make_prediction("c.png")]).column("cover").tolist() == [0, 0, 1]


def test_temporary_file_ends_with_its_table() -> None:
    table = PredictionTable.of(predictions())
    path = table.path
    assert PredictionTable.of(table) is table
    assert path.exists()
    del table
    assert not path.exists()


def test_pickled_temporary_table_has_a_file_of_its_own() -> None:
    table = PredictionTable.of(predictions())
    stored = pickle.dumps(table)
    del table
    assert pickle.loads(stored) == tuple(predictions())


def test_saved_file_outlives_the_first_one(tmp_path: Path) -> None:
    table = PredictionTable.of(predictions())
    table.save(tmp_path / "saved.sqlite")
    del table
    assert PredictionTable(tmp_path / "saved.sqlite") == tuple(predictions())


def test_writer_replaces_an_unfinished_file_and_discards_its_own(tmp_path: Path) -> None:
    path = tmp_path / "table.sqlite"
    PredictionWriter(path).append(predictions())
    writer = PredictionWriter(path)
    writer.append(predictions(3))
    writer.discard()
    assert not path.exists()
    assert len(PredictionTable.write(path, predictions(3))) == 3


def test_unwritable_file_and_unknown_text_are_errors(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"absent/table\.sqlite: cannot be written: unable to open"):
        PredictionWriter(tmp_path / "absent" / "table.sqlite")
    unknown = replace(make_prediction("a.png"), image_format="tiff")  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="image_format: 'tiff' is none of"):
        PredictionTable.write(tmp_path / "table.sqlite", [unknown])
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_an_error_and_leaves_no_file(small_disk: Path) -> None:
    path = small_disk / "table.sqlite"
    with pytest.raises(StorageError, match=r"table\.sqlite: cannot be written: database or disk is full"):
        PredictionTable.write(path, predictions(5000))
    assert not path.exists()


@pytest.mark.parametrize(
    "damage", ["DELETE FROM columns WHERE name = 'verdict'", "UPDATE columns SET data = x'00' WHERE name = 'verdict'"]
)
def test_damaged_column_is_an_error(tmp_path: Path, damage: str) -> None:
    table = PredictionTable.write(tmp_path / "table.sqlite", predictions())
    with sqlite3.connect(table.path) as database:
        database.execute(damage)
    with pytest.raises(StorageError, match=r"table\.sqlite: damaged: column verdict"):
        _ = PredictionTable(table.path).measured


def test_methods_of_another_version_keep_their_names(tmp_path: Path) -> None:
    table = PredictionTable.write(tmp_path / "table.sqlite", predictions())
    with sqlite3.connect(table.path) as database:
        database.execute("""UPDATE columns SET names = '["exif", "eoi", "lsb", "x"]' WHERE name = 'method'""")
    stored = PredictionTable(table.path)
    assert stored.equals("method", "lsb").tolist() == table.equals("method", "lsb").tolist()


def bytes_per_image(work: Callable[[PredictionTable], object], table: PredictionTable) -> float:
    """Return the peak of the memory that is allocated by `work`, per image."""
    work(table)
    fresh = PredictionTable(table.path)
    tracemalloc.start()
    try:
        work(fresh)
        return tracemalloc.get_traced_memory()[1] / len(table)
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_per_image_is_bounded(tmp_path: Path) -> None:
    """A prediction as an object takes 1 KB. At a million images, 100 bytes each are 100 MB."""
    tracemalloc.start()
    table = PredictionTable.write(tmp_path / "table.sqlite", predictions(IMAGES))
    written = tracemalloc.get_traced_memory()[1] / IMAGES
    tracemalloc.stop()
    assert written < 200
    works: dict[str, Callable[[PredictionTable], object]] = {
        "accuracy": accuracy,
        "payload": by_payload,
        "quality": lambda one: measure_quality(one, ignored_files=0),
        "counts": lambda one: slice_counts(one, baseline_errors(one, table)),
        "iteration": lambda one: sum(1 for _ in one),
    }
    found = {name: bytes_per_image(work, table) for name, work in works.items()}
    assert {name: value for name, value in found.items() if value > 150} == {}
