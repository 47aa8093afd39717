"""Measure the balance of a dataset and find duplicate files."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Final

from starlight_exporter.dataset.dataset import FILE_CLASSES, Dataset, DatasetQuality, LabelledFile, SliceCount
from starlight_exporter.detector.contract import FORMATS, METHODS, Method

MAX_GROUPS: Final = 100
MAX_GROUP_PATHS: Final = 20
"""Paths of duplicates are in every stored evaluation, and a folder may contain one image a million times."""
_FORMAT_ORDER = (*FORMATS, "other", None)
_METHOD_ORDER = (*METHODS, None)


def measure(dataset: Dataset) -> DatasetQuality:
    """Return counts, method shares, Shannon entropy and exact duplicates, including files with a problem.

    Duplicates are files with the same SHA-256, except files that are not images (empty, unreadable).
    """
    counts = Counter((file.file_class, file.method, file.image_format) for file in dataset.files)
    shares = _method_shares(dataset.files)
    groups = _duplicate_groups(dataset.files)
    return DatasetQuality(
        counts=tuple(
            SliceCount(file_class, method, image_format, counts[file_class, method, image_format])
            for file_class in FILE_CLASSES
            for method in _METHOD_ORDER
            for image_format in _FORMAT_ORDER
            if counts[file_class, method, image_format]
        ),
        method_shares=shares,
        entropy_bits=entropy_bits(tuple(shares.values())) if shares else None,
        entropy_max_bits=math.log2(len(METHODS)),
        duplicate_images=sum(len(group) - 1 for group in groups),
        duplicate_groups=_paths(groups),
        clean_equals_stego=_paths(
            [group for group in groups if {"clean", "stego"} <= {file.file_class for file in group}]
        ),
        ignored_files=dataset.ignored_files,
    )


def entropy_bits(shares: tuple[float, ...]) -> float:
    """Return the Shannon entropy −Σ p log2 p in bits, with 0 · log 0 = 0."""
    # `+ 0.0` turns -0.0 into 0.0 for a single method.
    return -math.fsum(share * math.log2(share) for share in shares if share > 0) + 0.0


def _method_shares(files: tuple[LabelledFile, ...]) -> dict[Method, float]:
    counts = Counter(file.method for file in files if file.method is not None)
    total = counts.total()
    return {method: counts[method] / total for method in METHODS} if total else {}


def _paths(groups: list[list[LabelledFile]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(file.path for file in group[:MAX_GROUP_PATHS]) for group in groups[:MAX_GROUPS])


def _duplicate_groups(files: tuple[LabelledFile, ...]) -> list[list[LabelledFile]]:
    by_content: defaultdict[str, list[LabelledFile]] = defaultdict(list)
    for file in files:
        if file.sha256 and file.image_format is not None:
            by_content[file.sha256].append(file)
    return [group for group in by_content.values() if len(group) > 1]
