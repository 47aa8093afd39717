"""Time from the replacement of a model to its values and its notification, by number of images.

    python -m benchmarks.time_to_metrics --images 1000 10000 100000 1000000 --swaps 2

Start scripts/up with the shipped intervals on free ports, with v4 as production model. Deploy v3, which detects almost
no palette images of these datasets, and wait for its first values and for the notification of a critical alert; deploy
v4 again, and wait for the notification that all critical alerts are resolved; and so on. Large datasets are still being
evaluated when the model is replaced. Results are added to time_to_metrics.json, and the page is written.
Each copy has a hash of its own.

Up to 100,000 images, datasets larger than 2,004 are hard links to that many files in folders of 1,000. More are tar
shards, hard links to three shards of the same 2,004 files, with a label manifest.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import onnx

from benchmarks import results
from benchmarks.data import make
from benchmarks.native_stack import PRODUCTION, NativeStack, swap, wait
from starlight_exporter.dataset.sources.packing import MANIFEST, pack
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.files import write_text
from support.processes import PeakMemory

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = Path(__file__).with_suffix(".json")
PAGE: Final = Path(__file__).with_suffix(".md")
GOOD: Final = ROOT / "models" / "v4" / "model.onnx"
WORSE: Final = ROOT / "models" / "v3" / "model.onnx"
DISTINCT: Final = 2_004
"""Images that are generated: 334 covers with five stego files each."""
FOLDER_FILES: Final = 1_000
LARGEST_FOLDER: Final = 100_000
REQUIRED: Final = {"value": 60, "notification": 90, "resolved": 120}
"""Seconds; see docs/requirements.md."""
_TIMEOUT: Final = 1800.0
_COMPLETED_AT: Final = 'starlight_evaluation_timestamp_seconds{model="production"}'


class Times(NamedTuple):
    """Seconds from the replacement of a model to the state; the last two from that of the worse by the good one."""

    value: float
    notification: float
    rollback_value: float
    resolved: float


def main(words: Sequence[str] | None = None) -> int:
    """Measure every size of the command line, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[])
    parser.add_argument("--swaps", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "benchmarks")
    options = parser.parse_args(words)
    for images in options.images:
        results.record(str(images), measure(images, options.swaps, options.folder), FILE)
    write_text(PAGE, "\n".join(_page(results.load(FILE))) + "\n")
    return 0


def measure(images: int, swaps: int, sources: Path) -> dict[str, Any]:
    """Return the seconds to values and notifications after each replacement, and the memory of the exporter."""
    distinct = make("shared", min(images, DISTINCT), sources)
    # Next to the sources: hard links do not cross file systems.
    folder = Path(tempfile.mkdtemp(prefix="time-to-metrics-", dir=sources))
    try:
        root = folder / "images"
        (link_files if images <= LARGEST_FOLDER else link_shards)(distinct, root, images)
        production = folder / "production.onnx"
        shutil.copy(GOOD, production)
        log = folder / "data" / "notifications.jsonl"
        started = time.time()
        with NativeStack(folder / "data", root, production) as stack, PeakMemory(stack.exporter_pid()) as memory:
            first = time.time() - started
            times = []
            for number in range(swaps):
                times.append(_swap(stack, production, log))
                print(f"{images} images, swap {number + 1}: {times[-1]}", flush=True)
            good_at = production.stat().st_ctime
            deployed = model_sha256(production)[:12]
            wait(lambda: deployed in stack.hashes(PRODUCTION), "complete result", _TIMEOUT)
            complete = float(stack.query(_COMPLETED_AT)[0]["value"][1]) - good_at
        return {
            "images": images,
            "first": first,
            **{name: [row[place] for row in times] for place, name in enumerate(Times._fields)},
            "complete": complete,
            "service_megabytes": memory.service / 1e6,
            "worker_megabytes": memory.worker / 1e6,
        }
    finally:
        shutil.rmtree(folder)


def _swap(stack: NativeStack, production: Path, log: Path) -> Times:
    """Deploy the worse model, then the good one."""
    worse_at = deploy(WORSE, production)
    value = wait(partial(_has_values, stack, production), "values of the worse model", _TIMEOUT)
    notified = wait(partial(critical_alerts, log, worse_at), "notification", _TIMEOUT)
    good_at = deploy(GOOD, production)
    good_value = wait(partial(_has_values, stack, production), "values of the good model", _TIMEOUT)
    resolved = wait(partial(all_resolved, log, worse_at), "resolved notification", _TIMEOUT)
    return Times(value - worse_at, notified - worse_at, good_value - good_at, resolved - good_at)


def deploy(source: Path, production: Path) -> float:
    """Replace the production model by a copy with a hash of its own; return the time of the rename."""
    content = onnx.load(str(source))
    content.doc_string = f"deployed at {time.time()}"
    staged = production.with_suffix(".copy")
    onnx.save_model(content, str(staged))
    return swap(staged, production)


