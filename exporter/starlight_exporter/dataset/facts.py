"""Facts of files that could be shortcuts: properties that are almost independent of the pixels.

A detector can score high because of how a dataset was made, for example if all stego GIFs have a greyscale palette, or
no clean file has EXIF. The facts are collected when images are decoded for an evaluation, 152 bytes per image: of all
images, or of a random sample of a large dataset.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import FileClass, LabelledFile
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import Method

Fact = Literal[
    "has_alpha",
    "alpha_deviation",
    "is_palette",
    "is_rgb",
    "width",
    "height",
    "lsb_distinct",
    "lsb_printable",
    "lsb_most_frequent_byte",
    "alpha_distinct",
    "alpha_printable",
    "alpha_most_frequent_byte",
    "file_bytes",
    "bytes_per_pixel",
    "exif_bytes",
    "tail_bytes",
    "meta_bytes",
    "palette_bytes",
    "grey_palette",
]
FACTS: Final[tuple[Fact, ...]] = get_args(Fact)
"""The twelve values of the streams `format` and `content` in their order, then facts of the file."""

_Label = tuple[FileClass, Method | None]


@dataclass(frozen=True, slots=True, eq=False)
class FactTable:
    """One row per decoded file; `values` is (files, len(FACTS)).

    `carriers` are format and mode: files of the same carrier can hide data by the same methods. `numbers` are those of
    the files in the listing, ascending; empty if the caller does not need them.
    """

    labels: tuple[_Label, ...]
    carriers: tuple[str, ...]
    values: NDArray[np.float64]
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


class FactCollector:
    """Collects the facts of decoded images, in the order of their numbers."""

    def __init__(self) -> None:
        self._labels: list[_Label] = []
        self._known: dict[_Label, _Label] = {}
        self._carriers: list[str] = []
        self._numbers = array("q")
        self._values: list[NDArray[np.float64]] = []

    def add(
        self,
        numbers: Sequence[int],
        labels: Sequence[_Label],
        carriers: Sequence[str],
        values: NDArray[np.float64],
    ) -> None:
        """Add the facts of images, of shape (images, len(FACTS))."""
        self._numbers.extend(numbers)
        # Equal texts and labels are stored once.
        self._labels += [self._known.setdefault(label, label) for label in labels]
        self._carriers += [sys.intern(carrier) for carrier in carriers]
        self._values.append(values.reshape(-1, len(FACTS)))

    def table(self) -> FactTable:
        """Return all facts so far."""
        values = np.concatenate([np.zeros((0, len(FACTS))), *self._values])
        return FactTable(tuple(self._labels), tuple(self._carriers), values, np.array(self._numbers, np.int64))


def facts(file: LabelledFile, image: CompactImage) -> NDArray[np.float64]:
    """Return the facts of one file, of shape (len(FACTS),)."""
    palette = np.frombuffer(image.palette[: len(image.palette) // 3 * 3], np.uint8).reshape(-1, 3)
    of_file = (
        file.size_bytes,
        file.size_bytes / (image.width * image.height),
        image.exif_bytes,
        image.tail_bytes,
        image.exif_bytes + image.tail_bytes,
        len(image.palette),
        bool(palette.size) and bool((palette == palette[:, :1]).all()),
    )
    return np.concatenate([image.features, np.array(of_file, np.float64)], dtype=np.float64)
