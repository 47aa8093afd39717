"""Measure the balance of a dataset and find duplicate files, from the predictions of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import FILE_CLASSES, DatasetQuality, SliceCount
from starlight_exporter.detector.contract import FORMATS, METHODS, Method
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction

MAX_GROUPS: Final = 100
MAX_GROUP_PATHS: Final = 20
"""Paths of duplicates are in every stored evaluation, and a folder may contain one image a million times."""
_FORMAT_ORDER = (*FORMATS, "other", None)
_METHOD_ORDER = (*METHODS, None)


def measure_quality(predictions: Sequence[Prediction], *, ignored_files: int | None) -> DatasetQuality:
    """Return counts, method shares, Shannon entropy and exact duplicates, including files with a problem.

    Duplicates are files with the same SHA-256, except files that are not images (empty, unreadable).
    """
    table = PredictionTable.of(predictions)
    shares = _method_shares(table)
    duplicates = _Duplicates(table)
    return DatasetQuality(
        counts=tuple(_counts(table)),
        method_shares=shares,
        entropy_bits=entropy_bits(tuple(shares.values())) if shares else None,
        entropy_max_bits=math.log2(len(METHODS)),
        duplicate_images=duplicates.extra_files,
        duplicate_groups=duplicates.paths(duplicates.contents),
        clean_equals_stego=duplicates.paths(duplicates.of_both("clean", "stego")),
        ignored_files=ignored_files,
    )


def entropy_bits(shares: tuple[float, ...]) -> float:
    """Return the Shannon entropy −Σ p log2 p in bits, with 0 · log 0 = 0."""
    # `+ 0.0` turns -0.0 into 0.0 for a single method.
    return -math.fsum(share * math.log2(share) for share in shares if share > 0) + 0.0


def _counts(table: PredictionTable) -> Iterator[SliceCount]:
    methods, formats = table.column("method"), table.column("image_format")
    for file_class in FILE_CLASSES:
        of_class = table.equals("file_class", file_class)
        for method in _METHOD_ORDER:
            of_method = np.bincount(formats[of_class & (methods == _code(table, "method", method))] + 1)
            for image_format in _FORMAT_ORDER:
                place = _code(table, "image_format", image_format) + 1
                if place < len(of_method) and of_method[place]:
                    yield SliceCount(file_class, method, image_format, int(of_method[place]))


def _code(table: PredictionTable, field: str, name: str | None) -> int:
    return MISSING if name is None else table.names(field).index(name)


def _method_shares(table: PredictionTable) -> dict[Method, float]:
    codes = table.column("method")
    counts = np.bincount(codes[codes != MISSING], minlength=len(METHODS)).tolist()
    total = sum(counts)
    return {method: count / total for method, count in zip(METHODS, counts, strict=True)} if total else {}


class _Duplicates:
    """Images that have the same content as another one.

    `contents` are the codes of these contents in order of first occurrence, `extra_files` the images beyond the first
    of each.
    """

    def __init__(self, table: PredictionTable) -> None:
        self._table = table
        content = table.column("content")
        images = np.flatnonzero((content != MISSING) & (table.column("image_format") != MISSING))
        counts = np.bincount(content[images])
        self._numbers = images[counts[content[images]] > 1]
        self._codes = content[self._numbers]
        found, first = np.unique(self._codes, return_index=True)
        self.contents: NDArray[np.int32] = found[np.argsort(first)]
        self.extra_files = len(self._codes) - len(found)

    def of_both(self, one: str, other: str) -> NDArray[np.int32]:
        """Return the contents of which files are in both of these classes."""
        of_classes = [self._codes[self._table.equals("file_class", name)[self._numbers]] for name in (one, other)]
        return self.contents[np.isin(self.contents, np.intersect1d(*of_classes))]

    def paths(self, contents: NDArray[np.int32]) -> tuple[tuple[str, ...], ...]:
        """Return the first MAX_GROUP_PATHS paths of each of the first MAX_GROUPS contents."""
        groups = (self._numbers[self._codes == code][:MAX_GROUP_PATHS] for code in contents[:MAX_GROUPS])
        return tuple(tuple(one.path for one in self._table.rows(group)) for group in groups)
