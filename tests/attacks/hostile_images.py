"""Evaluate mutated images, bombs and special files: every file is counted once, within the limits."""

from __future__ import annotations

import csv
import io
import os
import random
import stat
from collections import Counter
from pathlib import Path
from typing import Final

import httpx

from attacks.mutations import SUFFIXES, mutate
from attacks.originals import bombs, originals
from attacks.outcome import Outcome, Requirement, at_most, none_of
from starlight_exporter.detector.contract import METHODS
from support.exporter import Exporter, write_config
from support.images import image_bytes
from support.models import write_random_model
from support.processes import MIB, PeakMemory

SEED: Final = 16
WORKER_MIB: Final = 1536
"""The default of `limits.worker_memory`."""
SERVICE_MIB: Final = 512
IMAGE_SECONDS: Final = 10


def attack(folder: Path, images: int, covers: Path | None = None, *, timeout: float) -> Outcome:
    """Evaluate this number of mutated images, all bombs and special files, with default limits but `image_timeout`."""
    paths = _write(folder / "images", images, covers)
    write_random_model(folder / "models" / "model.onnx")
    config = write_config(
        folder,
        limits={"image_timeout": f"{IMAGE_SECONDS}s", "evaluation_timeout": f"{timeout:.0f}s"},
        latency={"sample": 100},
    )
    with Exporter(config) as exporter, PeakMemory(exporter.process.pid) as peak:
        exporter.wait_until(lambda: exporter.total("evaluations_total") > 0, "the end of a run", timeout=timeout)
        outcomes = {
            dict(labels)["outcome"]: value
            for (name, labels), value in exporter.metrics().items()
            if name == "starlight_evaluations_total" and value
        }
        predictions = _predictions(exporter)
        counted = Counter(row["path"] for row in predictions)
        measured = sum(exporter.total(f"{kind}_images") for kind in ("clean", "stego", "negative"))
        reasons = {
            dict(labels)["reason"]: int(value)
            for (name, labels), value in exporter.metrics().items()
            if name == "starlight_images_not_measured" and value
        }
        seconds = max((float(row["seconds"] or 0) for row in predictions), default=0.0)
        healthy = httpx.get(f"{exporter.url}/-/healthy", timeout=10.0).status_code
    missing = [path for path in paths if counted[path] != 1]
    return Outcome(
        "Mutated images",
        f"{images:,} mutated images, {len(paths) - images:,} bombs and special files",
        (
            Requirement("health check 200 at the end", str(healthy), healthy == 200),
            Requirement("one successful run, none that crashed", _shown(outcomes), outcomes == {"success": 1}),
            none_of("files not counted exactly once", missing),
            none_of("counted paths that are no files", set(counted) - set(paths)),
            Requirement(
                "files = measured + not measured",
                f"{len(paths):,} = {measured:,.0f} + {sum(reasons.values()):,} ({_shown(reasons)})",
                len(paths) == measured + sum(reasons.values()),
            ),
            at_most("one image", seconds, IMAGE_SECONDS + 5, "s"),
            at_most("memory of a worker", peak.worker / MIB, WORKER_MIB, "MiB"),
            at_most("memory of the service", peak.service / MIB, SERVICE_MIB, "MiB"),
        ),
    )


def _shown(counts: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(f"{name} {count:g}" for name, count in sorted(counts.items())) or "none"


def _predictions(exporter: Exporter) -> list[dict[str, str]]:
    evaluations = httpx.get(f"{exporter.url}/evaluations.json", timeout=30.0).json()["evaluations"]
    if not evaluations:
        return []
    text = httpx.get(f"{exporter.url}/evaluations/{evaluations[0]['id']}/predictions.csv", timeout=60.0).text
    return list(csv.DictReader(io.StringIO(text)))


def _write(root: Path, images: int, covers: Path | None) -> list[str]:
    """Write the dataset and return the paths that must be counted."""
    rng = random.Random(SEED)
    sources = originals(covers)
    paths = []

    def write(name: str, data: bytes) -> Path:
        place = rng.choice(("clean", f"stego/{rng.choice(METHODS)}", "negatives/patterns"))
        file = root / place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        paths.append(f"{place}/{name}")
        return file

    for index in range(images):
        write(f"{index:05}.{rng.choice(SUFFIXES)}", mutate(rng, sources))
    for name, data in bombs():
        write(f"bomb-{name}", data)
    # Some images that can be measured, of each class.
    for place in ("clean", "stego/lsb", "negatives/patterns"):
        for index in range(4):
            file = root / place / f"valid-{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image_bytes(index))
            paths.append(f"{place}/{file.name}")
    clean = root / "clean"
    os.truncate(write("sparse.png", image_bytes(0)), 100 * 1024**3)
    os.mkfifo(clean / "pipe.png")
    os.mknod(clean / "socket.png", stat.S_IFSOCK | 0o600)
    (clean / "dangling.png").symlink_to("nowhere.png")
    (clean / "up").symlink_to("..")
    return [*paths, *(f"clean/{name}" for name in ("pipe.png", "socket.png", "dangling.png", "up"))]
