"""Models side by side: the displayed results of several models on the same images of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.checks.latency_checks import checked_latency
from starlight_exporter.errors import QueryError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.formatting import decimal, milliseconds, rate
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.figure_texts import TITLES, figure_text
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.statistics.figures_of_merit import FIGURES, Figure
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.images import Choice
from starlight_exporter.web.pages.page import Page, SitePath, Table, url

PATH: Final = "/models"


@dataclass(frozen=True, slots=True)
class Value:
    """One value of one model, with its 95% interval and counts; None if it is not measured or has none."""

    text: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    count: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one slice, with a value per model."""

    metric: str
    slice: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One model, with the links to its evaluation and to the paired comparison with the first model, if stored."""

    evaluation: Evaluation
    link: SitePath | None
    comparison: SitePath | None


@dataclass(frozen=True, slots=True)
class ModelsQuery:
    """The dataset (None: the first one with results) and the models (empty: all)."""

    dataset: str | None
    models: tuple[str, ...]

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> ModelsQuery:
        """Parse the query string; `models` are names separated by commas."""
        return cls(query.get("dataset") or None, tuple(filter(None, (query.get("models") or "").split(","))))


def models_page(evidence: Evidence, snapshot: Snapshot, query: ModelsQuery) -> Page:
    """Return the results of several models side by side. QueryError if a dataset or model is unknown."""
    _require_known(query, snapshot)
    dataset = query.dataset or next(iter(_datasets(snapshot)), None)
    every = [
        run.evaluation
        for (_, name), run in snapshot.runs.items()
        if name == dataset and run.evaluation is not None and run.evaluation.unlabelled is None
    ]
    newest = max(every, key=lambda one: one.finished_at, default=None)
    comparable = [] if newest is None else [one for one in every if not _other_images(one, newest)]
    shown = [one for one in comparable if not query.models or one.model in query.models]
    stored = {entry.id for entry in evidence.entries(dataset=dataset)}
    columns = [_column(one, shown[0], stored) for one in shown]
    rows = _rows(shown)
    return Page(
        template="models.html",
        path=PATH,
        query=_parameters(query.dataset, query.models),
        values={
            "dataset": dataset,
            "filters": _filters(snapshot, query, dataset, [one.model for one in comparable]),
            "columns": columns,
            "rows": rows,
            "others": [(one, one.id in stored) for one in every if one not in comparable],
        },
        content={
            "dataset": dataset,
            "models": [
                {
                    "model": one.model,
                    "role": one.role,
                    "evaluation": one.id,
                    "model_sha256": one.provenance.model_sha256,
                    "decision": one.provenance.decision,
                }
                for one in shown
            ],
            "rows": rows,
            "other_images": [one.id for one in every if one not in comparable],
        },
        tables={"models": _table(shown, rows)},
    )


def _require_known(query: ModelsQuery, snapshot: Snapshot) -> None:
    if query.dataset is not None and query.dataset not in snapshot.datasets:
        raise QueryError(f"dataset: expected one of {', '.join(snapshot.datasets)}; got {query.dataset[:40]!r}")
    unknown = [name for name in query.models if name not in snapshot.models]
    if unknown:
        raise QueryError(f"models: expected some of {','.join(snapshot.models)}; got {unknown[0][:40]!r}")


def _datasets(snapshot: Snapshot) -> list[str]:
    """Return the labelled datasets with a result, in the order of the configuration."""
    return [
        name
        for name in snapshot.datasets
        if any(
            run.evaluation is not None and run.evaluation.unlabelled is None
            for (_, dataset), run in snapshot.runs.items()
            if dataset == name
        )
    ]


def _other_images(one: Evaluation, other: Evaluation) -> bool:
    return bool(differences(one.provenance, other.provenance, "images"))


def _column(evaluation: Evaluation, first: Evaluation, stored: Collection[str]) -> Column:
    if evaluation.id not in stored:
        return Column(evaluation, None, None)
    link = links.evaluation(evaluation.id)
    compared = evaluation is not first and first.id in stored
    return Column(evaluation, link, url(f"{link}/comparison", {"against": first.id}) if compared else None)


def _filters(
    snapshot: Snapshot, query: ModelsQuery, dataset: str | None, comparable: Sequence[str]
) -> list[tuple[str, list[Choice]]]:
    """Return the datasets, and the models, each of which is added or removed by its link."""
    datasets = [
        Choice(name, url(PATH, _parameters(name, query.models)), name == dataset) for name in _datasets(snapshot)
    ]
    chosen = query.models or tuple(comparable)
    models = [Choice("all", url(PATH, _parameters(query.dataset, ())), not query.models)]
    for name in comparable:
        rest = tuple(one for one in comparable if (one in chosen) != (one == name))
        models.append(Choice(name, url(PATH, _parameters(query.dataset, rest)), bool(query.models) and name in chosen))
    found = (("dataset", datasets), ("models", models))
    return [(name, choices) for name, choices in found if len(choices) > (1 if name == "dataset" else 2)]


def _parameters(dataset: str | None, models: Sequence[str]) -> dict[str, str]:
    return {**({} if dataset is None else {"dataset": dataset}), **({"models": ",".join(models)} if models else {})}


def _rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Return the rates by slice, figures of merit, log loss and latency."""
    found: dict[tuple[str, str], dict[str, Proportion]] = {}
    for one in evaluations:
        for metric, slice_, proportion in _rates(one):
            found.setdefault((metric, slice_), {})[one.id] = proportion
    rows = [
        Row(metric, slice_, tuple(_rate_value(by_id.get(one.id)) for one in evaluations))
        for (metric, slice_), by_id in sorted(found.items(), key=lambda item: _METRICS.index(item[0][0]))
    ]
    return [*rows, *(Row(title, "", tuple(map(value, evaluations))) for title, value in _VALUES)] if evaluations else []


