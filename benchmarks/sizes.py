"""Full evaluations of datasets of increasing size, each in a new process: time, rate and memory, cold and warm."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import results
from support.processes import PeakMemory

_EVALUATE = """
import sys
from pathlib import Path
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.run import evaluate
model, root, cache = map(Path, sys.argv[1:])
result = evaluate(RunRequest(model="m", role="research", model_path=model, decision=PRODUCTION, dataset="d",
    dataset_root=root, trigger="benchmark", latency_sample=0, cache=CacheSettings(cache, 64 * 1024**3)))
print(result.evaluation.images_per_second)
"""


def measure(name: str, model: Path, root: Path) -> None:
    """Run one cold and one warm evaluation and record both."""
    folder = Path(tempfile.mkdtemp(prefix="starlight-bench-"))
    try:
        values: dict[str, Any] = {state: _evaluate(model, root, folder) for state in ("cold", "warm")}
        values["cache_megabytes"] = sum(path.stat().st_size for path in folder.rglob("*.*")) / 1e6
        results.record(f"size {name} {root.name}", values)
    finally:
        shutil.rmtree(folder)


def _evaluate(model: Path, root: Path, cache: Path) -> dict[str, float]:
    start = perf_counter()
    command = [sys.executable, "-c", _EVALUATE, str(model), str(root), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, PeakMemory(process.pid) as memory:
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"evaluation of {root} failed")
    found = {
        "seconds": perf_counter() - start,
        "images_per_second": float(output),
        "own_megabytes": memory.service / 1e6,
    }
    print(root.name, found, flush=True)
    return found
