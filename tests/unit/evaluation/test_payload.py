"""Results by payload: bins, curve and thresholds by method, slices by property, and the filters that select them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.embedding import RATE_UNITS
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.evaluation.payload import by_payload, embedding_rates, slice_codes
from starlight_exporter.evaluation.payload_results import MAX_SOURCES, RATE_BINS, SIZE_BINS, PayloadResult
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.evaluation.serialisation import from_json, to_json
from starlight_exporter.publish.prediction_queries import Selection
from starlight_exporter.publish.prediction_store import PredictionStore
from starlight_exporter.statistics.intervals import Proportion
from support.results import empty_evaluation, make_prediction
from support.snapshots import full_evaluation


def stego(number: int, *, detected: bool, method: Method = "lsb", **facts: object) -> Prediction:
    known = FileFacts(width=100, height=80, **facts)  # type: ignore[arg-type]
    return replace(_prediction(number, "stego", detected), method=method, facts=known)


def clean(number: int, *, positive: bool = False, **facts: object) -> Prediction:
    return replace(_prediction(number, "clean", positive), facts=FileFacts(**facts))  # type: ignore[arg-type]


def _prediction(number: int, file_class: FileClass, verdict: bool | None) -> Prediction:
    return Prediction(
        path=f"{file_class}/{number}.png",
        sha256=f"{number:064x}",
        file_class=file_class,
        method=None,
        category=None,
        image_format="png",
        probability=None if verdict is None else float(verdict),
        predicted_method=None,
        verdict=verdict,
        not_measured="unreadable" if verdict is None else None,
        detail="",
        seconds=None,
    )


def slices(result: PayloadResult, name: str) -> dict[str, tuple[str, str]]:
    """Return value -> detections and false positives as text."""

    def text(rate: Proportion | None) -> str:
        return "none" if rate is None else f"{rate.count} of {rate.total}"

    found = result.slices.get(name, ())  # type: ignore[call-overload]
    return {one.name: (text(one.detections), text(one.false_positives)) for one in found}


def test_detection_by_embedding_rate() -> None:
    # 8,000 pixels: 10 and 100 bytes are 0.01 and 0.1 bits per pixel, 15 bytes are in the same bin as 10.
    result = by_payload(
        [
            *(stego(i, detected=False, payload_bytes=10) for i in range(20)),
            *(stego(i, detected=i < 26, payload_bytes=15) for i in range(20, 30)),
            *(stego(i, detected=True, payload_bytes=100) for i in range(30, 60)),
            *(stego(i, detected=True) for i in range(60, 63)),
            *(stego(i, detected=True, method="exif", payload_bytes=10) for i in range(63, 65)),
            replace(_prediction(99, "stego", None), method="lsb", facts=FileFacts(payload_bytes=10)),
        ]
    )
    assert result.not_measured is None
    lsb, exif = result.methods["lsb"], result.methods["exif"]
    assert list(result.methods) == ["lsb", "exif"]
    assert (lsb.unit, lsb.images, lsb.unknown) == ("bits per pixel", 60, 3)
    assert [(one.name, one.detections.count, one.detections.total) for one in lsb.bins] == [
        ("0.01 to 0.02", 6, 30),
        ("0.1 to 0.2", 30, 30),
    ]
    assert lsb.bins[0].mean_rate == pytest.approx((20 * 0.01 + 10 * 0.015) / 30)
    assert [point.dose for point in lsb.curve] == pytest.approx([0.01, 0.015, 0.1])
    assert [point.rate for point in lsb.curve] == [0.0, 0.6, 1.0]
    half, most = lsb.thresholds
    assert half.dose == pytest.approx(np.exp(np.log(0.01) + np.log(1.5) * 0.5 / 0.6))
    assert most.dose == pytest.approx(np.exp(np.log(0.015) + np.log(100 / 15) * 0.35 / 0.4))
    assert (exif.unit, exif.bins[0].name) == ("bytes", "10 to 20")
    assert [at.reason for at in exif.thresholds] == ["always above", "always above"]


def test_empty_payload_is_in_the_lowest_bin_but_not_in_the_curve() -> None:
    result = by_payload([stego(i, detected=False, payload_bytes=0) for i in range(4)]).methods["lsb"]
    assert (result.images, result.bins[0].name, result.bins[0].mean_rate) == (4, "below 0.0001", 0.0)
    assert (result.curve, result.thresholds) == ((), ())


@pytest.mark.parametrize(
    ("predictions", "reason"),
    [
        ([], "no stego image was measured"),
        ([clean(1)], "no stego image was measured"),
        ([replace(stego(1, detected=True), verdict=None)], "no stego image was measured"),
        ([stego(1, detected=True)], "no stego image states its payload size"),
    ],
)
def test_without_payload_sizes_nothing_is_measured(predictions: list[Prediction], reason: str) -> None:
    result = by_payload(predictions)
    assert (result.methods, result.not_measured) == ({}, reason)


def test_slices_by_property() -> None:
    result = by_payload(
        [
            clean(1, width=64, height=64, source="camera"),
            clean(2, width=63, height=64, source="scan", positive=True),
            replace(clean(3, source="scan"), file_class="negative", category="patterns"),
            stego(4, detected=True, bit_order="msb-first", reaches_crop=True, source="camera"),
            stego(5, detected=False, bit_order="msb-first", reaches_crop=False),
            replace(stego(6, detected=True, source="phone"), image_format="webp"),
        ]
    )
    assert list(result.slices) == ["size", "reaches_crop", "bit_order", "source", "format"]
    assert slices(result, "size") == {
        "below 4096": ("none", "1 of 1"),
        "4096 to 16384": ("2 of 3", "0 of 1"),
    }
    assert slices(result, "reaches_crop") == {"false": ("0 of 1", "none"), "true": ("1 of 1", "none")}
    assert slices(result, "bit_order") == {"msb-first": ("1 of 2", "none")}
    assert slices(result, "source") == {
        "camera": ("1 of 1", "0 of 1"),
        "phone": ("1 of 1", "none"),
        "scan": ("none", "1 of 1"),
    }
    assert slices(result, "format") == {"png": ("1 of 2", "none"), "webp": ("1 of 1", "none")}


def test_sources_beyond_the_limit_are_one_slice() -> None:
    sources = [f"source-{number:03d}" for number in range(MAX_SOURCES + 10)]
    result = by_payload([clean(2 * i + j, source=one) for i, one in enumerate(sources) for j in range(1 + (i > 3))])
    found = slices(result, "source")
    assert list(found) == [*sources[4 : 4 + MAX_SOURCES], "other"]
    assert found["other"] == ("none", f"0 of {4 + 2 * 6}")
    exactly = by_payload([clean(i, source=one) for i, one in enumerate(sources[:MAX_SOURCES])])
    assert list(slices(exactly, "source")) == sources[:MAX_SOURCES]


def test_images_of_shared_covers_have_wider_intervals() -> None:
    files = [stego(i, detected=i % 40 < 20, payload_bytes=10, cover=f"{i % 40}") for i in range(200)]
    (shared,) = by_payload(files).methods["lsb"].bins
    (single,) = by_payload([replace(one, facts=replace(one.facts, cover=None)) for one in files]).methods["lsb"].bins
    assert (shared.detections.covers, single.detections.covers) == (40, None)
    assert shared.detections.lower is not None
    assert single.detections.lower is not None
    assert shared.detections.lower < single.detections.lower


def test_result_is_stored_and_older_results_are_read() -> None:
    evaluation = full_evaluation()
    assert evaluation.payload is not None
    assert from_json(to_json(evaluation)) == evaluation
    older = to_json(evaluation).replace('"payload":{', '"written_by_a_newer_version":{')
    assert from_json(older).payload is None


def many_predictions() -> Iterable[Prediction]:
    rng = np.random.default_rng(3)
    methods: tuple[Method, ...] = ("alpha", "palette", "lsb", "exif", "eoi")
    edges = [int(edge) for edge in (*SIZE_BINS.edges, *RATE_BINS["bytes"].edges)]
    for number in range(400):
        width, height = (int(one) for one in rng.integers(1, 600, 2))
        facts = FileFacts(
            width=None if number % 17 == 0 else width,
            height=None if number % 17 == 0 else height,
            # Many are exactly on the edge of a bin.
            payload_bytes=None
            if number % 13 == 0
            else int(rng.choice(edges))
            if number % 2
            else int(rng.integers(0, 4000)),
            bit_order=(None, "lsb-first", "msb-first")[number % 3],
            source=(None, "camera", "a'b", "other")[number % 4],
            reaches_crop=(None, False, True)[number % 3],
        )
        if number % 5 == 0:
            yield replace(clean(number, positive=number % 2 == 0), facts=facts)
        else:
            positive = bool(rng.integers(2))
            yield replace(_prediction(number, "stego", positive), method=methods[number % 5], facts=facts)
    for number, edge in enumerate(SIZE_BINS.edges):
        facts = FileFacts(width=int(edge), height=1, payload_bytes=int(edge) // 8)
        yield replace(_prediction(1000 + number, "stego", verdict=True), method="lsb", facts=facts)


def test_filters_select_the_images_of_each_slice(tmp_path: Path) -> None:
    predictions = list(many_predictions())
    PredictionTable.write(tmp_path / "predictions.sqlite", predictions)
    store = PredictionStore(tmp_path / "predictions.sqlite")
    result = by_payload(predictions)
    table = PredictionTable.of(predictions)
    for name, found in result.slices.items():
        codes, names = slice_codes(table, name)
        for one in found:
            for file_class, rate in (("stego", one.detections), ("clean", one.false_positives)):
                if rate is None:
                    continue
                selection = Selection("all", {"class": file_class, name: one.name})
                expected = [
                    entry
                    for entry, code in zip(predictions, codes, strict=True)
                    if entry.file_class == file_class and code != MISSING and names[code] == one.name
                ]
                assert {row.prediction for row in store.page(selection, limit=1000)} == set(expected)
                assert store.count(selection) == store.measured(selection) == rate.total
    for method, by_rate in result.methods.items():
        for part in by_rate.bins:
            selection = Selection("wrong", {"class": "stego", "method": method, "embedding_rate": part.name})
            assert store.measured(selection) == part.detections.total
            assert store.count(selection) == part.detections.total - part.detections.count
            found_rows = [row.prediction for row in store.page(selection, limit=1000)]
            numbers = RATE_BINS[by_rate.unit].index(embedding_rates(PredictionTable.of(found_rows), method))
            assert {RATE_BINS[by_rate.unit].names[number] for number in numbers} <= {part.name}
            assert dict(store.facets(selection)["method"]).get(method, 0) == store.count(selection)


@pytest.mark.parametrize(("width", "relative"), [(80, 0.5), (None, math.nan)])
def test_rate_is_relative_to_the_pixels_or_absolute(width: int | None, relative: float) -> None:
    facts = FileFacts(width=width, height=60, payload_bytes=300)
    images = [replace(stego(0, detected=True, method=method), facts=facts) for method in METHODS]
    rates = [embedding_rates(PredictionTable.of([one]), method)[0] for one, method in zip(images, METHODS, strict=True)]
    assert rates == pytest.approx([relative, relative, relative, 300.0, 300.0], nan_ok=True)
    assert set(RATE_UNITS) == set(METHODS)


def test_evaluation_without_images_has_no_result() -> None:
    assert empty_evaluation().payload is None
    assert by_payload([make_prediction("clean/a.png")]).methods == {}
