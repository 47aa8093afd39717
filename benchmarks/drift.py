"""Drift of simulated windows: false detections without drift, and detections of images of another source.

    python -m benchmarks.drift measure --covers FOLDER
    python -m benchmarks.drift simulate report

`measure` evaluates the shipped model on generated clean images, on changed versions of others, and on images made from
the covers of a folder, and stores facts and scores in FOLDER of `--samples`. `simulate` selects windows from them and
compares each with a reference; `report` writes the page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import results
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.drift import MAX_P_VALUE, MIN_PSI, compare_samples, read_sample
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.files import write_text
from starlight_exporter.synthesis.build import synthesise
from starlight_exporter.synthesis.cover_sources import find_covers
from starlight_exporter.synthesis.reference import ReferenceRecipe

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = Path(__file__).with_suffix(".json")
PAGE: Final = Path(__file__).with_suffix(".md")
MODEL: Final = ROOT / "models" / "v4" / "model.onnx"

GENERATED: Final = "generated"
POOL: Final = 4000
"""Clean images of the population from which references and windows are selected, never the same image for both."""
OTHERS: Final = 1200
"""Images of every other source."""
WINDOWS: Final = 200
REFERENCES: Final = (500, 1000, 2000)
SIZES: Final = (100, 300, 1000, 2000)
SHARES: Final = (0.05, 0.1, 0.2, 0.3, 1.0)
ALLOWED: Final = 0.02
REQUIRED: Final = 0.9

_Values = NDArray[np.float32]


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts that the command line names, in their order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=("measure", "simulate", "report"))
    parser.add_argument("--samples", type=Path, default=ROOT / "results" / "drift_samples")
    parser.add_argument("--covers", type=Path, help="images of a real source, for `measure`")
    options = parser.parse_args(words)
    for part in options.parts:
        if part == "measure":
            measure(options.samples, options.covers)
        elif part == "simulate":
            simulate({file.stem: read_sample(file).values for file in sorted(options.samples.glob("*.npy"))})
        else:
            write_text(PAGE, "\n".join(page(results.load(FILE))) + "\n")
    return 0


# --- sources ---


def resized(image: Image.Image) -> Image.Image:
    """Return the image at three quarters of its size, as a web site stores it."""
    return image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.LANCZOS)


def unchanged(image: Image.Image) -> Image.Image:
    """Return the image, which is encoded again."""
    return image


CHANGES: Final[Mapping[str, tuple[Callable[[Image.Image], Image.Image], Mapping[str, object]]]] = {
    "resized to 75%": (resized, {"quality": 90}),
    "recompressed at quality 60, without metadata": (unchanged, {"quality": 60}),
}
"""Source → change of the pixels, and encoder options."""


def measure(samples: Path, covers: Path | None) -> None:
    """Store facts and scores of every source as `{source}.npy` in a folder."""
    samples.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        synthesise(folder / GENERATED, ReferenceRecipe(101, POOL, 5, 1))
        _store(samples, GENERATED, folder / GENERATED)
        synthesise(folder / "others", ReferenceRecipe(102, OTHERS, 5, 1))
        for name, (change, options) in CHANGES.items():
            _write_changed(folder / "others" / "clean", folder / name / "clean", change, options)
            _store(samples, name, folder / name)
        if covers is not None:
            synthesise(folder / "covers", ReferenceRecipe(103, OTHERS, 5, 1, find_covers(covers)))
            _store(samples, "real covers", folder / "covers")


def _write_changed(
    source: Path, target: Path, change: Callable[[Image.Image], Image.Image], options: Mapping[str, object]
) -> None:
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if file.suffix != ".json":
            with Image.open(file) as image:
                change(image).save(target / file.name, image.format, **options)


def _store(samples: Path, name: str, dataset: Path) -> None:
    request = RunRequest(
        model="v4",
        role="research",
        model_path=MODEL,
        decision=PRODUCTION,
        dataset=name,
        dataset_root=dataset,
        trigger="command",
        latency_sample=0,
    )
    found = evaluate(request)
    if found.drift_sample is None:
        raise ValueError(f"{name}: no sample")
    (samples / f"{name}.npy").write_bytes(found.drift_sample.to_bytes())
    print(name, len(found.drift_sample.values), flush=True)


# --- simulation ---


def is_drift(reference: _Values, window: _Values) -> bool:
    """Return whether a window has drifted."""
    return any(one.has_drifted for one in compare_samples(reference, window).values())


def share_detected(
    population: _Values,
    other: _Values,
    *,
    reference: int,
    window: int,
    share: float,
    seed: int,
    windows: int = WINDOWS,
    drifted: Callable[[_Values, _Values], bool] = is_drift,
) -> float:
    """Return the share of windows with drift, if `share` of their images are of another source.

    Reference and window are selected again for each window; an image of the population is in one of them at most.
    """
    rng = np.random.default_rng(seed)
    foreign = round(share * window)
    found = 0
    for _ in range(windows):
        order = rng.permutation(len(population))
        own = population[order[reference : reference + window - foreign]]
        chosen = other[rng.integers(0, len(other), foreign)]
        found += drifted(population[order[:reference]], np.concatenate([own, chosen]))
    return found / windows


def simulate(samples: Mapping[str, _Values]) -> None:
    """Store the share of windows with drift: without another source, and with each other source."""
    population = samples[GENERATED]
    without: list[list[Any]] = []
    for reference in REFERENCES:
        for window in SIZES:
            share = share_detected(population, population, reference=reference, window=window, share=0.0, seed=window)
            without.append([reference, window, share])
            print(reference, window, share, flush=True)
    rows: list[list[Any]] = []
    for name, other in samples.items():
        if name == GENERATED:
            continue
        for window in SIZES:
            shares = [
                share_detected(population, other, reference=1000, window=window, share=share, seed=window)
                for share in SHARES
            ]
            rows.append([name, window, *shares])
            print(*rows[-1], flush=True)
    results.record("without_drift", {"rows": without}, FILE)
    results.record("other_source", {"rows": rows}, FILE)


def page(stored: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Drift of simulated windows"
    yield ""
    yield (
        "Generated from [drift.json](drift.json) by `python -m benchmarks.drift report`. Facts and scores (v4) are"
        f" those of {POOL:,} generated clean images; each of {WINDOWS} windows per cell and its reference are selected"
        " from them without common images. A window has drifted if a fact or the score has an adjusted p-value below"
        f" {MAX_P_VALUE:g} and a population stability index of at least {MIN_PSI:g}."
    )
    without = stored["without_drift"]["rows"]
    yield ""
    yield "## Without drift"
    yield ""
    yield (f"Share of windows with drift: at most {max(share for *_, share in without):.1%}; allowed {ALLOWED:.0%}.")
    yield ""
    yield "| Reference images | " + " | ".join(f"{size:,} images" for size in SIZES) + " |"
    yield "|---:|" + "---:|" * len(SIZES)
    for reference in REFERENCES:
        shares = {window: share for one, window, share in without if one == reference}
        yield f"| {reference:,} | " + " | ".join(f"{shares[size]:.1%}" for size in SIZES) + " |"
    yield ""
    yield "## Images of another source"
    yield ""
    yield (
        "Share of windows with drift, by the share of images of another source, for a reference of 1,000 images;"
        f" required: {REQUIRED:.0%} with 30% of 1,000 images."
    )
    yield ""
    yield "| Source | Images | " + " | ".join(f"{share:.0%} of them" for share in SHARES) + " |"
    yield "|---|---:|" + "---:|" * len(SHARES)
    for name, window, *shares in stored["other_source"]["rows"]:
        yield f"| {name} | {window:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


if __name__ == "__main__":
    sys.exit(main())
