"""Tables of a study as CSV: metrics of each model on each dataset, and tests of pairs of models.

Every row has its provenance. Numbers have all digits. An empty cell means not measured (then with a reason) or not
applicable. The same models, images and seed give the same bytes, except for the column `evaluated_at`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlight_exporter.analysis.model_pairs import PairTest
from starlight_exporter.analysis.study_metrics import FIGURE_METRICS, RATE_METRICS, rate
from starlight_exporter.analysis.study_results import Study
from starlight_exporter.evaluation.prediction_columns import Cell
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.formatting import iso
from starlight_exporter.publish.csv_text import csv_text
from starlight_exporter.statistics.figure_intervals import RESAMPLES, FigureOfMerit
from starlight_exporter.statistics.intervals import CONFIDENCE

_SOFTWARE: Final = (
    "starlight_version",
    "onnxruntime_version",
    "numpy_version",
    "pillow_version",
    "execution_provider",
)
STUDY_COLUMNS: Final = (
    "model",
    "dataset",
    "metric",
    "slice",
    "value",
    "ci_low",
    "ci_high",
    "ci_level",
    "count",
    "images",
    "covers",
    "resamples",
    "not_measured",
    "model_sha256",
    "dataset_fingerprint",
    "decision",
    "seed",
    *_SOFTWARE,
    "evaluated_at",
)
PAIR_COLUMNS: Final = (
    "dataset",
    "first",
    "second",
    "metric",
    "slice",
    "difference",
    "ci_low",
    "ci_high",
    "ci_level",
    "images",
    "covers",
    "only_first",
    "only_second",
    "resamples",
    "test",
    "swaps",
    "p_value",
    "adjusted_p_value",
    "tests",
    "conclusion",
    "not_measured",
    "first_sha256",
    "second_sha256",
    "dataset_fingerprint",
    "decision",
    "seed",
    *_SOFTWARE,
)


def study_csv(study: Study) -> str:
    """Return one row per model, dataset and metric."""
    return csv_text(STUDY_COLUMNS, (row for results in study.results for result in results for row in _rows(result)))


def pairs_csv(study: Study) -> str:
    """Return one row per pair of models, dataset and metric; only the header for one model."""
    evaluations = {
        (one.evaluation.dataset, one.evaluation.model): one.evaluation for results in study.results for one in results
    }
    tests = sum(pair.p_value is not None for pair in study.pairs)
    return csv_text(
        PAIR_COLUMNS,
        (
            _pair_row(pair, evaluations[pair.dataset, pair.first], evaluations[pair.dataset, pair.second], tests)
            for pair in study.pairs
        ),
    )


def _rows(result: RunResult) -> Iterator[tuple[Cell, ...]]:
    evaluation = result.evaluation
    provenance = evaluation.provenance
    names = (evaluation.model, evaluation.dataset)
    origin: tuple[Cell, ...] = (
        provenance.model_sha256,
        provenance.dataset_fingerprint,
        provenance.decision,
        provenance.seed,
        *_software(evaluation),
        iso(evaluation.finished_at),
    )
    for rate_metric in RATE_METRICS:
        found = rate(rate_metric, result.predictions)
        yield (
            *names,
            rate_metric.name,
            rate_metric.slice,
            found.ratio,
            found.lower,
            found.upper,
            CONFIDENCE,
            found.count if found.total else None,
            found.total,
            # A rate without shared covers has as many covers as images.
            found.total if found.covers is None else found.covers,
            None,
            None if found.total else "no_images",
            *origin,
        )
    figures = evaluation.figures
    for metric in FIGURE_METRICS:
        figure = FigureOfMerit(None, None, None, "no_images") if figures is None else figures.figures[metric.name]
        yield (
            *names,
            metric.name,
            metric.slice,
            figure.value,
            figure.lower,
            figure.upper,
            CONFIDENCE,
            None,
            0 if figures is None else figures.clean + figures.stego,
            0 if figures is None else figures.covers,
            None if figures is None or figure.value is None else figures.resamples,
            figure.not_measured,
            *origin,
        )


def _pair_row(pair: PairTest, first: Evaluation, second: Evaluation, tests: int) -> tuple[Cell, ...]:
    is_rate = pair.metric in RATE_METRICS
    provenance = first.provenance
    return (
        pair.dataset,
        pair.first,
        pair.second,
        pair.metric.name,
        pair.metric.slice,
        pair.value,
        pair.lower,
        pair.upper,
        CONFIDENCE,
        pair.images,
        pair.covers,
        pair.only_first,
        pair.only_second,
        None if is_rate or pair.value is None else RESAMPLES,
        "sign_flip" if is_rate else "swap",
        pair.swaps,
        pair.p_value,
        pair.adjusted,
        tests,
        pair.conclusion,
        pair.not_measured,
        provenance.model_sha256,
        second.provenance.model_sha256,
        provenance.dataset_fingerprint,
        provenance.decision,
        provenance.seed,
        *_software(first),
    )


def _software(evaluation: Evaluation) -> tuple[str, ...]:
    provenance = evaluation.provenance
    return (
        provenance.exporter_version,
        provenance.onnxruntime_version,
        provenance.numpy_version,
        provenance.pillow_version,
        provenance.execution_provider,
    )
