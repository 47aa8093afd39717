"""Preflight checks: whether a model and a dataset can be used, before anything is started with them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.dataset import LABELLED_CLASSES, FileClass
from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.scanning import ScanJob
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import DatasetError
from starlight_exporter.evaluation.applied_rule import rule_warnings
from starlight_exporter.formatting import integer

SAMPLE_FILES: Final = 50
"""Files per class whose labels and contents are checked."""

_NAMES: Final[dict[FileClass, str]] = {"clean": "clean", "stego": "stego", "negative": "negatives"}


def check_model(path: Path, decision: DecisionRule) -> tuple[str, ...]:
    """Load a model; return a warning if it does not predict the method that the decision rule needs.

    Raise ModelError if it cannot be used.
    """
    return rule_warnings(Detector.load(path), decision)


def check_dataset(root: Path) -> tuple[str, ...]:
    """Find the files of a dataset, and read a sample of each class; return the number of files, and warnings.

    Raise DatasetError if the dataset cannot be used, or no file of the sample can be measured.
    """
    with open_source(root) as source:
        listing = list_labelled(source)
    counts: dict[FileClass, int] = {}
    chosen: list[int] = []
    for file_class in LABELLED_CLASSES:
        numbers = listing.files.of_class(file_class)
        counts[file_class] = len(numbers)
        chosen += numbers[:: max(1, len(numbers) // SAMPLE_FILES)][:SAMPLE_FILES].tolist()
    job = ScanJob(root, DEFAULT_MAX_FILE_BYTES, math.inf).start()
    sample = job.run(listing.shard(chosen))
    job.close()
    problems = [file.problem.text for file in sample if file.problem is not None]
    if len(problems) == len(sample):
        raise DatasetError(f"{root}: none of {integer(len(sample))} files can be measured, such as {problems[0]}")
    classes = ", ".join(f"{integer(counts[name])} {text}" for name, text in _NAMES.items() if counts[name])
    lines = [f"{root}: {classes}"]
    if problems:
        lines.append(
            f"{root}: {integer(len(problems))} of {integer(len(sample))} files cannot be measured, such as"
            f" {problems[0]}"
        )
    return tuple(lines)
