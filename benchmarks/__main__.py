#!/usr/bin/env python3
"""Run a benchmark, write results.json, and generate README.md and the plot from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import latency_significance, rates, report, running, single, sizes
from benchmarks.data import make
from benchmarks.original import write_original

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmark", choices=[*_BENCHMARKS, "report"])
    parser.add_argument("--model", choices=("v4", "original"), default="v4")
    parser.add_argument("--kind", choices=("distinct", "shared", "tailed"), default="distinct")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "data" / "benchmarks", help="folder for generated datasets"
    )
    options = parser.parse_args()
    if options.benchmark != "report":
        root = make(options.kind, options.images, options.folder)
        _BENCHMARKS[options.benchmark](options, _model(options.model, options.folder), root)
    report.write()
    return 0


def _model(name: str, folder: Path) -> Path:
    if name == "v4":
        return ROOT / "models" / "v4" / "model.onnx"
    path = folder / "original.onnx"
    if not path.exists():
        write_original(path)
    return path


_BENCHMARKS: dict[str, Callable[[argparse.Namespace, Path, Path], None]] = {
    "rates": lambda options, model, root: rates.measure(options.model, model, root, runs=options.runs),
    "single": lambda options, model, root: single.measure(options.model, model, root),
    "sizes": lambda options, model, root: sizes.measure(options.model, model, root),
    "running": lambda options, model, root: running.measure(options.model, model, root, runs=options.runs),
    "latency_significance": lambda options, model, root: latency_significance.measure(
        options.model, model, root, runs=options.runs
    ),
}

if __name__ == "__main__":
    sys.exit(main())
