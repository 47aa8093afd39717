"""The columns of a prediction: one definition for CSV files, the SQLite store and the tables of pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, get_args

from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.detector.contract import METHODS, ImageFormat
from starlight_exporter.errors import NOT_MEASURED_REASONS
from starlight_exporter.evaluation.results import FileFacts, Prediction

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class PredictionColumn:
    """A column: `name` in CSV files and tables, `field` of Prediction or (`of_file`) FileFacts, and column in SQLite.

    `type` bytes is a hexadecimal digest. `choices` are the only values that a text can have, or the texts of False and
    True.
    """

    name: str
    field: str
    type: type[str | int | float | bool | bytes] = str
    choices: tuple[str, ...] = ()
    required: bool = False
    of_file: bool = False

    def value(self, prediction: Prediction) -> Any:
        """Return the value of the field."""
        return _VALUES[self.name](prediction)

    def cell(self, prediction: Prediction) -> Cell:
        """Return the value for a table: a text for False and True, None for a missing value."""
        value: Cell = self.value(prediction)
        if self.type is bool and value is not None:
            return self.choices[bool(value)]
        return value


COLUMNS: Final[tuple[PredictionColumn, ...]] = (
    PredictionColumn("path", "path", required=True),
    PredictionColumn("label", "file_class", choices=FILE_CLASSES, required=True),
    PredictionColumn("method", "method", choices=METHODS),
    PredictionColumn("category", "category"),
    PredictionColumn("format", "image_format", choices=get_args(ImageFormat)),
    PredictionColumn("probability", "probability", float),
    PredictionColumn("predicted_method", "predicted_method", choices=METHODS),
    PredictionColumn("verdict", "verdict", bool, choices=("clean", "stego")),
    PredictionColumn("not_measured", "not_measured", choices=NOT_MEASURED_REASONS),
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
    PredictionColumn("reaches_crop", "reaches_crop", bool, choices=("false", "true"), of_file=True),
)
"""In the order of CSV files."""

OPTIONAL: Final = frozenset(("cover", "source", "reaches_crop"))
"""The last columns, which files of version 0.1.0 do not have."""

NAMES: Final = tuple(column.name for column in COLUMNS)

_VALUES: Final = {
    column.name: attrgetter(f"facts.{column.field}" if column.of_file else column.field) for column in COLUMNS
}


def prediction_from(values: Mapping[str, Any]) -> Prediction:
    """Return the prediction with these values by column name; optional columns may be missing."""
    facts = FileFacts(**{column.field: values.get(column.name) for column in COLUMNS if column.of_file})
    return Prediction(**{column.field: values[column.name] for column in COLUMNS if not column.of_file}, facts=facts)
