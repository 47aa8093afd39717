"""Scores of images as a table for a terminal, as CSV and as JSON, written while they are computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final, Literal, get_args

from starlight_exporter.dataset.names import one_line
from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.evaluation.image_scores import ImageScore, Scoring
from starlight_exporter.evaluation.prediction_columns import Cell
from starlight_exporter.formatting import NOT_APPLICABLE, NOT_MEASURED, decimal, percent
from starlight_exporter.publish.csv_text import csv_lines

ScoreFormat = Literal["table", "csv", "json"]
SCORE_FORMATS: Final[tuple[ScoreFormat, ...]] = get_args(ScoreFormat)

_HEADINGS: Final = ("verdict", "probability", "method", *STREAMS)
_WIDTHS: Final = tuple(max(len(heading), 7) for heading in _HEADINGS)
_LINES: Final = 64
"""Rows of a CSV file that are formatted together."""


def score_text(scoring: Scoring, output: ScoreFormat) -> Iterator[str]:
    """Yield the text of all scores in parts."""
    return _WRITERS[output](scoring)


def _verdict(score: ImageScore) -> str:
    return NOT_MEASURED if score.verdict is None else "stego" if score.verdict else "clean"


def _table(scoring: Scoring) -> Iterator[str]:
    widths = (len(NOT_MEASURED), *_WIDTHS[1:])
    yield _line(widths, _HEADINGS, "image")
    for score in scoring.scores:
        probability = NOT_APPLICABLE if score.probability is None else decimal(score.probability)
        streams = (percent(score.nonzero[stream]) if score.nonzero else NOT_APPLICABLE for stream in STREAMS)
        reason = f" ({score.not_measured}: {one_line(score.detail)})" if score.not_measured else ""
        cells = (_verdict(score), probability, score.predicted_method or NOT_APPLICABLE, *streams)
        yield _line(widths, cells, one_line(score.path) + reason)


def _line(widths: tuple[int, ...], cells: tuple[str, ...], last: str) -> str:
    # Verdict and method are texts, all other cells numbers.
    texts = (
        cell.ljust(width) if at in (0, 2) else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((*texts, last)) + "\n"


_COLUMNS: Final[Mapping[str, Callable[[ImageScore], Cell]]] = {
    "path": lambda score: score.path,
    "verdict": lambda score: None if score.verdict is None else _verdict(score),
    "probability": lambda score: score.probability,
    "predicted_method": lambda score: score.predicted_method,
    "not_measured": lambda score: score.not_measured,
    "detail": lambda score: score.detail,
    "format": lambda score: score.image_format,
    "width": lambda score: score.width,
    "height": lambda score: score.height,
    "sha256": lambda score: score.sha256,
}
"""Columns of the CSV file and keys of the JSON objects, with the names of `predictions.csv`."""


def _csv(scoring: Scoring) -> Iterator[str]:
    yield csv_lines([[*_COLUMNS, *(f"nonzero_{stream}" for stream in STREAMS)]])
    rows = (
        [*(cell(score) for cell in _COLUMNS.values()), *map(score.nonzero.get, STREAMS)] for score in scoring.scores
    )
    while part := list(islice(rows, _LINES)):
        yield csv_lines(part)


def _json(scoring: Scoring) -> Iterator[str]:
    facts = {
        "model": str(scoring.model),
        "model_sha256": scoring.model_sha256,
        "decision": scoring.decision,
        "replaced_decision": scoring.replaced_decision,
        "streams": scoring.streams,
    }
    head = json.dumps(facts, ensure_ascii=False, indent=1).removesuffix("\n}")
    yield f'{head},\n "images": ['
    for number, score in enumerate(scoring.scores):
        content = {name: cell(score) for name, cell in _COLUMNS.items()}
        content["nonzero"] = dict(score.nonzero) or None  # type: ignore[assignment]
        yield f"{',' if number else ''}\n  {json.dumps(content, ensure_ascii=False)}"
    yield "\n ]\n}\n"


_WRITERS: Final[Mapping[ScoreFormat, Callable[[Scoring], Iterator[str]]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
}
