"""Drift: compare the images of an unlabelled dataset with the clean images of a labelled dataset, the drift reference.

Clean images, because most incoming images are clean; the stego images of a labelled dataset are a mixture that its
author has chosen. Each fact of the files and the score of the model is compared with two measures: a significance test,
which detects any difference in a large sample, and an effect size, which needs a difference that matters.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.facts import FACTS, Fact, FactTable
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.request import DriftReference
from starlight_exporter.evaluation.spec import EvaluationSpec, differences
from starlight_exporter.file_access import read_content
from starlight_exporter.statistics.drift import kolmogorov_smirnov, population_stability_index
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg

if TYPE_CHECKING:
    from starlight_exporter.dataset.dataset import FileClass
    from starlight_exporter.evaluation.prediction_table import PredictionTable

DriftVariable = Literal[Fact, "score"]
DRIFT_VARIABLES: Final[tuple[DriftVariable, ...]] = (*FACTS, "score")
"""The facts of a file, and the probability that the model returns."""

MAX_P_VALUE: Final = 0.01
MIN_PSI: Final = 0.08
"""A variable has drifted if its adjusted p-value is below MAX_P_VALUE and its index at least MIN_PSI.

The limit of the index is that of benchmarks/drift.md: windows with 30% images of another source are detected.
"""
MIN_IMAGES: Final = 100
"""With fewer images in the window or the reference, the asymptotic p-value is inexact."""
MAX_REFERENCE_IMAGES: Final = 4000
"""Clean images that are stored of a labelled evaluation: a random sample of more images."""

DriftUnavailableReason = Literal[
    "no_drift_reference",
    "no_reference_result",
    "different_model",
    "different_software",
    "reference_not_readable",
    "too_few_reference_images",
    "too_few_images",
]
DRIFT_UNAVAILABLE_REASONS: Final[tuple[DriftUnavailableReason, ...]] = get_args(DriftUnavailableReason)

_Obstacle = tuple[DriftUnavailableReason, str]
_MAX_SAMPLE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class VariableDrift:
    """Difference of one variable: population stability index, largest distance of the distribution functions.

    `p_value` is that of the Kolmogorov-Smirnov test, adjusted (Benjamini-Hochberg) over all variables.
    """

    psi: float
    distance: float
    p_value: float

    @property
    def has_drifted(self) -> bool:
        """Whether the difference is significant and large."""
        return self.p_value < MAX_P_VALUE and self.psi >= MIN_PSI


@dataclass(frozen=True, slots=True)
class Drift:
    """Comparison with the drift reference: a dataset and the id of its evaluation by the same model file.

    `variables` has every name of DRIFT_VARIABLES, or is empty if drift was not measured: then `unavailable` is the
    reason and `detail` a text. `images` and `reference_images` are the measured images compared.
    """

    reference: str | None
    reference_id: str | None
    images: int
    reference_images: int | None
    variables: dict[DriftVariable, VariableDrift] = field(default_factory=dict)
    unavailable: DriftUnavailableReason | None = None
    detail: str = ""

    @property
    def drifted(self) -> tuple[DriftVariable, ...]:
        """The variables that have drifted, the largest index first."""
        found = [name for name, one in self.variables.items() if one.has_drifted]
        return tuple(sorted(found, key=lambda name: -self.variables[name].psi))

    @property
    def detected(self) -> bool | None:
        """Whether at least one variable has drifted; None if drift was not measured."""
        return None if self.unavailable is not None else bool(self.drifted)


@dataclass(frozen=True, slots=True, eq=False)
class DriftSample:
    """Facts and score of measured images: an array of shape (images, len(DRIFT_VARIABLES)).

    Single precision halves the stored bytes; both samples of a comparison are rounded in the same way.
    """

    values: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Return the sample as a file in NumPy's format."""
        file = io.BytesIO()
        np.save(file, self.values, allow_pickle=False)
        return file.getvalue()


def drift_sample(
    predictions: PredictionTable, facts: FactTable, file_class: FileClass, *, seed: int, limit: int | None = None
) -> DriftSample:
    """Return facts and scores of the measured images of a class, at most `limit` of them, chosen at random.

    Images without facts, because they were not decoded or are not in the sample of `facts`, are not part of it.
    """
    scores = predictions.column("probability")[facts.numbers]
    rows = np.flatnonzero(predictions.equals("file_class", file_class)[facts.numbers] & ~np.isnan(scores))
    scores = scores[rows]
    if limit is not None and len(rows) > limit:
        kept = np.sort(np.random.default_rng(seed).choice(len(rows), limit, replace=False))
        rows, scores = rows[kept], scores[kept]
    return DriftSample(
        np.hstack([facts.values[rows].reshape(-1, len(FACTS)), scores[:, np.newaxis]]).astype(np.float32)
    )


