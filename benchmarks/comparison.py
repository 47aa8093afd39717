"""Duration of a comparison of stored predictions."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from benchmarks import results
from starlight_exporter.analysis.comparison import compare
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.publish.evidence import Evidence


def measure(name: str, model: Path, root: Path, *, runs: int) -> None:
    """Measure reading and comparing two stored evaluations, in seconds."""
    result = evaluate(
        RunRequest(
            model="before",
            role="research",
            model_path=model,
            decision=PRODUCTION,
            dataset=root.name,
            dataset_root=root,
            trigger="benchmark",
            latency_sample=0,
        )
    )
    flipped = [
        replace(entry, verdict=not entry.verdict) if index % 50 == 0 and entry.verdict is not None else entry
        for index, entry in enumerate(result.predictions)
    ]
    seconds = []
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as folder:
        evidence = Evidence(Path(folder))
        other = replace(result.evaluation, id=f"{result.evaluation.id}-2", model="after")
        evidence.store(result.evaluation, result.predictions)
        evidence.store(other, flipped)
        for _ in range(runs):
            start = perf_counter()
            stored = [evidence.find(entry.id) for entry in (result.evaluation, other)]
            (before, before_rows), (after, after_rows) = (
                (evidence.evaluation(entry), evidence.predictions(entry)) for entry in stored if entry is not None
            )
            compare(before, before_rows, after, after_rows, against="before")
            seconds.append(perf_counter() - start)
    results.record(f"comparison {name} {root.name}", {"images": len(flipped), "seconds": seconds})
