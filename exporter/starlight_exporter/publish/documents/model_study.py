"""`study.md`: metrics of models on datasets, and which pairs of models are distinguished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final

from starlight_exporter.analysis.model_pairs import SIGNIFICANCE_LEVEL, PairTest, max_swaps
from starlight_exporter.analysis.study_metrics import METRICS, FigureMetric, StudyMetric, rate
from starlight_exporter.analysis.study_results import Study
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.formatting import NOT_APPLICABLE, NOT_MEASURED, decimal, integer, p_value
from starlight_exporter.formatting import rate as rate_text
from starlight_exporter.publish.documents.figure_tests import evaluation_text
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, escaped, provenance_rows, table
from starlight_exporter.publish.figure_texts import TITLES, difference_text, reason_text
from starlight_exporter.statistics.figure_intervals import RESAMPLES, FigureReason

DETERMINISM: Final = (
    "The same models, images, software and seed give the same bytes, except for the times of evaluation in this"
    " document and in `study.csv`."
)
_RATE_TITLES: Final = {
    "false_positive_rate": "false positive rate",
    "negatives_false_positive_rate": "false positive rate, hard negatives",
    "detection_rate": "detection rate",
}


def document(study: Study, command: str) -> str:
    """Return the study as markdown; `command` reproduces it."""
    parts = [
        f"# Study: {_count(study.models, 'model')} on {_count(study.datasets, 'dataset')}",
        f"Rates under the decision rule ({study.results[0][0].evaluation.provenance.decision}); figures of merit of the"
        " stego probability of clean and stego images, independent of the rule. 95% confidence intervals take images of"
        f" the same cover together: exact for rates, from {integer(RESAMPLES)} resamples of the covers for figures of"
        " merit. Datasets differ: compare values of one dataset only.",
        *(part for results in study.results for part in _results(results)),
        *_pairs(study),
        "## Provenance",
        table(PROVENANCE_HEADINGS, provenance_rows(one.evaluation for results in study.results for one in results)),
        _software(study),
        "## Reproduce",
        f"```sh\n{command}\n```",
        DETERMINISM,
    ]
    return "\n\n".join(parts) + "\n"


def metric_title(metric: StudyMetric) -> str:
    """Return the name of a metric as text."""
    if isinstance(metric, FigureMetric):
        return TITLES[metric.name]
    title = _RATE_TITLES[metric.name]
    return title if metric.slice == "all" else f"{title}, {metric.slice}"


def _results(results: Sequence[RunResult]) -> Iterator[str]:
    first = results[0].evaluation
    yield f"## {escaped(first.dataset)}"
    covers = int(PredictionTable.of(results[0].predictions).column("cover").max(initial=-1)) + 1
    yield f"{integer(first.images)} images from {integer(covers)} covers."
    yield table(
        ("metric", *(one.evaluation.model for one in results)),
        (
            *((metric_title(metric), *(metric_text(one, metric) for one in results)) for metric in METRICS),
            ("images of the figures of merit", *(_scored_images(one.evaluation) for one in results)),
        ),
    )


def _scored_images(evaluation: Evaluation) -> str:
    figures = evaluation.figures
    if figures is None:
        return NOT_MEASURED
    return f"{integer(figures.clean)} clean, {integer(figures.stego)} stego from {integer(figures.covers)} covers"


def metric_text(result: RunResult, metric: StudyMetric) -> str:
    """Return the value of a metric with its interval, or why it is not measured."""
    if isinstance(metric, FigureMetric):
        return evaluation_text(result.evaluation, metric.name)
    return rate_text(rate(metric, result.predictions))


def _pairs(study: Study) -> Iterator[str]:
    yield "## Pairs of models"
    if not study.pairs:
        yield f"{NOT_MEASURED.capitalize()}: requires 2 models."
        return
    tests = sum(pair.p_value is not None for pair in study.pairs)
    swaps = max_swaps(len(study.models), len(study.datasets))
    yield (
        f"A pair is distinguished if its p-value, adjusted (Holm) over all {integer(tests)} tests of this study, is"
        f" below {SIGNIFICANCE_LEVEL:g}: in at most {SIGNIFICANCE_LEVEL:.0%} of studies of interchangeable models any"
        " pair is. Tests compare the images that both models measured. Rates: exact test that flips the signs of the"
        " differences of whole covers (with one image per cover, the exact McNemar test). Figures of merit: the two"
        " models are swapped for all images of random covers, with the difference of the figure as statistic; up to"
        f" {integer(swaps)} swaps, so that the smallest adjusted p-value of a test of {integer(tests)} is"
        f" {decimal(tests / (swaps + 1))}."
    )
    models = list(combinations(study.models, 2))
    by_pair = {
        (name, *pair): [one for one in study.pairs if (one.dataset, one.first, one.second) == (name, *pair)]
        for name in study.datasets
        for pair in models
    }
    yield table(
        ("pair", *study.datasets),
        ((" – ".join(pair), *(_summary(by_pair[name, *pair]) for name in study.datasets)) for pair in models),
    )
    yield (
        "Number of metrics on which a pair is distinguished, of those that are measured. The detection rate at 5% FPR"
        " is not tested: it is the complement of MD5."
    )
    found = [pair for pair in study.pairs if pair.conclusion == "distinguished"]
    yield "### Distinguished"
    if found:
        yield table(_HEADINGS, map(_row, found))
        yield (
            "Difference: first minus second model, with its 95% confidence interval, which is not adjusted. Images:"
            " positive for the first and for the second model only."
        )
    else:
        yield "No pair is distinguished on any dataset and metric."
    yield "### Not distinguished on any metric"
    yield "\n".join(
        f"- {escaped(name)}: {_listed(_pair_title(pair) for pair in models if not _found(by_pair[name, *pair]))}."
        for name in study.datasets
    )
    yield "### Not measured"
    yield "\n".join(
        f"- {escaped(name)}: {_listed(_not_measured(one for one in study.pairs if one.dataset == name))}."
        for name in study.datasets
    )


_HEADINGS: Final = ("pair", "dataset", "metric", "difference", "images", "adjusted p")


def _summary(tests: Sequence[PairTest]) -> str:
    measured = sum(test.conclusion != "not measured" for test in tests)
    if not measured:
        return NOT_MEASURED
    found = _found(tests)
    smallest = f"smallest adjusted p {p_value(min(test.adjusted for test in tests if test.adjusted is not None))}"
    return f"{found} of {measured} ({smallest})" if found else f"not distinguished (0 of {measured}, {smallest})"


def _found(tests: Iterable[PairTest]) -> int:
    return sum(test.conclusion == "distinguished" for test in tests)


def _not_measured(tests: Iterable[PairTest]) -> Iterator[str]:
    """Yield each metric that is not measured for some pairs of a dataset, with the reason."""
    pairs: dict[tuple[StudyMetric, FigureReason], list[str]] = {}
    every = set()
    for test in tests:
        title = _pair_title((test.first, test.second))
        every.add(title)
        if test.not_measured is not None:
            pairs.setdefault((test.metric, test.not_measured), []).append(title)
    for (metric, reason), titles in pairs.items():
        where = "" if len(titles) == len(every) else f" for {', '.join(titles)}"
        yield f"{metric_title(metric)}{where} ({_reason(metric, reason)})"


def _reason(metric: StudyMetric, reason: FigureReason) -> str:
    if isinstance(metric, FigureMetric):
        return reason_text(metric.name, reason)
    return "all images were made from one cover" if reason == "one_cover" else "no image was measured"


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(texts) or "none"


def _pair_title(pair: tuple[str, str]) -> str:
    return escaped(" – ".join(pair))


def _row(test: PairTest) -> tuple[str, ...]:
    return (
        f"{test.first} – {test.second}",
        test.dataset,
        metric_title(test.metric),
        difference_text(test.metric.name, test.value, test.lower, test.upper),
        NOT_APPLICABLE
        if test.only_first is None or test.only_second is None
        else f"{integer(test.only_first)} and {integer(test.only_second)}",
        p_value(test.adjusted),
    )


def _software(study: Study) -> str:
    one = study.results[0][0].evaluation.provenance
    return (
        f"starlight {one.exporter_version}, onnxruntime {one.onnxruntime_version} ({one.execution_provider}), NumPy"
        f" {one.numpy_version}, Pillow {one.pillow_version}; seed {study.seed}."
    )


def _count(names: Sequence[str], noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"
