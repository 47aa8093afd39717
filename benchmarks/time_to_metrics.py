"""Time from the replacement of a model to its first values in Prometheus, by number of images.

    python -m benchmarks.time_to_metrics --images 1000 10000 100000 1000000 --replacements 2

Large datasets are hard links to about 2,000 images, in folders of 1,000 files. The exporter has the shipped intervals,
v4 as production model and v3 as its baseline; Prometheus scrapes every 15 s. The production model is replaced once its
first values are in Prometheus: with provisional values, while the complete dataset is evaluated. Results are added to
time_to_metrics.json, and the page is written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import onnx
import psutil
import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
# The benchmark starts servers with the test support modules.
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import results  # noqa: E402
from benchmarks.data import make  # noqa: E402
from starlight_exporter.detector.decision import PRODUCTION_THRESHOLDS  # noqa: E402
from starlight_exporter.detector.model_file import model_sha256  # noqa: E402
from starlight_exporter.files import write_text  # noqa: E402
from support.exporter import Exporter  # noqa: E402
from support.servers import Prometheus  # noqa: E402
from support.waiting import wait_until  # noqa: E402

FILE: Final = Path(__file__).with_suffix(".json")
PAGE: Final = Path(__file__).with_suffix(".md")
DISTINCT: Final = 2_004
"""Images that are generated: 334 covers with five stego files each."""
FOLDER_FILES: Final = 1_000
SCRAPE_SECONDS: Final = 15
REQUIRED_SECONDS: Final = 60
_TIMEOUT: Final = 1800.0


def main(words: Sequence[str] | None = None) -> int:
    """Measure every size of the command line, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_metrics", description=__doc__)
    parser.add_argument("--images", type=int, nargs="*", default=[])
    parser.add_argument("--replacements", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "benchmarks")
    options = parser.parse_args(words)
    for images in options.images:
        results.record(str(images), measure(images, options.replacements, options.folder), FILE)
    write_text(PAGE, "\n".join(_page(results.load(FILE))) + "\n")
    return 0


def measure(images: int, replacements: int, sources: Path) -> dict[str, Any]:
    """Return the seconds to the first values after the start and after each replacement, and of which kind they are."""
    distinct = make("shared", min(images, DISTINCT), sources)
    # Next to the sources: hard links do not cross file systems.
    folder = Path(tempfile.mkdtemp(prefix="time-to-metrics-", dir=sources))
    try:
        root = folder / "images"
        written = link_many(distinct, root, images)
        production = folder / "production.onnx"
        shutil.copy(ROOT / "models" / "v4" / "model.onnx", production)
        config, scrapes = folder / "starlight.yml", folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(_configuration(production, root)))
        with Exporter(config) as exporter:
            scrapes.write_text(yaml.safe_dump(_scrape_configuration(exporter.port)))
            with Prometheus(scrapes, folder / "tsdb", log=folder / "prometheus.log") as prometheus:
                started = time.monotonic()
                kind, _ = wait_for_values(prometheus, exporter, production)
                first = time.monotonic() - started
                replaced, processor = [], []
                for number in range(replacements):
                    replace_model(production, number)
                    started = time.monotonic()
                    kind, used = wait_for_values(prometheus, exporter, production)
                    replaced.append(time.monotonic() - started)
                    processor.append(used)
                    print(f"{images} images: {kind} values in Prometheus after {replaced[-1]:.1f} s", flush=True)
        return {
            "images": written,
            "kind": kind,
            "first_seconds": first,
            "replaced_seconds": replaced,
            "processor_seconds": processor,
        }
    finally:
        shutil.rmtree(folder)


def link_many(source: Path, root: Path, images: int) -> int:
    """Link the files of a dataset again and again, until there are about this many; return their number."""
    found = (file for folder in ("clean", "stego") for file in (source / folder).rglob("*.*"))
    files = [file for file in sorted(found) if file.suffix != ".json"]
    written = 0
    for number, file in _repeated(files, images):
        folder = root / file.parent.relative_to(source) / f"{number // FOLDER_FILES:04}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(file, folder / f"{number:07}_{file.name}")
        written += 1
    return written


