"""The evaluations of one run of the gate: the new model, the baseline model, and a second folder of negatives."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from starlight_exporter.checks.basis import basis_against_model, basis_against_recorded, basis_without_baseline
from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.counts import WasWrong, baseline_errors
from starlight_exporter.cli.console import no_progress, progress_bar
from starlight_exporter.cli.gate_settings import GateSettings
from starlight_exporter.cli.linked_folder import link_folder
from starlight_exporter.cli.measuring import ProgressDisplay, measure, run_request
from starlight_exporter.dataset.rendering import thumbnail
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.shared import SHARED
from starlight_exporter.errors import DatasetError, ImageError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.inputs import load_detector
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.request import BaselineModel
from starlight_exporter.evaluation.results import Evaluation, Prediction, RunResult


@dataclass(frozen=True, slots=True)
class GateEvaluation:
    """Results of the new model, what they are checked against, and where the images are.

    `baseline` is the evaluation of the baseline model, `was_wrong` are its errors; both are None without one.
    """

    evaluation: Evaluation
    predictions: Sequence[Prediction]
    basis: CheckBasis
    baseline: Evaluation | None
    was_wrong: WasWrong | None
    warnings: tuple[str, ...]
    dataset: DatasetRoot
    negatives: Path | None
    max_file_bytes: int

    def thumbnails(self, predictions: Iterable[Prediction]) -> dict[str, bytes]:
        """Return path → PNG of the images that can still be read and decoded."""
        found = {}
        for one in predictions:
            root, path = self._place(one.path)
            try:
                data = SHARED.read_evaluated(root, path, one.sha256, max_bytes=self.max_file_bytes)
                found[one.path] = thumbnail(data)
            except ImageError:
                # The page states that the image has no thumbnail.
                continue
        return found

    def _place(self, path: str) -> tuple[DatasetRoot, str]:
        """Return the dataset that contains an image, and its path in it."""
        prefix = f"{self.negatives}/negatives/"
        if self.negatives is not None and path.startswith(prefix):
            return self.negatives, path.removeprefix(prefix)
        return self.dataset, path


def require_inputs(options: argparse.Namespace, settings: GateSettings) -> None:
    """Raise ModelError or DatasetError for a folder or model that cannot be used, before anything is evaluated."""
    if isinstance(options.dataset, Path):
        _require_folder(options.dataset, "no such folder")
    if options.negatives is not None:
        _require_folder(options.negatives, "no such folder of negatives")
    load_detector(run_request(_of_model(options, settings)))
    if settings.baseline_model is not None:
        load_detector(run_request(_of_baseline(options, settings, settings.baseline_model)))


def evaluate_both(options: argparse.Namespace, settings: GateSettings) -> GateEvaluation:
    """Evaluate the model, timed together with the baseline model if there is one, then the baseline model."""
    show = no_progress if options.quiet else progress_bar
    result = _evaluate(_of_model(options, settings), show, settings.baseline_model)
    evaluation, predictions = result.evaluation, result.predictions
    baseline: RunResult | None = None
    if settings.baseline_model is not None:
        baseline = _evaluate(_of_baseline(options, settings, settings.baseline_model), show)
        basis = basis_against_model(evaluation, predictions, baseline.evaluation, baseline.predictions)
    elif settings.recorded is not None:
        basis = basis_against_recorded(evaluation, predictions, settings.recorded)
    else:
        basis = basis_without_baseline(evaluation, predictions)
    comparable = baseline is not None and basis.baseline is not None and basis.baseline.obstacle is None
    return GateEvaluation(
        evaluation=evaluation,
        predictions=predictions,
        basis=basis,
        baseline=None if baseline is None else baseline.evaluation,
        was_wrong=baseline_errors(predictions, baseline.predictions) if baseline is not None and comparable else None,
        warnings=(*result.warnings, *(() if baseline is None else baseline.warnings)),
        dataset=options.dataset,
        negatives=options.negatives,
        max_file_bytes=settings.image_limits.max_file_bytes,
    )


def with_negatives(options: argparse.Namespace, first: RunResult, *, show: ProgressDisplay = progress_bar) -> RunResult:
    """Return the result extended by a second folder of negatives; duplicate images count once."""
    with tempfile.TemporaryDirectory(prefix="starlight-negatives-") as root:
        link_folder(options.negatives, Path(root) / "negatives")
        settings = argparse.Namespace(**{**vars(options), "dataset": Path(root), "latency_sample": 0})
        more = measure(settings, expected_sha256=first.evaluation.provenance.model_sha256, show=show)
    if not more.evaluation.negatives:
        raise DatasetError(f"{options.negatives}: expected images in folders named after their category")
    known = {(one.category, one.sha256) for one in first.predictions if one.file_class == "negative" and one.sha256}
    # Files of both folders may have the same relative path, but are different images with covers of their own.
    added = (replace(one, path=f"{options.negatives}/{one.path}") for one in more.predictions)
    predictions = PredictionTable.of(
        chain(first.predictions, (one for one in added if (one.category, one.sha256) not in known))
    )
    counts = accuracy(predictions)
    evaluation = replace(
        first.evaluation, images=len(predictions), negatives=counts.negatives, not_measured=counts.not_measured
    )
    return replace(first, evaluation=evaluation, predictions=predictions)


def _require_folder(path: Path, problem: str) -> None:
    try:
        found = path.is_dir()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not found:
        raise DatasetError(f"{path}: {problem}")


def _evaluate(options: argparse.Namespace, show: ProgressDisplay, baseline: BaselineModel | None = None) -> RunResult:
    result = measure(options, baseline=baseline, show=show)
    return result if options.negatives is None else with_negatives(options, result, show=show)


def _of_model(options: argparse.Namespace, settings: GateSettings) -> argparse.Namespace:
    timed = {} if settings.timed else {"latency_sample": 0}
    chosen = {
        "decision": settings.decision,
        "image_limits": settings.image_limits,
        "providers": [*settings.providers],
    }
    return argparse.Namespace(**{**vars(options), **chosen, **timed})


def _of_baseline(options: argparse.Namespace, settings: GateSettings, baseline: BaselineModel) -> argparse.Namespace:
    chosen = {
        "image_limits": settings.image_limits,
        "model": baseline.path,
        "decision": baseline.decision,
        "role": "baseline",
        "training_log": None,
        "providers": [*settings.providers],
        "latency_sample": 0,
    }
    return argparse.Namespace(**{**vars(options), **chosen})
