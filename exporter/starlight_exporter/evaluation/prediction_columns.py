"""The columns of a prediction: one definition for CSV files, the SQLite store and the tables of pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from starlight_exporter.evaluation.results import FileFacts, Prediction

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class PredictionColumn:
    """A column: `name` in CSV files and tables, `field` of Prediction or (`of_file`) FileFacts, and column in SQLite.

    `type` bytes is a hexadecimal digest. `texts` are those of False and True.
    """

    name: str
    field: str
    type: type[str | int | float | bool | bytes] = str
    texts: tuple[str, str] | None = None
    required: bool = False
    of_file: bool = False

    def value(self, prediction: Prediction) -> Any:
        """Return the value of the field."""
        return _VALUES[self.name](prediction)

    def cell(self, prediction: Prediction) -> Cell:
        """Return the value for a table: a text for False and True, None for a missing value."""
        value: Cell = self.value(prediction)
        return value if value is None or self.texts is None else self.texts[bool(value)]


COLUMNS: Final[tuple[PredictionColumn, ...]] = (
    PredictionColumn("path", "path", required=True),
    PredictionColumn("label", "file_class", required=True),
    PredictionColumn("method", "method"),
    PredictionColumn("category", "category"),
    PredictionColumn("format", "image_format"),
    PredictionColumn("probability", "probability", float),
    PredictionColumn("predicted_method", "predicted_method"),
    PredictionColumn("verdict", "verdict", bool, texts=("clean", "stego")),
    PredictionColumn("not_measured", "not_measured"),
    PredictionColumn("detail", "detail", required=True),
    PredictionColumn("seconds", "seconds", float),
    PredictionColumn("sha256", "sha256", bytes, required=True),
    PredictionColumn("size_bytes", "size_bytes", int, of_file=True),
    PredictionColumn("width", "width", int, of_file=True),
    PredictionColumn("height", "height", int, of_file=True),
    PredictionColumn("mode", "mode", of_file=True),
    PredictionColumn("exif_bytes", "exif_bytes", int, of_file=True),
    PredictionColumn("tail_bytes", "tail_bytes", int, of_file=True),
    PredictionColumn("bit_order", "bit_order", of_file=True),
    PredictionColumn("payload_bytes", "payload_bytes", int, of_file=True),
    PredictionColumn("cover", "cover", of_file=True),
    PredictionColumn("source", "source", of_file=True),
    PredictionColumn("reaches_crop", "reaches_crop", bool, texts=("false", "true"), of_file=True),
)
"""In the order of CSV files."""

NAMES: Final = tuple(column.name for column in COLUMNS)

_VALUES: Final = {
    column.name: attrgetter(f"facts.{column.field}" if column.of_file else column.field) for column in COLUMNS
}


def prediction_from(values: Mapping[str, Any]) -> Prediction:
    """Return the prediction with these values by column name."""
    facts = FileFacts(**{column.field: values[column.name] for column in COLUMNS if column.of_file})
    return Prediction(**{column.field: values[column.name] for column in COLUMNS if not column.of_file}, facts=facts)
