"""Makes a whole dataset: shares files out to workers, and puts the folder in place only when it is complete."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path

from starlight_exporter.dataset import layout
from starlight_exporter.errors import DatasetError
from starlight_exporter.synthesis.files import Job, Recipe, jobs, write_file
from starlight_exporter.synthesis.negatives import CATEGORIES
from starlight_exporter.synthesis.sources import CoverPictures, DrawnPictures, find_covers

GENERATOR_VERSION = 2
"""Goes up whenever the same seed would give other files."""

MANIFEST = "dataset.json"
_CHUNK = 16

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Shows no progress."""


def synthesise(
    out: Path,
    *,
    seed: int,
    clean: int,
    stego: int,
    negatives: int,
    covers: Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> bool:
    """Makes a dataset in `out`; the same arguments give the same bytes, whatever the number of workers.

    True if it was made, False if `out` held exactly this dataset already. `progress` gets files done and files in all.
    Raises DatasetError where `out` holds anything else, cannot be written, or the covers cannot be used.
    """
    _check_counts(seed, clean=clean, stego=stego, negatives=negatives, workers=workers)
    pictures = DrawnPictures() if covers is None else find_covers(covers)
    recipe = Recipe(seed, clean, stego, negatives, pictures)
    parameters: dict[str, object] = {
        "generator": GENERATOR_VERSION,
        "seed": seed,
        "clean": clean,
        "stego": stego,
        "negatives": negatives,
        "covers": pictures.digest if isinstance(pictures, CoverPictures) else None,
    }
    if _already_made(out, parameters):
        return False
    try:
        _make(out, recipe, parameters, os.cpu_count() or 1 if workers is None else workers, progress)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written: {error.strerror or error}") from error
    except BrokenProcessPool as error:
        raise DatasetError(f"{out}: a worker process died while this dataset was made") from error
    return True


def _check_counts(seed: int, *, clean: int, stego: int, negatives: int, workers: int | None) -> None:
    for name, value in (("seed", seed), ("clean", clean), ("stego", stego), ("negatives", negatives)):
        if value < 0:
            raise DatasetError(f"{name} must not be negative: {value}")
    if clean + stego + negatives == 0:
        raise DatasetError("a dataset needs at least one file: clean, stego and negatives are all 0")
    if workers is not None and workers < 1:
        raise DatasetError(f"workers must be at least 1: {workers}")


def _already_made(out: Path, parameters: dict[str, object]) -> bool:
    """Whether `out` holds exactly this dataset; DatasetError if it holds anything else."""
    try:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
        if not out.is_dir():
            raise DatasetError(f"{out}: is a file, not a folder")
        text = (out / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DatasetError(f"{out}: is not empty and holds no dataset made here; choose another folder") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{out}: cannot be read: {error}") from error
    try:
        manifest = json.loads(text)
        made_with, fingerprint = manifest["parameters"], manifest["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{out / MANIFEST}: is not a manifest made here; choose another folder") from error
    if made_with != parameters:
        raise DatasetError(f"{out}: holds a dataset made with other parameters; remove it or choose another folder")
    if layout.scan(out.name, out).fingerprint != fingerprint:
        raise DatasetError(f"{out}: its files have changed since it was made; remove it or choose another folder")
    return True


def _make(out: Path, recipe: Recipe, parameters: dict[str, object], workers: int, progress: Progress) -> None:
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, so that the finished folder can be renamed into place on the same file system.
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".unfinished", dir=out.parent))
    try:
        for folder in ("clean", "stego", *(f"negatives/{category}" for category in CATEGORIES)):
            (draft / folder).mkdir(parents=True)
        _run(recipe, draft, workers, progress)
        fingerprint = layout.scan(out.name, draft).fingerprint
        manifest = {"parameters": parameters, "fingerprint": fingerprint}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        draft.chmod(0o755)
        _put_in_place(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_in_place(draft: Path, out: Path) -> None:
    try:
        draft.replace(out)
    except OSError:
        # An empty folder that cannot be replaced, such as a mounted volume: move in what it is to hold, manifest last.
        for child in sorted(draft.iterdir(), key=lambda path: path.name == MANIFEST):
            shutil.move(child, out / child.name)


def _run(recipe: Recipe, draft: Path, workers: int, progress: Progress) -> None:
    todo = jobs(recipe)
    chunks = [todo[at : at + _CHUNK] for at in range(0, len(todo), _CHUNK)]
    done = 0
    progress(done, len(todo))
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            done += _write_chunk(recipe, chunk, draft)
            progress(done, len(todo))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=_start_worker) as pool:
        futures: list[Future[int]] = [pool.submit(_write_chunk, recipe, chunk, draft) for chunk in chunks]
        try:
            for future in as_completed(futures):
                done += future.result()
                progress(done, len(todo))
        finally:
            for future in futures:
                future.cancel()


def _start_worker() -> None:
    # Ctrl-C reaches every process of a terminal; only the one that cleans up is to act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """A parent that was killed cannot tell its workers to stop."""
    parent.join()
    os._exit(1)


def _write_chunk(recipe: Recipe, chunk: tuple[Job, ...], draft: Path) -> int:
    for job in chunk:
        write_file(recipe, job, draft)
    return len(chunk)