_METRICS: Final = ("false positive rate", "false positive rate of negatives", "detection rate")


def _rates(evaluation: Evaluation) -> Iterator[tuple[str, str, Proportion]]:
    clean, negatives, stego = _METRICS
    yield clean, "all clean images", evaluation.clean
    for image_format, one in evaluation.clean_by_format.items():
        yield clean, image_format, one
    for category, one in evaluation.negatives.items():
        yield negatives, category, one
    yield stego, "all stego images", evaluation.stego
    for method, one in evaluation.detections.items():
        yield stego, method, one


def _rate_value(one: Proportion | None) -> Value:
    if one is None:
        return Value(rate(one), None)
    return Value(rate(one), one.ratio, one.lower, one.upper, one.count, one.total)


def _figure_value(figure: Figure) -> Callable[[Evaluation], Value]:
    def value(evaluation: Evaluation) -> Value:
        one = None if evaluation.figures is None else evaluation.figures.figures.get(figure)
        text = figure_text(figure, one)
        return Value(text, None) if one is None else Value(text, one.value, one.lower, one.upper)

    return value


def _p95(evaluation: Evaluation) -> Value:
    one = checked_latency(evaluation)
    if one is None:
        return Value(milliseconds(None), None)
    return Value(milliseconds(one.seconds), one.seconds, one.lower, one.upper)


_VALUES: Final[tuple[tuple[str, Callable[[Evaluation], Value]], ...]] = (
    *((TITLES[figure], _figure_value(figure)) for figure in FIGURES),
    ("ROC AUC", lambda e: Value(decimal(e.roc_auc), e.roc_auc)),
    ("log loss", lambda e: Value(decimal(e.log_loss), e.log_loss)),
    ("latency p95", _p95),
)


def _table(evaluations: Sequence[Evaluation], rows: Sequence[Row]) -> Table:
    columns = ("metric", "slice", "model", "evaluation", "value", "ci_low", "ci_high", "count", "total")
    return Table(
        columns,
        [
            (row.metric, row.slice, one.model, one.id, v.value, v.lower, v.upper, v.count, v.total)
            for row in rows
            for one, v in zip(evaluations, row.values, strict=True)
        ],
    )
