"""Ten seeds of the reference dataset: the shipped model against itself must pass every check against the baseline."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from starlight_exporter.checks.basis import basis_against_model
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.request import BaselineModel, RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.synthesis.build import synthesise
from starlight_exporter.synthesis.reference import ReferenceRecipe

CLEAN: Final = 1000
STEGO: Final = 800
NEGATIVES: Final = 200
MODEL: Final = Path("models", "production", "model.onnx")


def measure(root: Path, *, seeds: int) -> list[dict[str, Any]]:
    """Evaluate the model with itself as baseline on `seeds` generated datasets; return results by seed."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="starlight-seeds-") as folder:
            images = Path(folder, "reference")
            synthesise(images, ReferenceRecipe(seed, CLEAN, STEGO, NEGATIVES))
            request = RunRequest(
                model="production",
                role="production",
                model_path=root / MODEL,
                decision=PRODUCTION,
                dataset="reference",
                dataset_root=images,
                trigger="benchmark",
                baseline=BaselineModel(root / MODEL, PRODUCTION),
            )
            result = evaluate(request)
            baseline = evaluate(replace(request, model="baseline", role="baseline", latency_sample=0, baseline=None))
        basis = basis_against_model(result.evaluation, result.predictions, baseline.evaluation, baseline.predictions)
        checks = run_checks(result.evaluation, basis)
        failed = [f"{one.name} {one.slice}".strip() for one in checks if one.passed is False]
        ratio = result.evaluation.latency_ratio
        found.append(
            {
                "seed": seed,
                "conclusions": dict(Counter(one.conclusion for one in checks)),
                "failed": failed,
                "failed_against_baseline": [name for name in failed if "baseline" in name or "stability" in name],
                "significant": sum(one.significant is True for one in checks),
                "latency_ratio": None if ratio is None else ratio.value,
                "contention": None if ratio is None else ratio.contention,
            }
        )
        print(found[-1], flush=True)
    return found
