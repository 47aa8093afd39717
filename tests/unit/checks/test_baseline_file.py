"""Baseline files: exact conversion to ratios and seconds; errors name file and key; comparability."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlight_exporter.checks.baseline import Baseline, latency_obstacle, obstacle, read_baseline
from starlight_exporter.checks.baseline_recording import baseline_json
from starlight_exporter.checks.machine import current_machine
from starlight_exporter.checks.recorded_parts import RecordedProvenance
from starlight_exporter.checks.strict_json import MAX_FILE_BYTES
from starlight_exporter.errors import BaselineError
from starlight_exporter.evaluation.spec import EvaluationSpec
from starlight_exporter.formatting import iso
from support.snapshots import MACHINE, full_evaluation

FULL = {
    "provenance": {"model": "v3"},
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
        provenance=RecordedProvenance(model="v3"),
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


RECORDED: dict[str, Any] = json.loads(
    baseline_json(full_evaluation(), {"a" * 64, "b" * 64}, command="c", machine=MACHINE)
)
"""A complete file as it is written: 3 of 4,000 clean files and 1 of 250 negatives are false positives."""


def changed(place: str, value: object) -> dict[str, Any]:
    """Return RECORDED with one value replaced or added."""
    content = copy.deepcopy(RECORDED)
    *parents, last = place.split("/")
    table = content
    for parent in parents:
        table = table[parent]
    table[last] = value
    return content


def without(place: str) -> dict[str, Any]:
    """Return RECORDED without one value."""
    content = copy.deepcopy(RECORDED)
    *parents, last = place.split("/")
    table = content
    for parent in parents:
        table = table[parent]
    del table[last]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("fpr_by_formats", {}), "unknown key fpr_by_formats; expected fpr, detection_rates"),
        (changed("counts/stego", 1), "counts: unknown key stego; expected clean"),
        (changed("counts/clean/rate", 1), "counts.clean: unknown key rate; expected count, total"),
        (changed("counts/detections/lsb.rgb", {}), "counts.detections: unknown key lsb.rgb"),
        (changed("counts/clean_by_format/jpg", {}), "counts.clean_by_format: unknown key jpg"),
        (changed("provenance/images", 4000), "provenance: unknown key images; expected model"),
        (changed("machine/memory", 4000), "machine: unknown key memory; expected processor"),
        (changed("\udcff\n", 4000), 'unknown key "\\udcff\\n"; expected fpr'),
        (changed("fpr_by_category/", 0), 'fpr_by_category: expected names of 1 to 10,000 characters, got ""'),
        (changed("fpr_by_category/\udcff", 0), "fpr_by_category: expected names"),
        # Counts.
        (changed("counts/clean/count", 4001), "counts.clean: count 4,001 exceeds total 4,000"),
        (changed("counts/detections/lsb/count", 201), "counts.detections.lsb: count 201 exceeds total 200"),
        (changed("counts/negatives/patterns/count", 251), "counts.negatives.patterns: count 251 exceeds total 250"),
        (changed("counts/clean/count", -1), "counts.clean.count: expected a whole number from 0 to"),
        (changed("counts/clean/total", 4000.5), "counts.clean.total: expected a whole number from 0 to"),
        (
            changed("counts/clean/total", "4000"),
            'counts.clean.total: expected a whole number from 0 to 1,000,000,000,000, got "4',
        ),
        (changed("counts/clean/total", True), "counts.clean.total: expected a whole number"),
        (changed("counts/clean/total", 10**13), "counts.clean.total: expected a whole number"),
        (changed("counts/clean/total", None), "counts.clean.total: missing"),
        (without("counts/clean/count"), "counts.clean.count: missing"),
        (
            changed("counts/clean_by_format/jpeg/total", 2001),
            "counts.clean_by_format: totals add up to 4,001, but counts.clean has 4,000",
        ),
        (
            changed("counts/clean_by_format/jpeg", {"count": 1, "total": 2000}),
            "counts.clean_by_format: counts add up to 4, but counts.clean has 3",
        ),
        (
            changed("counts/clean_by_format/png", {"count": 2, "total": 2000}),
            "counts.clean_by_format: counts add up to 2, but counts.clean has 3",
        ),
        (changed("counts/latency_images", -1), "counts.latency_images: expected a whole number"),
        # Percentages.
        (changed("fpr", 0.00075), "fpr: expected percent, this looks like a ratio: 0.00075 (3 of 4,000)"),
        (changed("fpr", 0.09), "fpr: 0.09 contradicts its count, 3 of 4,000"),
        (changed("fpr", 0), "fpr: 0 contradicts its count, 3 of 4,000"),
        (
            changed("detection_rates/lsb", 0.97),
            "detection_rates.lsb: expected percent, this looks like a ratio: 0.97 (194 of 200)",
        ),
        (changed("detection_rates/lsb", 97.5), "detection_rates.lsb: 97.5 contradicts its count, 194 of 200"),
        (
            changed("fpr_by_format/png", 0.0015),
            "fpr_by_format.png: expected percent, this looks like a ratio: 0.0015 (3 of",
        ),
        (changed("fpr_by_format/bmp", 0), "fpr_by_format.bmp: 0 contradicts its count, 0 of 0"),
        (
            changed("fpr_by_category/patterns", 0.004),
            "fpr_by_category.patterns: expected percent, this looks like a ratio",
        ),
        ({"detection_rates": {"lsb": 0.98}}, "detection_rates.lsb: expected percent, this looks like a ratio: 0.98"),
        ({"detection_rates": {"lsb": 1}}, "detection_rates.lsb: expected percent, this looks like a ratio: 1"),
        # Latency.
        (changed("performance/p95_ms", 1), "performance.p95_ms: 1 is below a lower quantile, 2.1"),
        (changed("performance/p99_ms", 1e10), "performance.p99_ms: expected a number up to 1,000,000,000"),
        (changed("performance/throughput_imgs_per_sec", "1"), "performance.throughput_imgs_per_sec: expected a number"),
        # Misclassified files.
        (changed("misclassified", {}), "misclassified: expected a list, got an object"),
        (changed("misclassified", ["a" * 63]), "misclassified[0]: expected a SHA-256 of 64 hexadecimal digits"),
        (changed("misclassified", ["g" * 64]), "misclassified[0]: expected a SHA-256 of 64 hexadecimal digits"),
        (changed("misclassified", [7]), "misclassified[0]: expected a SHA-256 of 64 hexadecimal digits, got 7"),
        (changed("misclassified", ["a" * 64, "A" * 64]), "misclassified[1]: duplicate SHA-256 aaa"),
        (changed("misclassified", []), "misclassified: 0 files, but the counts have 34 wrong verdicts"),
        (
            changed("misclassified", [f"{i:064x}" for i in range(35)]),
            "misclassified: 35 files, but the counts have 34 wrong",
        ),
        (without("counts"), "counts.clean: missing"),
        (without("counts/negatives"), "counts.negatives: missing"),
        # Provenance and machine.
        (changed("provenance/model_sha256", "3b7c"), "provenance.model_sha256: expected a SHA-256 of 64 hexadecimal"),
        (changed("provenance/dataset_fingerprint", 1), "provenance.dataset_fingerprint: expected a SHA-256"),
        (changed("provenance/decision", 1), "provenance.decision: expected a text of 1 to 10,000 characters, got 1"),
        (changed("provenance/decision", ""), "provenance.decision: expected a text"),
        (
            changed("provenance/command", "\udcff"),
            'provenance.command: expected a text of 1 to 10,000 characters, got "\\udcff"',
        ),
        (changed("provenance/seed", -1), "provenance.seed: expected a whole number"),
        (changed("provenance/measured_at", "yesterday"), "provenance.measured_at: expected a UTC time such as"),
        (changed("provenance/measured_at", "2026-02-30T00:00:00Z"), "provenance.measured_at: expected a UTC time"),
        (changed("provenance/measured_at", "2026-2-03T00:00:00Z"), "provenance.measured_at: expected a UTC time"),
        (changed("provenance/measured_at", 1), "provenance.measured_at: expected a text"),
        (changed("provenance/machine", "AMD EPYC"), "provenance.machine: the machine is described twice"),
        (changed("provenance/machine", {}), "provenance.machine: expected a text"),
        (changed("machine", "AMD EPYC"), "machine: expected an object"),
        (changed("machine/cores", 0), "machine.cores: expected at least 1"),
        (changed("machine/cores", 1.5), "machine.cores: expected a whole number"),
        (without("machine/python"), "machine.python: missing"),
        (
            changed("machine/onnxruntime_version", "1.33.0"),
            'machine.onnxruntime_version: differs from provenance.onnxruntime_version, "1.32.0"',
        ),
        (changed("machine/execution_provider", "CUDA"), "machine.execution_provider: differs from provenance"),
        # Duplicate keys, which json.dumps cannot write.
        ('{"fpr": 0, "fpr": 1}', "duplicate key fpr"),
        ('{"detection_rates": {"lsb": 98, "lsb": 99}}', "detection_rates: duplicate key lsb"),
        ('{"fpr": 0, "counts": {"clean": {"count": 0, "total": 1, "total": 2}}}', "counts.clean: duplicate key total"),
        ('{"fpr": 0, "machine": {"cores": 1, "cores": 2}}', "machine: duplicate key cores"),
        ('{"fpr": Infinity}', "fpr: expected a number that is not negative, got Infinity"),
        ('{"fpr": 1e999999999999}', "fpr: expected a number up to 1,000,000,000, got 1E+999999999999"),
        ('{"fpr": 0, "counts": {"latency_images": NaN}}', "counts.latency_images: expected a whole number"),
        ("[" * 100_000, "not JSON: "),
        ("\ufeff{}", "not JSON: "),
        (f'{{"fpr": [{"1," * 1_000_000}1]}}', "has more than 1,000,000 values"),
    ],
)
def test_rejects_inconsistent_file(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path / "baseline.json", content)
    with pytest.raises(BaselineError) as error:
        read_baseline(path)
    assert str(error.value).startswith(f"{path}: {message}")
    str(error.value).encode()


def test_accepts_percentages_rounded_to_two_decimals(tmp_path: Path) -> None:
    content = changed("counts/detections/lsb", {"count": 199, "total": 300})
    content["detection_rates"]["lsb"] = 66.33
    assert read_baseline(write(tmp_path / "a.json", content)).detection_ratios["lsb"] == 0.6633
    content["detection_rates"]["lsb"] = 66.3
    with pytest.raises(BaselineError, match=r"detection_rates\.lsb: 66\.3 contradicts its count, 199 of 300"):
        read_baseline(write(tmp_path / "b.json", content))


def test_accepts_detection_rate_below_one_percent_with_its_count(tmp_path: Path) -> None:
    content = {"detection_rates": {"lsb": 0.625}, "counts": {"detections": {"lsb": {"count": 1, "total": 160}}}}
    assert read_baseline(write(tmp_path / "baseline.json", content)).detection_ratios == {"lsb": 0.00625}


def test_reads_machine_of_first_release_as_unknown(tmp_path: Path) -> None:
    content = without("machine")
    del content["misclassified"], content["fpr_by_category"], content["counts"]["negatives"]
    del content["provenance"]["execution_provider"]
    content["provenance"]["machine"] = "AMD EPYC, 2 cores, Linux, Python 3.11.7"
    baseline = read_baseline(write(tmp_path / "baseline.json", content))
    assert (baseline.machine, baseline.misclassified, baseline.counts.negatives) == (None, None, {})
    assert baseline.provenance is not None
    spec = baseline.provenance.spec()
    assert spec is not None
    assert spec.execution_provider == "CPUExecutionProvider"


def test_incomplete_provenance_has_no_spec() -> None:
    complete: dict[str, Any] = {field.name: "x" for field in fields(EvaluationSpec)}
    assert RecordedProvenance(**complete).spec() == EvaluationSpec(**complete)
    for name in complete.keys() - {"execution_provider", "dataset_generator"}:
        assert RecordedProvenance(**{**complete, name: None}).spec() is None


SPEC = EvaluationSpec("a" * 64, "b" * 64, "probability > 0.5", "0.1.0", "1.32.0", "2.4.6", "13.0.0")
COMPARABLE = Baseline(
    provenance=RecordedProvenance(dataset_fingerprint="b" * 64, decision="probability > 0.5"), machine=MACHINE
)


@pytest.mark.parametrize(
    ("provenance", "reason", "text"),
    [
        (None, "different_images", "the recorded baseline has no dataset fingerprint"),
        (RecordedProvenance(decision=SPEC.decision), "different_images", "has no dataset fingerprint"),
        (
            RecordedProvenance(dataset_fingerprint="c" * 64, decision="probability > 0.9"),
            "different_images",
            "recorded on other images (dataset fingerprint cccccccccccc, not bbbbbbbbbbbb)",
        ),
        (RecordedProvenance(dataset_fingerprint="b" * 64), "different_rule", "has no decision rule"),
        (
            RecordedProvenance(dataset_fingerprint="b" * 64, decision="probability > 0.9"),
            "different_rule",
            "recorded with another decision rule (probability > 0.9; not probability > 0.5)",
        ),
    ],
)
def test_rates_of_other_images_or_rule_are_not_comparable(
    provenance: RecordedProvenance | None, reason: str, text: str
) -> None:
    found = obstacle(Baseline(provenance=provenance), SPEC)
    assert found is not None
    assert found[0] == reason
    assert text in found[1]


def test_images_of_another_generator_version_are_not_comparable() -> None:
    recorded = Baseline(
        provenance=RecordedProvenance(dataset_fingerprint="b" * 64, decision="probability > 0.5", dataset_generator="2")
    )
    assert obstacle(recorded, replace(SPEC, dataset_generator="3")) == (
        "different_images",
        "the baseline was recorded on images of another version of their generator (2, not 3)",
    )
    assert obstacle(recorded, replace(SPEC, dataset_generator="2")) is None
    # Neither files of earlier releases nor other datasets have a version.
    assert obstacle(recorded, SPEC) is None
    assert obstacle(COMPARABLE, replace(SPEC, dataset_generator="3")) is None


def test_rates_of_another_model_and_software_are_comparable() -> None:
    assert obstacle(COMPARABLE, replace(SPEC, model_sha256="f" * 64, exporter_version="9")) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"processor": "Intel"}, "different processors (AMD EPYC; Intel)"),
        ({"cores": 4}, "different numbers of cores (2; 4)"),
        ({"execution_provider": "CUDA"}, "different execution providers (CPUExecutionProvider; CUDA)"),
        ({"onnxruntime_version": "2"}, "different onnxruntime versions (1.32.0; 2)"),
        (
            {"cores": 4, "processor": "Intel"},
            "different processors (AMD EPYC; Intel), different numbers of cores (2; 4)",
        ),
    ],
)
def test_latency_of_another_machine_is_not_comparable(change: dict[str, Any], text: str) -> None:
    found = latency_obstacle(COMPARABLE, replace(MACHINE, **change))
    assert found == ("different_machine", f"the baseline was recorded on another machine: {text}")


def test_latency_without_a_machine_is_not_comparable() -> None:
    found = latency_obstacle(Baseline(), MACHINE)
    assert found == ("different_machine", "the recorded baseline does not describe its machine")


def test_latency_of_another_python_is_comparable() -> None:
    assert latency_obstacle(COMPARABLE, replace(MACHINE, python="3.14.0", system="Darwin")) is None


def test_current_machine_is_comparable_with_itself() -> None:
    machine = current_machine()
    assert machine.differences(current_machine()) == ""
    assert machine.cores >= 1
    assert machine.processor
    assert f"{machine.cores} cores" in machine.describe()


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["a" * 64, iso(1.0), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 0, 1, 100, 1e400, -0.0]),
)
values = st.recursive(
    scalars,
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.sampled_from(["count", "total", "lsb", "png", "clean", "x"]), children, max_size=3),
    ),
    max_leaves=5,
)


def places(table: dict[str, Any], above: str = "") -> list[str]:
    """Return the place of every value, for `changed`."""
    found = []
    for key, value in table.items():
        found.append(f"{above}{key}")
        if isinstance(value, dict):
            found += places(value, f"{above}{key}/")
    return found


def read_or_fail_expectedly(path: Path) -> None:
    """Read the file; the only permitted exception is a printable BaselineError of one line."""
    try:
        read_baseline(path)
    except BaselineError as error:
        text = str(error)
        assert text.startswith(f"{path}: ")
        assert "\n" not in text
        text.encode()


fuzzed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.sampled_from(places(RECORDED)), values)
@fuzzed
@pytest.mark.slow
def test_any_changed_value_is_read_or_rejected(tmp_path: Path, place: str, value: object) -> None:
    read_or_fail_expectedly(write(tmp_path / "baseline.json", changed(place, value)))


@given(st.sampled_from(places(RECORDED)), st.from_regex(r"-?\d{1,30}(\.\d{1,40})?([eE][+-]?\d{1,22})?", fullmatch=True))
@fuzzed
@pytest.mark.slow
def test_any_number_is_read_or_rejected(tmp_path: Path, place: str, number: str) -> None:
    text = json.dumps(changed(place, "NUMBER")).replace('"NUMBER"', number)
    read_or_fail_expectedly(write(tmp_path / "baseline.json", text))


@given(st.one_of(st.binary(max_size=60), values.map(lambda value: json.dumps(value).encode())))
@fuzzed
@pytest.mark.slow
def test_any_bytes_are_read_or_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(data)
    read_or_fail_expectedly(path)


@given(st.integers(0, 5000), st.integers(0, 255))
@fuzzed
@pytest.mark.slow
def test_any_damaged_byte_is_read_or_rejected(tmp_path: Path, at: int, byte: int) -> None:
    path = tmp_path / "baseline.json"
    data = bytearray(json.dumps(RECORDED).encode())
    data[at % len(data)] = byte
    path.write_bytes(data)
    read_or_fail_expectedly(path)


def test_rejects_large_file(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(BaselineError, match=r"cannot be read: larger than 64\.0 MiB"):
        read_baseline(path)


def test_rejects_pipe_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(BaselineError, match="not a regular file"):
        read_baseline(tmp_path / "pipe.json")


def test_error_names_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"gone\.json: no such baseline file"):
        read_baseline(tmp_path / "gone.json")
    with pytest.raises(BaselineError, match="not a regular file"):
        read_baseline(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BaselineError, match="not UTF-8"):
        read_baseline(tmp_path / "binary.json")
