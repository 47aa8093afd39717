"""Facts of files that could be shortcuts: properties that are almost independent of the pixels.

A detector can score high because of how a dataset was made, for example if all stego GIFs have a greyscale palette, or
no clean file has EXIF. The facts are collected when images are decoded for an evaluation, 152 bytes per image: of all
images, or of a random sample of a large dataset.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass
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
    """One row per decoded file, in the order of the files' paths; `values` is (files, len(FACTS)).

    `carriers` are format and mode: files of the same carrier can hide data by the same methods. `paths` has every file,
    or none if the caller does not need them.
    """

    labels: tuple[_Label, ...]
    carriers: tuple[str, ...]
    values: NDArray[np.float64]
    paths: tuple[str, ...] = ()


class FactCollector:
    """Collects the facts of decoded images, optionally of these paths only. Thread-safe."""

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self._only = only
        self._files: list[tuple[str, FileClass, Method | None, str]] = []
        self._values = array("d")
        self._lock = threading.Lock()

    def add(self, file: LabelledFile, image: CompactImage) -> None:
        """Add the facts of one image."""
        if self._only is not None and file.path not in self._only:
            return
        row = facts(file, image)
        with self._lock:
            self._files.append((file.path, file.file_class, file.method, f"{image.image_format} {image.mode}"))
            self._values.frombytes(row.tobytes())

    def table(self) -> FactTable:
        """Return all facts so far, sorted by path."""
        with self._lock:
            files = list(self._files)
            values = np.frombuffer(self._values.tobytes(), np.float64).reshape(len(files), len(FACTS))
        order = sorted(range(len(files)), key=lambda row: files[row][0])
        ordered = [files[row] for row in order]
        labels = tuple((file_class, method) for _, file_class, method, _ in ordered)
        return FactTable(
            labels, tuple(carrier for *_, carrier in ordered), values[order], tuple(path for path, *_ in ordered)
        )


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
