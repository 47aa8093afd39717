"""Error level and power of provisional results: simulated evaluations in two phases, a sample and the complete dataset.

    python -m benchmarks.provisional simulate report

The sample is a part of the complete dataset. `simulate` stores the shares of evaluations with a significant failure in
provisional.json; `report` writes the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parent.parent
# The simulation uses the test support's empty evaluation.
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import results  # noqa: E402
from benchmarks.simulated_checks import CATEGORIES, Truth, check, draw  # noqa: E402
from starlight_exporter.checks.significance import LEVEL_AFTER_PROVISIONAL, PROVISIONAL_LEVEL  # noqa: E402
from starlight_exporter.detector.contract import METHODS  # noqa: E402
from starlight_exporter.evaluation.sample import SAMPLE_IMAGES  # noqa: E402
from starlight_exporter.files import write_text  # noqa: E402

FILE: Final = Path(__file__).with_suffix(".json")
PAGE: Final = Path(__file__).with_suffix(".md")

EVALUATIONS: Final = 500
DATASET_IMAGES: Final = 100_000

UNCHANGED: Final = [
    (fpr, misses, correlation) for fpr in (0.0, 0.0005, 0.005) for misses in (0.01, 0.05) for correlation in (0.0, 0.8)
]
"""False positive rate and miss rate of both models, and the correlation of their errors."""
CHANGES: Final = {
    "detection of one method 99% to 90%": Truth(0, 0, 0, 0.0005, 0.0005, 0.01, {"lsb": 0.1}, 0.8),
    "detection of one method 99% to 95%": Truth(0, 0, 0, 0.0005, 0.0005, 0.01, {"lsb": 0.05}, 0.8),
    "detection of all methods 99% to 95%": Truth(0, 0, 0, 0.0005, 0.0005, 0.01, dict.fromkeys(METHODS, 0.05), 0.8),
    "detection of palette 100% to 36%": Truth(0, 0, 0, 0.0, 0.0, 0.0, {"palette": 0.64}),
    "FPR 0 to 0.6%": Truth(0, 0, 0, 0.0, 0.006, 0.01),
    "FPR 0.05% to 2%": Truth(0, 0, 0, 0.0005, 0.02, 0.01),
}
"""True error rates before and after, without the numbers of images."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts that the command line names, in their order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.provisional", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=("simulate", "report"))
    for part in parser.parse_args(words).parts:
        if part == "simulate":
            results.record("unchanged", {"rows": [unchanged(*cell, EVALUATIONS) for cell in UNCHANGED]}, FILE)
            results.record("changed", {"rows": [changed(name, EVALUATIONS) for name in CHANGES]}, FILE)
        else:
            write_text(PAGE, "\n".join(_page(results.load(FILE))) + "\n")
    return 0


def of_size(truth: Truth, images: int) -> Truth:
    """Return the truth with the shares of a sample: half clean, 40% stego, 10% negatives."""
    return replace(
        truth,
        clean_images=images // 2,
        images_per_method=images * 4 // 10 // len(METHODS),
        images_per_category=images // 10 // len(CATEGORIES),
    )


def unchanged(fpr: float, misses: float, correlation: float, evaluations: int) -> list[float]:
    """Return the cell, and the shares of evaluations with a false significant failure: sample, complete, either."""
    truth = Truth(0, 0, 0, fpr, fpr, misses, {}, correlation)
    return [fpr, misses, correlation, *shares(truth, evaluations, null_is_true=True)]


def changed(name: str, evaluations: int) -> list[Any]:
    """Return the change, and the shares of evaluations with a true significant failure: sample, complete, either."""
    return [name, *shares(CHANGES[name], evaluations, null_is_true=False)]


def shares(truth: Truth, evaluations: int, *, null_is_true: bool) -> tuple[float, float, float]:
    """Return the shares with a significant failure, of checks whose null hypothesis is true or not."""
    random = np.random.default_rng(round(1e6 * (truth.false_positives + truth.baseline_misses)) + len(truth.misses))
    found = np.zeros(3)
    for _ in range(evaluations):
        sample = draw(of_size(truth, SAMPLE_IMAGES), random)
        rest = draw(of_size(truth, DATASET_IMAGES - SAMPLE_IMAGES), random)
        significant = [
            any(one.significant and truth.null_is_true(one) is null_is_true for one in check(phase, level))
            for phase, level in ((sample, PROVISIONAL_LEVEL), (sample + rest, LEVEL_AFTER_PROVISIONAL))
        ]
        found += (*significant, any(significant))
    one, other, either = (found / evaluations).tolist()
    return one, other, either


def _page(stored: dict[str, Any]) -> list[str]:
    return [
        "# Provisional results: error level and power",
        "",
        "Generated from [provisional.json](provisional.json) by `python -m benchmarks.provisional report`. Simulated:"
        f" {EVALUATIONS} evaluations per row of {DATASET_IMAGES:,} images, of which {SAMPLE_IMAGES:,} are the sample,"
        " with the checks of the exporter on generated counts. Shares of evaluations with a significant failure in the"
        f" sample (level {PROVISIONAL_LEVEL:.1%}), in the complete dataset ({LEVEL_AFTER_PROVISIONAL:.1%}), in either.",
        "",
        "## Model as good as its baseline",
        "",
        "Among checks whose null hypothesis is true. Required: at most 1% in either.",
        "",
        "| FPR | misses | correlation of errors | sample | complete | either |",
        "|---|---|---|---|---|---|",
        *(
            f"| {fpr:.2%} | {misses:.0%} | {correlation:g} | {one:.1%} | {other:.1%} | {either:.1%} |"
            for fpr, misses, correlation, one, other, either in stored["unchanged"]["rows"]
        ),
        "",
        "## Worse model",
        "",
        "| change | sample | complete | either |",
        "|---|---|---|---|",
        *(
            f"| {name} | {one:.1%} | {other:.1%} | {either:.1%} |"
            for name, one, other, either in stored["changed"]["rows"]
        ),
        "",
        "A sample detects large regressions. It cannot confirm the false positive target (0.05%): one false positive in"
        " 1,000 clean images is above it.",
    ]


if __name__ == "__main__":
    sys.exit(main())
