"""Predictions as a CSV file, one row per image.

Numbers are written with all digits. An empty cell means not measured or not applicable. Texts that look like formulas
are escaped (see `csv_text`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlight_exporter.evaluation.prediction_columns import COLUMNS, NAMES
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.publish.csv_text import csv_parts


def predictions_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield the text of the file in parts: a header and one row per prediction, with LF line ends."""
    return csv_parts(NAMES, ([column.cell(prediction) for column in COLUMNS] for prediction in predictions))
