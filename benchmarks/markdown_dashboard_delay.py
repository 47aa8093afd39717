"""Delay from a model change to the new hash in the markdown dashboard, with the shipped intervals of the stack.

    python -m benchmarks.markdown_dashboard_delay --dataset datasets/reference --model models/v4/model.onnx \\
        --other models/v3/model.onnx --swaps 2

Starts scripts/up on ports of its own with the dataset and a copy of the model, swaps the other one in, waits until the
production row of the markdown dashboard has its hash, swaps back, and so on. Prints a Markdown table.
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
from starlight_exporter.files import file_sha256

QUIET_SECONDS = 37.0
"""Between swaps; no multiple of an interval of the stack, so that they meet its clocks at different times."""

BUSY = "starlight_evaluations_queued > 0 or starlight_evaluation_in_progress > 0"


class Row(NamedTuple):
    """One swap: the hash that came, and seconds from the rename to its result in Prometheus and in the document."""

    sha256: str
    value: float
    document: float


def main() -> None:
    """Measure and print."""
    options = swap_options(__doc__, "model", "other", swaps=2)
    with tempfile.TemporaryDirectory(prefix="starlight-delay-") as name:
        rows = measure(Path(name), options)
    print(f"{machine()}\n")
    print("| swap | new model | new value in Prometheus | in the document |")
    print("|---|---|---:|---:|")
    for number, row in enumerate(rows, 1):
        print(f"| {number} | `{row.sha256}` | {row.value:.0f} s | {row.document:.0f} s |")
    value, document = (statistics.median(column) for column in zip(*(row[1:] for row in rows), strict=True))
    print(f"| median | | {value:.0f} s | {document:.0f} s |")


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """One row per swap, there and back in turn."""
    model, document = folder / "model.onnx", folder / "data" / "documents" / "performance_dashboard.md"
    shutil.copy(options.model, model)
    rows = []
    with NativeStack(folder / "data", options.dataset, model) as stack:
        wait(lambda: shown(document, short_hash(options.model)), "the first document", 300)
        for number in range(options.swaps):
            # Research models that were found are measured first, once: a swap would wait for the run under way.
            wait(lambda: not stack.query(BUSY), "the end of all runs", 900)
            time.sleep(QUIET_SECONDS)
            source = options.model if number % 2 else options.other
            sha256 = short_hash(source)
            began = swap(source, model)
            value = wait(lambda: sha256 in stack.hashes(), "the new value", 300)  # noqa: B023  # called at once
            written = wait(lambda: shown(document, sha256), "the new hash in the document", 300)  # noqa: B023
            rows.append(Row(sha256, value - began, written - began))
    return rows


def shown(document: Path, sha256: str) -> bool:
    """Whether the row of the production model has this hash: a table's row, not the line about a newer file on disk."""
    try:
        lines = document.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return any(line.startswith("|") and "`production`" in line and f"`{sha256}`" in line for line in lines)


def short_hash(file: Path) -> str:
    """The first 12 digits of the SHA-256, as metrics and document show it."""
    return file_sha256(file)[:12]


if __name__ == "__main__":
    main()
