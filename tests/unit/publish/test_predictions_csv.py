"""CSV files of predictions read back equal, for every path."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_columns import NAMES
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.publish.csv_text import csv_text
from starlight_exporter.publish.predictions_csv import predictions_csv, read_predictions
from support.results import make_prediction

ENTRIES = (
    make_prediction("clean/a,b.png", probability=0.1 + 0.2),
    make_prediction('clean/quoted "name".png', probability=1e-300, image_format=None),
    make_prediction("stego/lsb/hidden_lsb_0001.bmp", "stego", 1.0, method="lsb", image_format="bmp", predicted=None),
    make_prediction("negatives/patterns/ü.png", "negative", 0.5, category="patterns", predicted="eoi"),
    make_prediction("clean/broken\nname.jpg", probability=None, reason="too_large"),
    replace(
        make_prediction("stego/eoi/hidden_eoi_0002.png", "stego", 0.9, method="eoi"),
        facts=FileFacts(123_456, 640, 480, "RGBA", 0, 99, "msb-first", 17),
    ),
)


def write(path: Path, entries: tuple[Prediction, ...]) -> None:
    path.write_text("".join(predictions_csv(entries)), encoding="utf-8", newline="")


def test_predictions_read_back_equal(tmp_path: Path) -> None:
    write(tmp_path / "predictions.csv", ENTRIES)
    assert read_predictions(tmp_path / "predictions.csv") == ENTRIES
    write(tmp_path / "empty.csv", ())
    assert read_predictions(tmp_path / "empty.csv") == ()


@given(st.floats(0, 1), st.floats(0, 1e6), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@settings(max_examples=100, deadline=None)
@pytest.mark.slow
def test_numbers_and_names_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, probability: float, seconds: float, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "hypothesis.csv"
    entry = replace(make_prediction(name, probability=probability), seconds=seconds)
    write(path, (entry,))
    assert read_predictions(path) == (entry,)


def test_standard_csv_reader_reads_the_file() -> None:
    rows = list(csv.DictReader("".join(predictions_csv(ENTRIES)).splitlines(keepends=True)))
    assert tuple(rows[0]) == NAMES
    assert [row["label"] for row in rows] == ["clean", "clean", "stego", "negative", "clean", "stego"]
    assert [row["verdict"] for row in rows] == ["clean", "clean", "stego", "clean", "", "stego"]
    assert rows[4]["not_measured"] == "too_large"
    assert rows[4]["probability"] == ""


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("label", "dirty", "2: label: expected one of clean, stego, negative, unlabelled; got 'dirty'"),
        ("label", "", "2: label is empty"),
        ("method", "lsb.rgb", "2: method: "),
        ("format", "tiff", "2: format: "),
        ("verdict", "True", "2: verdict: "),
        ("not_measured", "lost", "2: not_measured: "),
        ("probability", "half", "2: probability: expected a number; got 'half'"),
        ("probability", "nan", "2: probability: expected a number; got 'nan'"),
        ("seconds", "inf", "2: seconds: "),
        ("size_bytes", "-1", "2: size_bytes: expected a non-negative integer; got '-1'"),
    ],
)
def test_error_names_damaged_row(tmp_path: Path, column: str, cell: str, message: str) -> None:
    header, row = csv.reader("".join(predictions_csv(ENTRIES[:1])).splitlines())
    row[header.index(column)] = cell
    path = tmp_path / "predictions.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, row])
    with pytest.raises(StorageError) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"{path}:{message}")


def test_error_names_file_without_predictions(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    with pytest.raises(StorageError, match="cannot be read"):
        read_predictions(path)
    for content, message in (
        (b"", "not a table of predictions"),
        (b"a,b\n1,2\n", "not a table of predictions"),
        (b"\xff\xfe", "damaged"),
        ("".join(predictions_csv(())).encode() + b"clean/a.png,clean\n", ":2: 2 columns"),
        ("".join(predictions_csv(())).encode() + b'"torn', "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(StorageError, match=message):
            read_predictions(path)


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'quoted", "=cmd|' /C calc'!A0")


@pytest.mark.parametrize("text", FORMULAS)
def test_texts_that_look_like_formulas_are_escaped_and_read_back_equal(tmp_path: Path, text: str) -> None:
    facts = FileFacts(1, 2, 3, "RGB", 0, 0, None, None, cover=text)
    entry = replace(make_prediction(text, "negative", 0.5, category=text), facts=facts, detail=text)
    write(tmp_path / "predictions.csv", (entry,))
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    for name in ("path", "category", "detail", "cover"):
        assert row[name] == f"'{text}"
    assert read_predictions(tmp_path / "predictions.csv") == (entry,)


def test_numbers_are_not_escaped() -> None:
    assert csv_text(("a", "b"), [(-1, -0.5), (None, "x-1")]) == "a,b\n-1,-0.5\n,x-1\n"
    assert csv_text(("a",), [("=1",)], line_end="\r\n") == "a\r\n'=1\r\n"
