"""Metrics of results by payload that are not measured."""

from __future__ import annotations

from dataclasses import replace

from starlight_exporter.evaluation.payload import by_payload
from starlight_exporter.publish.families.payload import NOT_MEASURED, evaluation_samples
from support.snapshots import example_prediction, full_evaluation


def test_evaluation_of_an_earlier_version_has_no_samples() -> None:
    assert list(evaluation_samples(replace(full_evaluation(), payload=None))) == []


def test_reason_is_exposed_if_no_payload_size_is_known() -> None:
    payload = by_payload([example_prediction("stego/a.png", verdict=True, stego=True)])
    samples = list(evaluation_samples(replace(full_evaluation(), payload=payload)))
    (reason,) = [sample for sample in samples if sample.family is NOT_MEASURED]
    assert reason.labels == ("production", "reference", "", "", "no stego image states its payload size")
    assert not [sample for sample in samples if "threshold" in sample.family.name]
