"""Write tables as CSV (RFC 4180) that a spreadsheet opens without evaluating a cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from starlight_exporter.evaluation.prediction_columns import Cell

_ESCAPED: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""A spreadsheet evaluates a text that begins with one of these; the apostrophe marks a text."""

_ROWS: Final = 512
"""Rows of a part of `csv_parts`."""


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, line_end: str = "\n") -> str:
    """Return a header and one line per row. None is an empty cell, numbers have all digits.

    A text that looks like a formula is preceded by an apostrophe.
    """
    return csv_lines([columns], line_end=line_end) + csv_lines(rows, line_end=line_end)


def csv_parts(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, line_end: str = "\n") -> Iterator[str]:
    """Yield the text of `csv_text` in parts, so that a table of any length takes little memory."""
    yield csv_lines([columns], line_end=line_end)
    remaining = iter(rows)
    while part := list(islice(remaining, _ROWS)):
        yield csv_lines(part, line_end=line_end)


def csv_lines(rows: Iterable[Sequence[Cell]], *, line_end: str = "\n") -> str:
    """Return one line per row, without a header; see `csv_text`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    # With LF line ends the csv module does not quote a carriage return, and cannot read it back.
    quoting_writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [_text(cell) for cell in row]
        (quoting_writer if any("\r" in cell for cell in cells) else writer).writerow(cells)
    return text.getvalue()


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return f"'{cell}" if cell.startswith(_ESCAPED) else cell
        case float():
            return repr(float(cell))
        case _:
            return str(cell)
