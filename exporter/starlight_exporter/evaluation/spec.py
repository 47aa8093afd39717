"""Evaluation spec: what identifies the meaning of a result, and whether two results are comparable."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from typing import Literal, get_args

import starlight_exporter
from starlight_exporter.detector.providers import CPU, Providers, describe_providers, onnxruntime_version

EXECUTION_PROVIDER = describe_providers(CPU)

Aspect = Literal["model", "images", "rule", "provider", "software"]


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """Model file, images, decision rule, execution provider and software: equal specs give equal verdicts.

    `execution_provider` has the requested providers with their options, as text. `dataset_generator` is the version of
    the generator of the images; None if they were not generated, and in results of versions that did not record it.
    """

    model_sha256: str
    dataset_fingerprint: str
    decision: str
    exporter_version: str
    onnxruntime_version: str
    numpy_version: str
    pillow_version: str
    execution_provider: str = field(default=EXECUTION_PROVIDER, kw_only=True)
    dataset_generator: str | None = field(default=None, kw_only=True)


def current_spec(
    *,
    model_sha256: str,
    dataset_fingerprint: str,
    decision: str,
    providers: Providers = CPU,
    dataset_generator: str | None = None,
) -> EvaluationSpec:
    """Return the spec of an evaluation that runs with the installed software."""
    return EvaluationSpec(
        model_sha256=model_sha256,
        dataset_fingerprint=dataset_fingerprint,
        decision=decision,
        exporter_version=starlight_exporter.__version__,
        onnxruntime_version=onnxruntime_version(),
        numpy_version=metadata.version("numpy"),
        pillow_version=metadata.version("pillow"),
        execution_provider=describe_providers(providers),
        dataset_generator=dataset_generator,
    )


def differences(one: EvaluationSpec, other: EvaluationSpec, *aspects: Aspect) -> str:
    """Return why two results are not comparable: the differences in these aspects (default: all), empty if none."""
    found = (_difference(one, other, aspect) for aspect in aspects or get_args(Aspect))
    return ", ".join(text for text in found if text)


def _difference(one: EvaluationSpec, other: EvaluationSpec, aspect: Aspect) -> str:
    match aspect:
        case "model" if one.model_sha256 != other.model_sha256:
            return f"different model files (SHA-256 {one.model_sha256[:12]} and {other.model_sha256[:12]})"
        case "images":
            return _other_images(one, other)
        case "rule" if one.decision != other.decision:
            return f"different decision rules ({one.decision}; {other.decision})"
        case "provider" if one.execution_provider != other.execution_provider:
            return f"different execution providers ({one.execution_provider}; {other.execution_provider})"
        case "software" if _software(one) != _software(other):
            return f"different software ({_software(one)}; {_software(other)})"
        case _:
            return ""


def _other_images(one: EvaluationSpec, other: EvaluationSpec) -> str:
    found = []
    if one.dataset_fingerprint != other.dataset_fingerprint:
        found.append(f"dataset fingerprints {one.dataset_fingerprint[:12]} and {other.dataset_fingerprint[:12]}")
    versions = (one.dataset_generator, other.dataset_generator)
    if None not in versions and versions[0] != versions[1]:
        found.append(f"versions {versions[0]} and {versions[1]} of their generator")
    return f"different images ({', '.join(found)})" if found else ""


def _software(spec: EvaluationSpec) -> str:
    return (
        f"exporter {spec.exporter_version}, onnxruntime {spec.onnxruntime_version}, NumPy {spec.numpy_version},"
        f" Pillow {spec.pillow_version}"
    )
