"""Results of models without a run: predictions with chosen scores, and studies of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from starlight_exporter.analysis.model_pairs import pair_tests
from starlight_exporter.analysis.study_results import Study
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.figures import figures
from starlight_exporter.evaluation.results import FileFacts, Prediction, RunResult
from support.results import empty_evaluation
from support.snapshots import example_prediction


def result_of(
    predictions: Sequence[Prediction], *, model: str = "one", dataset: str = "reference", fingerprint: str = "b" * 64
) -> RunResult:
    """Return the result of a model with these predictions; its SHA-256 is a function of its name."""
    counts = accuracy(predictions)
    empty = empty_evaluation(model=model, dataset=dataset, images=len(predictions))
    evaluation = replace(
        empty,
        provenance=replace(
            empty.provenance, model_sha256=model.encode().hex().ljust(64, "0")[:64], dataset_fingerprint=fingerprint
        ),
        clean=counts.clean,
        negatives=counts.negatives,
        stego=counts.stego,
        detections=counts.detections,
        figures=figures(predictions, seed=0),
    )
    return RunResult(evaluation, tuple(predictions), None)


def scored_predictions(
    mean: float, seed: int, *, clean: int = 250, stego: int = 100, negatives: int = 20
) -> tuple[Prediction, ...]:
    """Return predictions with logistic scores around 0, of stego files around `mean`; a cover for each clean file."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(clean + stego + negatives):
        is_stego, is_negative = clean <= number < clean + stego, number >= clean + stego
        probability = 1 / (1 + math.exp(-random.normal(mean if is_stego else 0.0)))
        cover = f"cover-{number - clean if is_stego else number:03}"
        one = example_prediction(
            f"{'stego' if is_stego else 'clean'}/{number:03}.png",
            verdict=probability > 0.5,
            stego=is_stego,
            negative=is_negative,
        )
        found.append(
            replace(
                one,
                probability=probability,
                method=METHODS[number % len(METHODS)] if is_stego else None,
                facts=FileFacts(cover=cover),
            )
        )
    return tuple(found)


def study_of(*datasets: Sequence[RunResult], seed: int = 0) -> Study:
    """Return the study of these results."""
    pairs = pair_tests(datasets, seed=seed) if len(datasets[0]) > 1 else ()
    return Study(tuple(tuple(results) for results in datasets), pairs, seed)
