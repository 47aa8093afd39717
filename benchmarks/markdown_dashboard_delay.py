"""Delay from a model change to the new hash in the markdown dashboard, with the shipped intervals of the stack.

    python -m benchmarks.markdown_dashboard_delay --dataset datasets/reference --model models/v4/model.onnx \\
        --other models/v3/model.onnx --swaps 2

Start scripts/up on free ports with the dataset and a copy of the model, replace the model, wait until the production
row of the markdown dashboard has its hash, swap back, and so on. Print a Markdown table.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.native_stack import NativeStack, machine, swap, swap_options, wait
from starlight_exporter.detector.model_file import model_sha256

QUIET_SECONDS = 37.0
"""Pause between swaps. Not a multiple of any interval of the stack, so that the phases differ."""

BUSY = "starlight_evaluations_queued > 0 or starlight_evaluation_in_progress > 0"


class Row(NamedTuple):
    """One swap: new hash, and seconds from the rename to its result in Prometheus and in the document."""

    sha256: str
    value: float
    document: float


def main() -> None:
    """Run the benchmark and print the table."""
    options = swap_options(__doc__, "model", "other", swaps=2)
    with tempfile.TemporaryDirectory(prefix="starlight-delay-") as name:
        rows = measure(Path(name), options)
    print(f"{machine()}\n")
    print("| Swap | New model | New value in Prometheus | In the document |")
    print("|---|---|---:|---:|")
    for number, row in enumerate(rows, 1):
        print(f"| {number} | `{row.sha256}` | {row.value:.0f} s | {row.document:.0f} s |")
    value, document = (statistics.median(column) for column in zip(*(row[1:] for row in rows), strict=True))
    print(f"| median | | {value:.0f} s | {document:.0f} s |")


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Swap the models alternately; return one row per swap."""
    model, document = folder / "model.onnx", folder / "data" / "documents" / "performance_dashboard.md"
    shutil.copy(options.model, model)
    rows = []
    with NativeStack(folder / "data", options.dataset, model) as stack:
        wait(lambda: shown(document, short_hash(options.model)), "first document", 300)
        for number in range(options.swaps):
            # Discovered research models are evaluated once at the start; a swap would wait for the active run.
            wait(lambda: not stack.query(BUSY), "no active run", 900)
            time.sleep(QUIET_SECONDS)
            source = options.model if number % 2 else options.other
            sha256 = short_hash(source)
            renamed_at = swap(source, model)
            value = wait(lambda: sha256 in stack.hashes(), "new value", 300)  # noqa: B023  # called at once
            written = wait(lambda: shown(document, sha256), "new hash in the document", 300)  # noqa: B023
            rows.append(Row(sha256, value - renamed_at, written - renamed_at))
    return rows


def shown(document: Path, sha256: str) -> bool:
    """Return whether the table row of the production model has this hash."""
    try:
        lines = document.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return any(line.startswith("|") and "`production`" in line and f"`{sha256}`" in line for line in lines)


def short_hash(file: Path) -> str:
    """Return the first 12 digits of the SHA-256, as used in metrics and documents."""
    return model_sha256(file)[:12]


if __name__ == "__main__":
    main()