def _has_values(stack: NativeStack, production: Path) -> bool:
    return model_sha256(production)[:12] in stack.hashes()


def critical_alerts(log: Path, since: float) -> frozenset[str]:
    """Return the critical alerts about rates of the production model since then, as JSON of their labels."""
    return frozenset(_labels(alert) for alert in _alerts(log, since) if alert["status"] == "firing")


def all_resolved(log: Path, since: float) -> bool:
    """Return whether each of them was reported as resolved."""
    resolved = {_labels(alert) for alert in _alerts(log, since) if alert["status"] == "resolved"}
    return critical_alerts(log, since) <= resolved


def _alerts(log: Path, since: float) -> list[dict[str, Any]]:
    """Return the delivered alerts, without those about latency, which depend on the speed of the machine."""
    notifications = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [
        alert
        for notification in notifications
        for alert in notification["alerts"]
        if alert["labels"]["severity"] == "critical"
        and alert["labels"].get("model") == "production"
        and not alert["labels"]["alertname"].startswith(("StarlightLatency", "StarlightRegressionSuite"))
        and datetime.fromisoformat(alert["starts_at"]).timestamp() >= since
    ]


def _labels(alert: dict[str, Any]) -> str:
    return json.dumps(alert["labels"], sort_keys=True)


def link_files(source: Path, root: Path, images: int) -> None:
    """Link the files of a dataset again and again, until there are this many."""
    found = (file for folder in ("clean", "stego") for file in (source / folder).rglob("*.*"))
    files = [file for file in sorted(found) if file.suffix != ".json"]
    for number in range(images):
        file = files[number % len(files)]
        folder = root / file.parent.relative_to(source) / f"{number // FOLDER_FILES:04}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(file, folder / f"{number:07}_{file.name}")


def link_shards(source: Path, root: Path, images: int) -> None:
    """Write shards of the dataset, and link them again and again until a manifest lists this many files."""
    packed = root.with_name("packed")
    pack(source, packed, "tar")
    root.mkdir()
    with (packed / MANIFEST).open(newline="") as listed, (root / MANIFEST).open("w", newline="") as written:
        rows = list(csv.DictReader(listed))
        writer = csv.DictWriter(written, rows[0])
        writer.writeheader()
        for number in range(images):
            copy, row = number // len(rows), rows[number % len(rows)]
            named = {"shard": f"{copy:04}-{row['shard']}", "path": f"{copy:04}/{row['path']}"}
            # A cover is a path of the manifest.
            cover = f"{copy:04}/{row['cover']}" if row["cover"] else ""
            writer.writerow(row | named | {"cover": cover})
            if not (root / named["shard"]).exists():
                os.link(packed / row["shard"], root / named["shard"])


def _page(stored: dict[str, Any]) -> list[str]:
    rows = sorted(stored.values(), key=lambda row: int(row["images"]))
    loads = [row["machine"]["load"] for row in rows]
    required = f"{REQUIRED['value']} | {REQUIRED['notification']} | {REQUIRED['value']} | {REQUIRED['resolved']}"
    return [
        "# Time to metrics",
        "",
        "Generated from [time_to_metrics.json](time_to_metrics.json) by `python -m benchmarks.time_to_metrics`: the"
        " stack of `scripts/up --native` with the shipped intervals (file check 2 s, settle time 3 s, scrape 15 s,"
        " rules 15 s, `group_wait` 20 s). Seconds from the rename of the model file; median and range of the"
        " replacements. The worse model is v3, which detects almost none of the palette images. Its alerts are critical"
        " by the paired test against the baseline model.",
        "",
        "| images | worse model: values in Prometheus | notification delivered | good model: values in Prometheus"
        " | resolved delivered | complete result of the good model |",
        "|---|---|---|---|---|---|",
        f"| required | {required} | |",
        *(
            f"| {row['images']:,} | "
            + " | ".join(results.text(row[name]) for name in Times._fields)
            + f" | {row['complete']:.0f} |"
            for row in rows
        ),
        "",
        f"Up to {LARGEST_FOLDER:,} images, datasets larger than {DISTINCT:,} are hard links to that many files; more"
        f" are tar shards of the same {DISTINCT:,} files, linked {1_000_000 // DISTINCT} times, with a label manifest."
        " The values of datasets larger than a sample are provisional. The cache has the decoded images, except at the"
        " start:",
        "",
        "| images | start: first values | service, MB | worker, MB |",
        "|---|---|---|---|",
        *(
            f"| {row['images']:,} | {row['first']:.0f}"
            f" | {row['service_megabytes']:.0f} | {row['worker_megabytes']:.0f} |"
            for row in rows
        ),
        "",
        f"MB are the peak of private memory. Load average {min(loads)} to {max(loads)} at the end of the measurements.",
    ]


if __name__ == "__main__":
    sys.exit(main())
