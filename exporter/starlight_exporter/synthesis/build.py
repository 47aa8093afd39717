"""Generate a full dataset in worker processes. The folder appears only when it is complete."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from starlight_exporter.dataset import layout
from starlight_exporter.dataset.generator import MANIFEST
from starlight_exporter.errors import DatasetError
from starlight_exporter.process_isolation import end_with_parent
from starlight_exporter.synthesis.recipe import Recipe

GENERATOR_VERSION = 3
"""Increases whenever the same seed would give different files."""

_CHUNK = 16
"""Images per chunk of a worker, about."""

Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


def synthesise(out: Path, recipe: Recipe, *, workers: int | None = None, progress: Progress = no_progress) -> bool:
    """Generate a dataset in `out`. The same recipe gives the same bytes, regardless of the number of workers.

    Return True if it was generated, False if `out` already contains exactly this dataset. `progress` is called with the
    number of finished images and of all images. Raise DatasetError if `out` contains anything else or cannot be
    written, or if the covers cannot be used.
    """
    if workers is not None and workers < 1:
        raise DatasetError(f"workers must be at least 1: {workers}")
    parameters: dict[str, object] = {"generator": GENERATOR_VERSION, **recipe.parameters}
    if _is_complete(out, parameters):
        return False
    try:
        _generate(out, recipe, parameters, os.cpu_count() or 1 if workers is None else workers, progress)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written: {error.strerror or error}") from error
    except BrokenProcessPool as error:
        raise DatasetError(f"{out}: a worker process ended while the dataset was generated") from error
    return True


def _is_complete(out: Path, parameters: dict[str, object]) -> bool:
    """Return whether `out` contains exactly this dataset; raise DatasetError if it contains anything else."""
    try:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
        if not out.is_dir():
            raise DatasetError(f"{out}: is a file, not a folder")
        text = (out / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DatasetError(f"{out}: is not empty and contains no generated dataset; choose another folder") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{out}: cannot be read: {error}") from error
    try:
        manifest = json.loads(text)
        actual, fingerprint = manifest["parameters"], manifest["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{out / MANIFEST}: is not the manifest of a generated dataset; choose another folder"
        ) from error
    if actual != parameters:
        raise DatasetError(
            f"{out}: contains a dataset generated with other parameters; remove it or choose another folder"
        )
    if layout.scan(out.name, out).fingerprint != fingerprint:
        raise DatasetError(f"{out}: its files have changed since it was generated; remove it or choose another folder")
    return True


def _generate(out: Path, recipe: Recipe, parameters: dict[str, object], workers: int, progress: Progress) -> None:
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    # A sibling folder is on the same file system, so it can be renamed to `out`.
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".unfinished", dir=out.parent))
    try:
        for folder in recipe.folders:
            (staging / folder).mkdir(parents=True)
        _run(recipe, staging, workers, progress)
        fingerprint = layout.scan(out.name, staging).fingerprint
        manifest = {"parameters": parameters, "fingerprint": fingerprint}
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        staging.chmod(0o755)
        _move_into_place(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move_into_place(staging: Path, out: Path) -> None:
    try:
        staging.replace(out)
    except OSError:
        # An existing folder that cannot be replaced, such as a mount point: move the content, the manifest last.
        for child in sorted(staging.iterdir(), key=lambda path: path.name == MANIFEST):
            shutil.move(child, out / child.name)


def _run(recipe: Recipe, staging: Path, workers: int, progress: Progress) -> None:
    sizes = recipe.sizes
    # Tasks of one chunk are far apart, so that tasks that take long are in different chunks.
    count = max(1, sum(sizes) // _CHUNK)
    chunks = [tuple(range(first, len(sizes), count)) for first in range(min(count, len(sizes)))]
    done, total = 0, sum(sizes)
    progress(done, total)
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            done += _write_chunk(recipe, chunk, staging)
            progress(done, total)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=_start_worker) as pool:
        futures: list[Future[int]] = [pool.submit(_write_chunk, recipe, chunk, staging) for chunk in chunks]
        try:
            for future in as_completed(futures):
                done += future.result()
                progress(done, total)
        finally:
            for future in futures:
                future.cancel()


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal, but only the parent cleans up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A killed parent cannot stop its workers.
        end_with_parent(parent.sentinel)


def _write_chunk(recipe: Recipe, chunk: tuple[int, ...], staging: Path) -> int:
    for task in chunk:
        recipe.write(task, staging)
    return sum(recipe.sizes[task] for task in chunk)
