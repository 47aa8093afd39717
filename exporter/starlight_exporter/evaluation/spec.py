"""Evaluation spec: what identifies the meaning of a result, and whether two results are comparable."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from typing import Literal, get_args

import starlight_exporter

EXECUTION_PROVIDER = "CPUExecutionProvider"

Aspect = Literal["model", "images", "rule", "software"]


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """Model file, images, decision rule and software of an evaluation: equal specs give equal verdicts."""

    model_sha256: str
    dataset_fingerprint: str
    decision: str
    exporter_version: str
    onnxruntime_version: str
    numpy_version: str
    pillow_version: str
    execution_provider: str = field(default=EXECUTION_PROVIDER, kw_only=True)


def current_spec(*, model_sha256: str, dataset_fingerprint: str, decision: str) -> EvaluationSpec:
    """Return the spec of an evaluation that runs with the installed software."""
    return EvaluationSpec(
        model_sha256=model_sha256,
        dataset_fingerprint=dataset_fingerprint,
        decision=decision,
        exporter_version=starlight_exporter.__version__,
        onnxruntime_version=metadata.version("onnxruntime"),
        numpy_version=metadata.version("numpy"),
        pillow_version=metadata.version("pillow"),
    )


def differences(one: EvaluationSpec, other: EvaluationSpec, *aspects: Aspect) -> str:
    """Return why two results are not comparable: the differences in these aspects (default: all), empty if none."""
    found = (_difference(one, other, aspect) for aspect in aspects or get_args(Aspect))
    return ", ".join(text for text in found if text)


def _difference(one: EvaluationSpec, other: EvaluationSpec, aspect: Aspect) -> str:
    match aspect:
        case "model" if one.model_sha256 != other.model_sha256:
            return f"different model files (SHA-256 {one.model_sha256[:12]} and {other.model_sha256[:12]})"
        case "images" if one.dataset_fingerprint != other.dataset_fingerprint:
            return (
                f"different images (dataset fingerprints {one.dataset_fingerprint[:12]}"
                f" and {other.dataset_fingerprint[:12]})"
            )
        case "rule" if one.decision != other.decision:
            return f"different decision rules ({one.decision}; {other.decision})"
        case "software" if _software(one) != _software(other):
            return f"different software ({_software(one)}; {_software(other)})"
        case _:
            return ""


def _software(spec: EvaluationSpec) -> str:
    return (
        f"exporter {spec.exporter_version}, onnxruntime {spec.onnxruntime_version} ({spec.execution_provider}),"
        f" NumPy {spec.numpy_version}, Pillow {spec.pillow_version}"
    )
