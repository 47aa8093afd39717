"""Gaps between the rates of one model on different formats and datasets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.analysis.source_gaps import dataset_gaps, format_gaps
from starlight_exporter.publish.documents.data_quality import data_quality
from starlight_exporter.statistics.intervals import proportion
from support.results import empty_evaluation


def test_gaps_compare_formats_and_datasets_of_one_model() -> None:
    base = empty_evaluation(
        clean=proportion(12, 2000),
        clean_by_format={"png": proportion(12, 1000), "gif": proportion(0, 1000), "bmp": proportion(0, 0)},
        detections={**empty_evaluation().detections, "lsb": proportion(90, 100)},
    )
    png_gap, gif_gap = format_gaps(base)
    assert png_gap.image_format == "png"
    assert png_gap.difference == pytest.approx(0.012)
    assert gif_gap.difference == -png_gap.difference
    assert png_gap.p_value == gif_gap.p_value < 0.001
    assert png_gap.lower > 0
    other = replace(
        base,
        dataset="field",
        provenance=replace(base.provenance, dataset_fingerprint="d" * 64),
        detections={**base.detections, "lsb": proportion(50, 100)},
    )
    another_model = replace(other, provenance=replace(other.provenance, model_sha256="e" * 64))
    gaps = {(gap.dataset, gap.rate): gap for gap in dataset_gaps([base, other])}
    assert set(gaps) == {(name, rate) for name in ("reference", "field") for rate in ("false_positive", "lsb")}
    assert gaps["field", "lsb"].difference == pytest.approx(-0.4)
    assert gaps["field", "false_positive"].difference == 0
    assert dataset_gaps([base, another_model]) == dataset_gaps([base]) == ()
    copy = replace(other, dataset="field again")
    assert [gap.elsewhere for gap in dataset_gaps([base, other, copy])] == [
        *(gaps["reference", rate].elsewhere for rate in ("false_positive", "lsb")),
        *2 * [gaps["field", rate].elsewhere for rate in ("false_positive", "lsb")],
    ]
    text = "\n\n".join(data_quality([base, other]))
    assert "| production on field | detection, lsb | 50 of 100 | 90 of 100 | -40.00 pp (95% CI " in text
    assert text.count("**significant**") == 6


def test_data_quality_without_evaluations_is_not_measured() -> None:
    assert "\n\n".join(data_quality([])).count("Not measured.") == 3
