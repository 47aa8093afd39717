"""Compact columns of predictions: codes and numbers in arrays, so that no Python object per image is kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.detector.contract import METHODS, ImageFormat
from starlight_exporter.errors import NOT_MEASURED_REASONS

MISSING: Final = -1
"""Code of a value that is None; a missing float is NaN."""


@dataclass(frozen=True, slots=True)
class ArrayColumn:
    """A field of Prediction or FileFacts as an array: `typecode` as in the module `array`.

    A text is stored as its position in `choices`, or among the texts in order of first occurrence if these are None.
    """

    field: str
    typecode: str
    is_text: bool = False
    choices: tuple[str, ...] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the array: little-endian, because arrays are stored."""
        return np.dtype(self.typecode).newbyteorder("<")


ARRAY_COLUMNS: Final = {
    column.field: column
    for column in (
        ArrayColumn("file_class", "b", is_text=True, choices=FILE_CLASSES),
        ArrayColumn("method", "b", is_text=True, choices=METHODS),
        ArrayColumn("category", "i", is_text=True),
        ArrayColumn("image_format", "b", is_text=True, choices=get_args(ImageFormat)),
        ArrayColumn("probability", "d"),
        ArrayColumn("predicted_method", "b", is_text=True, choices=METHODS),
        ArrayColumn("verdict", "b"),
        ArrayColumn("not_measured", "b", is_text=True, choices=NOT_MEASURED_REASONS),
        ArrayColumn("width", "i"),
        ArrayColumn("height", "i"),
        ArrayColumn("bit_order", "i", is_text=True),
        ArrayColumn("payload_bytes", "q"),
        ArrayColumn("source", "i", is_text=True),
        ArrayColumn("reaches_crop", "b"),
    )
}
"""57 bytes per image in total."""


class ArrayBuilder:
    """Collects the values of one column."""

    def __init__(self, column: ArrayColumn) -> None:
        self._column = column
        self._values = array(column.typecode)
        self._codes: dict[Any, int] = {None: MISSING}
        for name in column.choices or ():
            self._codes[name] = len(self._codes) - 1

    def extend(self, values: Iterable[Any]) -> None:
        """Append values of the field. Raise ValueError for a text that is none of the choices."""
        column, codes = self._column, self._codes
        if column.is_text and column.choices is None:
            self._values.extend([codes.setdefault(value, len(codes) - 1) for value in values])
        elif column.is_text:
            try:
                self._values.extend([codes[value] for value in values])
            except KeyError as error:
                raise ValueError(f"{column.field}: {error} is none of {', '.join(column.choices or ())}") from error
        else:
            missing: Any = np.nan if column.typecode == "d" else MISSING
            self._values.extend([missing if value is None else value for value in values])

    @property
    def names(self) -> tuple[str, ...]:
        """The texts by code; empty for numbers."""
        return tuple(self._codes)[1:]

    def values(self) -> NDArray[Any]:
        """Return the array, of shape (images,). Nothing can be appended while it exists."""
        return np.frombuffer(self._values, np.dtype(self._column.typecode)).astype(self._column.dtype, copy=False)


def with_choices(codes: NDArray[Any], names: Sequence[str], column: ArrayColumn) -> NDArray[Any]:
    """Return stored codes of the texts `names` as codes of the column's choices, which another version may extend."""
    if column.choices is None or tuple(names) == column.choices:
        return codes
    known = {name: code for code, name in enumerate(column.choices)}
    # The last entry is that of the code -1.
    table = np.array([*(known.get(name, MISSING) for name in names), MISSING], column.dtype)
    known_codes: NDArray[Any] = table[codes]
    return known_codes
