"""The floats that the detector derives from whole planes: byte statistics of bit planes, spread of the alpha plane."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CHUNK: Final = 1 << 18


def byte_statistics(bits: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Statistics of a plane of 0s and 1s, any shape, packed big-endian in C order into n bytes.

    Distinct values (over n up to 256 bytes, else among every n//1000-th byte, over 256), share of printable ASCII,
    share of the commonest byte; each 0..1. As in the published Starlight detectors.
    """
    return packed_statistics(np.packbits(bits))


def packed_statistics(packed: NDArray[np.uint8]) -> tuple[float, float, float]:
    """The same of bits that are packed already: an array of n bytes, any shape."""
    packed = packed.reshape(-1)
    n = packed.size
    histogram = np.bincount(packed, minlength=256)
    distinct: float
    if n <= 256:
        distinct = np.count_nonzero(histogram) / n
    else:
        distinct = min(1.0, np.count_nonzero(np.bincount(packed[:: max(1, n // 1000)])) / 256)
    return distinct, int(histogram[32:127].sum()) / n, int(histogram.max()) / n


def standard_deviation(plane: NDArray[np.uint8]) -> float:
    """Population standard deviation of a C-contiguous plane of bytes, equal to numpy's `std` to the bit.

    numpy takes 8 bytes per pixel for it at once (128 MB for 4096×4096); this takes 2 MB by splitting the sum where
    numpy's own pairwise summation splits it.
    """
    flat = plane.reshape(-1)
    mean = int(flat.sum(dtype=np.uint64)) / flat.size
    return math.sqrt(_squared_deviations(flat, mean) / flat.size)


def _squared_deviations(flat: NDArray[np.uint8], mean: float) -> float:
    if flat.size <= _CHUNK:
        deviations = np.subtract(flat, mean, dtype=np.float64)
        np.multiply(deviations, deviations, out=deviations)
        return float(np.add.reduce(deviations))
    half = flat.size // 2
    half -= half % 8
    return _squared_deviations(flat[:half], mean) + _squared_deviations(flat[half:], mean)