def _repeated(files: Sequence[Path], images: int) -> Iterator[tuple[int, Path]]:
    return ((number, files[number % len(files)]) for number in range(images))


def replace_model(production: Path, number: int) -> None:
    """Replace the model atomically by a file with another hash and the same results."""
    content = onnx.load(str(production))
    content.doc_string = f"replacement {number}"
    staged = production.with_suffix(".new")
    onnx.save_model(content, str(staged))
    staged.replace(production)


def wait_for_values(prometheus: Prometheus, exporter: Exporter, production: Path) -> tuple[str, float]:
    """Wait for the values of this model file; return their kind, and CPU seconds of the worker until they were exposed.

    The kind is complete or provisional.
    """
    sha256 = model_sha256(production)[:12]
    names = {"complete": "evaluation_info", "provisional": "provisional_info"}
    matchers = f'{{model="production",model_sha256="{sha256}"}}'
    either = " or ".join(f"starlight_{name}{matchers}" for name in names.values())
    used = 0.0

    def exposed() -> bool:
        nonlocal used
        if any(exporter.value(name, model="production", model_sha256=sha256) for name in names.values()):
            return True
        with suppress(psutil.Error):
            worker = exporter.worker()
            if worker is not None:
                used = sum(worker.cpu_times()[:2])
        return False

    wait_until(exposed, "values", timeout=_TIMEOUT, interval=0.5)
    prometheus.wait_for_value(f"count({either})", timeout=_TIMEOUT)
    complete = prometheus.value(f"starlight_{names['complete']}{matchers}")
    return ("provisional" if complete is None else "complete"), used


def _configuration(production: Path, root: Path) -> dict[str, Any]:
    decision = {"thresholds": dict(PRODUCTION_THRESHOLDS)}
    baseline = ROOT / "models" / "v3" / "model.onnx"
    return {
        "models": [
            {"name": "production", "file": str(production), "role": "production", "decision": decision},
            {"name": "v3", "file": str(baseline), "role": "baseline", "decision": decision},
        ],
        "datasets": [{"name": "measured", "path": str(root)}],
        "schedule": {"interval": "1d"},
    }


def _scrape_configuration(port: int) -> dict[str, Any]:
    job = {"job_name": "starlight", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    return {"global": {"scrape_interval": f"{SCRAPE_SECONDS}s"}, "scrape_configs": [job]}


def _page(stored: dict[str, Any]) -> list[str]:
    rows = sorted(stored.values(), key=lambda row: int(row["images"]))
    return [
        "# Time to metrics",
        "",
        "Generated from [time_to_metrics.json](time_to_metrics.json) by `python -m benchmarks.time_to_metrics`. Seconds"
        " from the replacement of the production model file to its first values in Prometheus, which scrapes every"
        f" {SCRAPE_SECONDS} s; the exporter has the shipped intervals (file check 2 s, settle time 3 s). More than"
        f" {DISTINCT:,} images are hard links to {DISTINCT:,} files. Required: at most {REQUIRED_SECONDS} s.",
        "",
        "| images | first values | replaced model: seconds | CPU seconds of the worker | after the start | load |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['images']:,} | {row['kind']} | {results.text(row['replaced_seconds'])}"
            f" | {results.text(row['processor_seconds'])} | {row['first_seconds']:.0f} | {row['machine']['load']:.1f} |"
            for row in rows
        ),
        "",
        "Provisional values are those of a sample of about 2,000 images; the run was stopped before the complete"
        " result. After the start, the cache of decoded images is empty. The machine was busy with other work: its two"
        " cores were shared by about as many processes as the load average states. The CPU seconds of the worker, from"
        " its start to the first values, do not depend on that.",
    ]


if __name__ == "__main__":
    sys.exit(main())
