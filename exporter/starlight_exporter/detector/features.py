"""Scalar features of full planes: byte statistics of bit planes, standard deviation of the alpha plane."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from starlight_exporter.detector.arrays import ByteArray

_CHUNK: Final = 1 << 18


def byte_statistics(bits: ByteArray) -> tuple[float, float, float]:
    """Return three statistics, each in 0..1, of a plane of 0s and 1s packed big-endian in C order into n bytes.

    Number of distinct values (of all bytes over n if n <= 256, else of every n//1000-th byte over 256), share of
    printable ASCII, share of the most frequent byte. As in the published Starlight detectors.
    """
    return packed_statistics(np.packbits(bits))


def packed_statistics(packed: ByteArray) -> tuple[float, float, float]:
    """Return `byte_statistics` of bits that are already packed into n bytes."""
    packed = packed.reshape(-1)
    n = packed.size
    histogram = np.bincount(packed, minlength=256)
    distinct: float
    if n <= 256:
        distinct = np.count_nonzero(histogram) / n
    else:
        distinct = min(1.0, np.count_nonzero(np.bincount(packed[:: max(1, n // 1000)])) / 256)
    return distinct, int(histogram[32:127].sum()) / n, int(histogram.max()) / n


def standard_deviation(plane: ByteArray) -> float:
    """Return the population standard deviation of a C-contiguous plane of bytes, bit-exact with numpy's `std`.

    numpy allocates 8 bytes per pixel (128 MB for 4096×4096). This needs 2 MB, because it splits the sum at the same
    positions as numpy's pairwise summation.
    """
    flat = plane.reshape(-1)
    mean = int(flat.sum(dtype=np.uint64)) / flat.size
    return math.sqrt(_squared_deviations(flat, mean) / flat.size)


def _squared_deviations(flat: ByteArray, mean: float) -> float:
    if flat.size <= _CHUNK:
        deviations = np.subtract(flat, mean, dtype=np.float64)
        np.multiply(deviations, deviations, out=deviations)
        return float(np.add.reduce(deviations))
    half = flat.size // 2
    half -= half % 8
    return _squared_deviations(flat[:half], mean) + _squared_deviations(flat[half:], mean)
