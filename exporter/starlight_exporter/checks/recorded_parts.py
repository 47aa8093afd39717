"""Parts of a recorded baseline: the counts behind its rates, and its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlight_exporter.detector.contract import ImageFormat, Method
from starlight_exporter.evaluation.spec import EXECUTION_PROVIDER, EvaluationSpec


@dataclass(frozen=True, slots=True)
class RecordedCount:
    """`count` positive verdicts in `total` measured files."""

    count: int
    total: int


@dataclass(frozen=True, slots=True)
class RecordedCounts:
    """Counts behind the recorded rates; an omitted value is None or has no entry."""

    clean: RecordedCount | None = None
    detections: Mapping[Method, RecordedCount] = field(default_factory=dict)
    clean_by_format: Mapping[ImageFormat, RecordedCount] = field(default_factory=dict)
    negatives: Mapping[str, RecordedCount] = field(default_factory=dict)
    latency_images: int | None = None


@dataclass(frozen=True, slots=True)
class RecordedProvenance:
    """Origin of a recorded baseline; an omitted value is None. `measured_at` is in UTC seconds."""

    model: str | None = None
    dataset: str | None = None
    model_sha256: str | None = None
    dataset_fingerprint: str | None = None
    decision: str | None = None
    exporter_version: str | None = None
    onnxruntime_version: str | None = None
    numpy_version: str | None = None
    pillow_version: str | None = None
    execution_provider: str | None = None
    dataset_generator: str | None = None
    seed: int | None = None
    measured_at: float | None = None
    command: str | None = None

    def spec(self) -> EvaluationSpec | None:
        """Return the spec of the recorded evaluation; None if a hash, the decision rule or a version is missing."""
        if (
            self.model_sha256 is None
            or self.dataset_fingerprint is None
            or self.decision is None
            or self.exporter_version is None
            or self.onnxruntime_version is None
            or self.numpy_version is None
            or self.pillow_version is None
        ):
            return None
        return EvaluationSpec(
            model_sha256=self.model_sha256,
            dataset_fingerprint=self.dataset_fingerprint,
            decision=self.decision,
            exporter_version=self.exporter_version,
            onnxruntime_version=self.onnxruntime_version,
            numpy_version=self.numpy_version,
            pillow_version=self.pillow_version,
            # 0.1.0 did not record the execution provider, and had only this one.
            execution_provider=self.execution_provider or EXECUTION_PROVIDER,
            dataset_generator=self.dataset_generator,
        )
