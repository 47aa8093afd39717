"""Baseline files: exact conversion to ratios and seconds; errors name file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starlight_exporter.checks.baseline import Baseline, read_baseline
from starlight_exporter.errors import BaselineError

FULL = {
    "provenance": {"model": "v3", "images": 4000},
    "fpr": 0.05,
    "detection_rates": {"lsb": 98.1, "alpha": 99.2, "palette": 97.9, "exif": 99.8, "eoi": 100},
    "performance": {"p50_ms": 2.1, "p95_ms": 3.4, "p99_ms": 4.4, "throughput_imgs_per_sec": 410},
    "fpr_by_format": {"jpeg": 0.1, "png": 0.5, "gif": 0, "webp": 0.2, "bmp": None},
}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_converts_percent_and_milliseconds_exactly(tmp_path: Path) -> None:
    baseline = read_baseline(write(tmp_path / "baseline.json", FULL))
    assert baseline == Baseline(
        false_positive_ratio=0.0005,
        detection_ratios={"alpha": 0.992, "palette": 0.979, "lsb": 0.981, "exif": 0.998, "eoi": 1.0},
        latency_seconds={0.5: 0.0021, 0.95: 0.0034, 0.99: 0.0044},
        throughput=410.0,
        false_positive_ratio_by_format={"jpeg": 0.001, "png": 0.005, "gif": 0.0, "webp": 0.002},
    )


def test_converts_every_hundredth_of_a_percent_exactly(tmp_path: Path) -> None:
    for hundredths in range(0, 10_001, 37):
        text = f'{{"fpr": {hundredths // 100}.{hundredths % 100:02}}}'
        baseline = read_baseline(write(tmp_path / "baseline.json", text))
        assert baseline.false_positive_ratio == hundredths / 10_000


def test_omitted_values_are_absent(tmp_path: Path) -> None:
    baseline = read_baseline(write(tmp_path / "baseline.json", {"detection_rates": {"lsb": 98}}))
    assert baseline == Baseline(detection_ratios={"lsb": 0.98})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[]", "expected an object"),
        ({}, "holds none of fpr"),
        ({"fpr": "0.1"}, "fpr: expected a number"),
        ({"fpr": True}, "fpr: expected a number"),
        ({"fpr": -0.1}, "fpr: expected a number that is not negative, got -0.1"),
        ({"fpr": 101}, "fpr: expected percent from 0 to 100, got 101"),
        ('{"fpr": NaN}', "fpr: expected a number that is not negative, got NaN"),
        ({"detection_rates": [1]}, "detection_rates: expected an object"),
        ({"detection_rates": {"lsb.rgb": 98}}, "detection_rates: unknown key lsb.rgb; expected alpha, palette, lsb"),
        ({"detection_rates": {"lsb": {"rate": 1}}}, "detection_rates.lsb: expected a number"),
        ({"performance": {"p90_ms": 1}}, "performance: unknown key p90_ms; expected p50_ms"),
        ({"performance": {"p95_ms": -1}}, "performance.p95_ms: expected a number"),
        ({"fpr_by_format": {"jpg": 0.1}}, "fpr_by_format: unknown key jpg; expected jpeg, png"),
    ],
)
def test_error_names_file_and_key(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path / "baseline.json", content)
    with pytest.raises(BaselineError) as error:
        read_baseline(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_error_names_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"gone\.json: no such baseline file"):
        read_baseline(tmp_path / "gone.json")
    with pytest.raises(BaselineError, match="cannot be read"):
        read_baseline(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BaselineError, match="not UTF-8"):
        read_baseline(tmp_path / "binary.json")
