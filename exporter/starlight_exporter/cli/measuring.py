"""Evaluate one model on one dataset in this process, as the command line requests it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from starlight_exporter.cli.arguments import providers_of
from starlight_exporter.cli.console import progress_bar
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.sources.root import DatasetRoot, root_name
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import BaselineModel, RunLimits, RunRequest, available_cores
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.models.names import model_name

ProgressDisplay = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of the run with this title; the context yields the callback."""


def measure(
    options: argparse.Namespace,
    *,
    expected_sha256: str | None = None,
    baseline: BaselineModel | None = None,
    show: ProgressDisplay = progress_bar,
) -> RunResult:
    """Evaluate and show progress. Raises StarlightError.

    With `expected_sha256`, a model file with other contents is rejected; a `baseline` is timed together with the model.
    """
    request = run_request(options, expected_sha256=expected_sha256, baseline=baseline)
    with show(f"{request.model} on {request.dataset}") as progress:
        return evaluate(request, progress=progress)


def run_request(
    options: argparse.Namespace,
    *,
    expected_sha256: str | None = None,
    baseline: BaselineModel | None = None,
) -> RunRequest:
    """Return the request of a run that the flags of `add_run_arguments` select.

    `options.image_limits` are the limits per image, the defaults if it is missing.
    """
    return replace(
        research_request(options, options.model, options.dataset, options.decision),
        role=options.role,
        training_log=options.training_log,
        models_dir=options.models_dir,
        limits=getattr(options, "image_limits", RunLimits()),
        latency_sample=options.latency_sample,
        expected_sha256=expected_sha256,
        baseline=baseline,
        cache=None if options.cache is None else CacheSettings(options.cache),
        engine=options.engine,
    )


def research_request(
    options: argparse.Namespace, model: Path, dataset: DatasetRoot, decision: DecisionRule
) -> RunRequest:
    """Return the request of a run without latencies, with the seed, threads and providers of the flags."""
    return RunRequest(
        model=model_name(model),
        role="research",
        model_path=model,
        decision=decision,
        dataset=root_name(dataset),
        dataset_root=dataset,
        trigger="command",
        latency_sample=0,
        seed=options.seed,
        threads=options.threads or available_cores(),
        providers=providers_of(options),
    )
