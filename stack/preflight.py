"""Check the model and the dataset of the command line before anything is started."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from rich.console import Console

from starlight_exporter.config import load_config
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.errors import DatasetError, ModelError

CHECK_SECONDS: Final = 12.0
"""Time for both checks. What takes longer is started unchecked: large models and slow disks are valid."""


def check_inputs(*, model: Path | None, dataset: Path | None, config: Path, console: Console) -> None:
    """Load the model and look at the dataset in a worker process; print what is found, and warnings.

    Raise ModelError or DatasetError if one cannot be used, and ConfigError if the configuration cannot.
    """
    from starlight_exporter.evaluation.preflight import check_dataset, check_model
    from starlight_exporter.runs.process import WorkerCrashedError, WorkerProcess

    if model is None and dataset is None:
        return
    rule = _production_rule(config)
    worker = WorkerProcess()
    deadline = time.monotonic() + CHECK_SECONDS
    try:
        for path, check in ((model, (check_model, model, rule)), (dataset, (check_dataset, dataset))):
            if path is None:
                continue
            try:
                worker.submit(*check)
                if not worker.wait(max(0.0, deadline - time.monotonic())):
                    console.print(f"{path}: not checked: takes more than {CHECK_SECONDS:g} s", highlight=False)
                    worker.kill()
                    continue
                lines = worker.receive()
            except WorkerCrashedError as error:
                if path == model:
                    raise ModelError(f"{path}: cannot be loaded: {error}", reason="limits") from error
                raise DatasetError(f"{path}: cannot be read: {error}") from error
            assert isinstance(lines, tuple)
            for line in lines:
                console.print(line, highlight=False, markup=False)
    finally:
        worker.kill()


def _production_rule(config: Path) -> DecisionRule:
    """Return the decision rule of the production model, whose file is replaced by that of the command line."""
    models = load_config(config).models
    chosen = next((model for model in models if model.role == "production"), models[0])
    return chosen.decision.rule()
