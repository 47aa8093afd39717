from dataclasses import asdict, replace
from typing import get_args

import pytest

from starlight_exporter.evaluation.results import Provenance
from starlight_exporter.evaluation.spec import Aspect, current_spec, differences

SPEC = current_spec(
    model_sha256="a" * 64, dataset_fingerprint="b" * 64, decision="probability > 0.5", dataset_generator="3"
)
CHANGES: tuple[tuple[str, Aspect, str], ...] = (
    ("model_sha256", "model", "different model files (SHA-256 aaaaaaaaaaaa and other)"),
    ("dataset_fingerprint", "images", "different images (dataset fingerprints bbbbbbbbbbbb and other)"),
    ("decision", "rule", "different decision rules (probability > 0.5; other)"),
    ("exporter_version", "software", "exporter other, "),
    ("onnxruntime_version", "software", "onnxruntime other, "),
    ("numpy_version", "software", "NumPy other, "),
    ("pillow_version", "software", "Pillow other)"),
    ("dataset_generator", "images", "different images (versions 3 and other of their generator)"),
    ("execution_provider", "provider", "different execution providers (CPUExecutionProvider; other)"),
)


def test_equal_specs_are_comparable() -> None:
    assert differences(SPEC, replace(SPEC)) == ""


def test_provenance_equals_the_spec_it_was_made_from() -> None:
    assert differences(SPEC, Provenance(**asdict(SPEC), seed=7)) == ""


@pytest.mark.parametrize(("field", "aspect", "reason"), CHANGES)
def test_reports_the_difference_in_each_field(field: str, aspect: Aspect, reason: str) -> None:
    other = replace(SPEC, **{field: "other"})
    assert reason in differences(SPEC, other)
    assert reason in differences(SPEC, other, aspect)


@pytest.mark.parametrize(("field", "aspect", "_"), CHANGES)
def test_ignores_other_aspects(field: str, aspect: Aspect, _: str) -> None:
    aspects: tuple[Aspect, ...] = get_args(Aspect)
    assert differences(SPEC, replace(SPEC, **{field: "other"}), *(one for one in aspects if one != aspect)) == ""


def test_lists_every_difference() -> None:
    other = replace(SPEC, model_sha256="c" * 64, decision="probability > 0.9")
    assert differences(SPEC, other, "model", "images", "rule") == (
        "different model files (SHA-256 aaaaaaaaaaaa and cccccccccccc), "
        "different decision rules (probability > 0.5; probability > 0.9)"
    )


def test_generator_is_named_with_the_fingerprints() -> None:
    other = replace(SPEC, dataset_fingerprint="c" * 64, dataset_generator="2")
    assert differences(SPEC, other) == (
        "different images (dataset fingerprints bbbbbbbbbbbb and cccccccccccc, versions 3 and 2 of their generator)"
    )


def test_unknown_generator_is_comparable() -> None:
    assert differences(SPEC, replace(SPEC, dataset_generator=None)) == ""


def test_every_spec_field_is_compared() -> None:
    assert {field for field, _, _ in CHANGES} == set(asdict(SPEC))
