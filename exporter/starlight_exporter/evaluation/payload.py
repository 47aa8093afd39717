"""Detection by embedding rate, and detection and false positives by properties of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.embedding import RATE_UNITS
from starlight_exporter.dataset.sidecar import BIT_ORDERS
from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.evaluation.payload_results import (
    DETECTION_LEVELS,
    MAX_SOURCES,
    OTHER_SOURCES,
    RATE_BINS,
    SIZE_BINS,
    SLICE_PROPERTIES,
    MethodPayload,
    PayloadResult,
    PropertySlice,
    RateBin,
    SliceProperty,
)
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.isotonic import CurvePoint, fit_isotonic
from starlight_exporter.statistics.roc import cover_numbers

_BOOLEANS: Final = ("false", "true")


def by_payload(predictions: Sequence[Prediction]) -> PayloadResult:
    """Compute detection by embedding rate and the slices, over measured clean and stego images."""
    images = _Images(PredictionTable.of(predictions))
    rates = {method: _by_rate(images, method) for method in METHODS}
    measured = {method: result for method, result in rates.items() if result.images}
    slices = {name: _slices(images, name) for name in SLICE_PROPERTIES}
    reason = None
    if not measured:
        reason = "no stego image states its payload size" if images.stego.any() else "no stego image was measured"
    return PayloadResult(measured, reason, {name: found for name, found in slices.items() if found})


def embedding_rates(table: PredictionTable, method: Method) -> NDArray[np.float64]:
    """Return the embedding rate of every image of a method in its unit, NaN if it is unknown, of shape (images,).

    8 · payload bytes / pixels for methods that change pixels, the payload bytes for the others. Methods in an alpha
    plane or a palette have at most 1 bit per pixel, `lsb` has three. Source: relative payload, as in Ker et al., Moving
    Steganography and Steganalysis from the Laboratory into the Real World, IH&MMSec 2013.
    """
    payload: NDArray[np.int64] = table.column("payload_bytes")
    known = table.equals("method", method) & (payload != MISSING)
    if RATE_UNITS[method] == "bytes":
        return np.where(known, payload, np.nan)
    pixels, rates = _pixel_counts(table), np.full(len(table), np.nan)
    np.divide(8.0 * payload, pixels, out=rates, where=known & (pixels > 0))
    return rates


def slice_codes(table: PredictionTable, name: SliceProperty) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the code of the slice of every image, MISSING if it is unknown, and the names of the slices by code."""
    match name:
        case "size":
            pixels = _pixel_counts(table)
            return np.where(pixels == MISSING, MISSING, SIZE_BINS.index(pixels)), SIZE_BINS.names
        case "reaches_crop":
            return table.column("reaches_crop"), _BOOLEANS
        case "bit_order" | "source":
            return table.column(name), table.names(name)
        case "format":
            return table.column("image_format"), table.names("image_format")


def _pixel_counts(table: PredictionTable) -> NDArray[np.int64]:
    width, height = (table.column(name).astype(np.int64) for name in ("width", "height"))
    return np.where((width == MISSING) | (height == MISSING), MISSING, width * height)


class _Images:
    """The measured clean and stego images as arrays of shape (images,): stego or clean, verdict, cover."""

    def __init__(self, table: PredictionTable) -> None:
        self.table = table
        self.chosen = np.flatnonzero(table.measured & ~table.equals("file_class", "negative"))
        self.stego = table.equals("file_class", "stego")[self.chosen]
        self.positive = table.positive[self.chosen]
        self.cover = cover_numbers(table.column("cover")[self.chosen])

    def rate(self, chosen: NDArray[np.bool_]) -> Proportion | None:
        """Return the positive verdicts among the chosen images, None if there is none."""
        if not chosen.any():
            return None
        return clustered_proportion(ClusterCounts.by_cover(self.cover[chosen], self.positive[chosen]))


def _by_rate(images: _Images, method: Method) -> MethodPayload:
    unit, bins = RATE_UNITS[method], RATE_BINS[RATE_UNITS[method]]
    of_method = images.table.equals("method", method)[images.chosen]
    rates = embedding_rates(images.table, method)[images.chosen]
    known = ~np.isnan(rates)
    numbers = np.where(known, bins.index(rates), -1)
    by_bin = []
    for number, name in enumerate(bins.names):
        chosen = numbers == number
        detections = images.rate(chosen)
        if detections is not None:
            by_bin.append(RateBin(name, float(rates[chosen].mean()), detections))
    positive = known & (rates > 0)
    fit = None
    if positive.any():
        fit = fit_isotonic(rates[positive], images.positive[positive], images.cover[positive], DETECTION_LEVELS)
    return MethodPayload(
        unit=unit,
        images=int(np.count_nonzero(known)),
        unknown=int(np.count_nonzero(of_method & ~known)),
        bins=tuple(by_bin),
        curve=() if fit is None else tuple(_rounded(point) for point in fit.points),
        thresholds=() if fit is None else fit.at_levels,
    )


def _rounded(point: CurvePoint) -> CurvePoint:
    """Return a point that takes half the space in a stored evaluation."""
    lower, upper = (None if bound is None else _four_digits(bound) for bound in (point.lower, point.upper))
    return CurvePoint(_four_digits(point.dose), _four_digits(point.rate), lower, upper)


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def _slices(images: _Images, name: SliceProperty) -> tuple[PropertySlice, ...]:
    every, names = slice_codes(images.table, name)
    codes = every[images.chosen]
    counts = np.bincount(codes[codes != MISSING], minlength=len(names)).tolist()
    order = _order({value: count for value, count in zip(names, counts, strict=True) if count}, name)
    numbers = {value: number for number, value in enumerate(order)}
    # Values without a slice of their own are in the last one, which is that of the other sources.
    index = np.array([*(numbers.get(value, len(order) - 1) for value in names), MISSING], np.int64)[codes]
    found = []
    for number, value in enumerate(order):
        chosen = index == number
        detections = images.rate(chosen & images.stego)
        false_positives = None if name == "format" else images.rate(chosen & ~images.stego)
        if detections is not None or false_positives is not None:
            found.append(PropertySlice(value, detections, false_positives))
    return tuple(found)


def _order(counts: Mapping[str, int], name: SliceProperty) -> tuple[str, ...]:
    """Return the names of all slices of a property, in the order in which they are shown."""
    match name:
        case "size":
            return SIZE_BINS.names
        case "reaches_crop":
            return _BOOLEANS
        case "bit_order":
            return BIT_ORDERS
        case "format":
            return get_args(ImageFormat)
        case "source":
            named = sorted(counts, key=lambda value: (-counts[value], value))[:MAX_SOURCES]
            if len(counts) <= MAX_SOURCES:
                return tuple(sorted(named))
            return (*sorted(value for value in named if value != OTHER_SOURCES), OTHER_SOURCES)