def read_sample(path: Path) -> DriftSample:
    """Return a stored sample. Raise StorageError if it cannot be read or has other variables."""
    try:
        content = read_content(path, max_bytes=_MAX_SAMPLE_BYTES).data
        values = _loaded(content)
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not np.isfinite(values).all():
        raise StorageError(f"{path}: damaged: contains values that are not finite")
    return DriftSample(values)


def _loaded(content: bytes) -> NDArray[np.float32]:
    """Return the array of a file in NumPy's format. Raise ValueError before memory is allocated for a stated shape.

    `numpy.load` opens other formats too, and allocates what the header states.
    """
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("damaged: expected version 1.0 of NumPy's format")
    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
    rows = content[file.tell() :]
    expected = len(rows) // (len(DRIFT_VARIABLES) * dtype.itemsize or 1), len(DRIFT_VARIABLES)
    if shape != expected or dtype != np.float32 or len(rows) != math.prod(expected) * dtype.itemsize:
        raise ValueError(f"damaged: expected {len(DRIFT_VARIABLES)} variables")
    return np.frombuffer(rows, np.float32).reshape(expected, order="F" if in_columns else "C")


def measure_drift(reference: DriftReference | None, sample: DriftSample, spec: EvaluationSpec) -> Drift:
    """Compare the images of an unlabelled evaluation, which has this spec, with the drift reference."""
    obstacle, stored = _obstacle(reference, spec), None
    if obstacle is None and reference is not None and reference.sample_file is not None:
        try:
            stored = read_sample(reference.sample_file)
        except StorageError as error:
            obstacle = "reference_not_readable", str(error)
    if stored is not None and reference is not None:
        obstacle = _too_few_images(reference.dataset, len(stored.values), len(sample.values))
    return Drift(
        reference=None if reference is None else reference.dataset,
        reference_id=None if reference is None else reference.evaluation_id,
        images=len(sample.values),
        reference_images=None if stored is None else len(stored.values),
        variables={} if obstacle is not None or stored is None else compare_samples(stored.values, sample.values),
        unavailable=None if obstacle is None else obstacle[0],
        detail="" if obstacle is None else obstacle[1],
    )


def _obstacle(reference: DriftReference | None, spec: EvaluationSpec) -> _Obstacle | None:
    """Return why there is no result on the reference to compare with."""
    if reference is None:
        return "no_drift_reference", "no drift reference is configured"
    if reference.sample_file is None or reference.spec is None:
        return "no_reference_result", f"the model has no stored result on {reference.dataset}"
    if text := differences(reference.spec, spec, "model"):
        return "different_model", f"the result on {reference.dataset}: {text}"
    if text := differences(reference.spec, spec, "provider", "software"):
        return "different_software", f"the result on {reference.dataset}: {text}"
    return None


def _too_few_images(dataset: str, known: int, images: int) -> _Obstacle | None:
    if known < MIN_IMAGES:
        text = f"{known} clean images were measured on {dataset}, at least {MIN_IMAGES} are required"
        return "too_few_reference_images", text
    if images < MIN_IMAGES:
        return "too_few_images", f"{images} images were measured, at least {MIN_IMAGES} are required"
    return None


def compare_samples(reference: NDArray[np.float32], sample: NDArray[np.float32]) -> dict[DriftVariable, VariableDrift]:
    """Compare two arrays of shape (images, len(DRIFT_VARIABLES)), each with at least one image."""
    pairs = list(zip(reference.T.astype(np.float64), sample.T.astype(np.float64), strict=True))
    tests = [kolmogorov_smirnov(one, other) for one, other in pairs]
    adjusted = benjamini_hochberg([p_value for _, p_value in tests])
    return {
        name: VariableDrift(population_stability_index(*pair), distance, 1.0 if p_value is None else p_value)
        for name, pair, (distance, _), p_value in zip(DRIFT_VARIABLES, pairs, tests, adjusted, strict=True)
    }
