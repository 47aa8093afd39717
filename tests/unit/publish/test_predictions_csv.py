"""CSV files of predictions are read by a standard reader with every value, for every path."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.evaluation.prediction_columns import COLUMNS, NAMES
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.publish.csv_text import csv_text
from starlight_exporter.publish.predictions_csv import predictions_csv
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


def read(entries: Sequence[Prediction]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(predictions_csv(entries)), newline=""), strict=True))


def test_standard_csv_reader_reads_every_value() -> None:
    rows = read(ENTRIES)
    assert tuple(rows[0]) == NAMES
    for row, entry in zip(rows, ENTRIES, strict=True):
        for column in COLUMNS:
            cell = column.cell(entry)
            if column.type is float and cell is not None:
                assert float(row[column.name]) == cell
            else:
                assert row[column.name] == ("" if cell is None else str(cell))
    assert [row["label"] for row in rows] == ["clean", "clean", "stego", "negative", "clean", "stego"]
    assert [row["verdict"] for row in rows] == ["clean", "clean", "stego", "clean", "", "stego"]
    assert rows[4]["not_measured"] == "too_large"
    assert rows[4]["probability"] == ""
    assert read(()) == []


@given(st.floats(0, 1), st.floats(0, 1e6), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@settings(max_examples=100, deadline=None)
@pytest.mark.slow
def test_numbers_and_names_read_back_equal(probability: float, seconds: float, name: str) -> None:
    (row,) = read([replace(make_prediction(name, probability=probability), seconds=seconds)])
    assert (float(row["probability"]), float(row["seconds"])) == (probability, seconds)
    assert row["path"].removeprefix("'") == name.removeprefix("'")


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'quoted", "=cmd|' /C calc'!A0")


@pytest.mark.parametrize("text", FORMULAS)
def test_texts_that_look_like_formulas_are_escaped(text: str) -> None:
    facts = FileFacts(1, 2, 3, "RGB", 0, 0, None, None, cover=text)
    (row,) = read([replace(make_prediction(text, "negative", 0.5, category=text), facts=facts, detail=text)])
    for name in ("path", "category", "detail", "cover"):
        assert row[name] == f"'{text}"


def test_numbers_are_not_escaped() -> None:
    assert csv_text(("a", "b"), [(-1, -0.5), (None, "x-1")]) == "a,b\n-1,-0.5\n,x-1\n"
    assert csv_text(("a",), [("=1",)], line_end="\r\n") == "a\r\n'=1\r\n"
