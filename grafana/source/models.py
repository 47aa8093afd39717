"""Production, baseline and research models side by side: rates, flips between them, and how they were trained."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.builders import table, timeseries, trend
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana.source import evidence
from grafana.source.board import Board
from grafana.source.curves import by_number
from grafana.source.limits import DETECTIONS, FALSE_POSITIVES, GAP, LATENCY, MARKED, P_VALUE
from grafana.source.panels import Look, Query, line_chart
from grafana.source.queries import by, select
from grafana.source.shared import P95
from grafana.source.style import BAD, GOOD, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, rows
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.models.roles import ROLES
from starlight_exporter.publish import metrics
from starlight_exporter.publish.metrics import Family

_EVERY = "~.+"
_LOADED = {1: ("loaded", GOOD), 0: ("not loadable", BAD)}
_DIVERGED = {0: ("no", GOOD), 1: ("diverged", BAD)}


def models() -> Board:
    """Who is better, and is the difference more than chance."""
    board = Board(
        "starlight-models",
        "Starlight / Models",
        "Production, baseline and research models side by side, paired tests between them, training and streams.",
        one_model=False,
    )
    board.row("Side by side")
    board.add(8, (24, _side_by_side()))
    board.add(8, (24, _files()))
    board.row("Over time")
    board.add(8, (8, _false_positives()), (8, _worst_method()), (8, _p95()))
    board.row("Paired comparison")
    board.add(10, (16, _flips()), (8, _broken()))
    board.row("What each stream is worth")
    board.add(9, (24, _streams()))
    board.row("Training")
    board.add(7, (24, _training()))
    board.add(8, *((12, panel) for panel in _losses()))
    board.add(8, *((12, panel) for panel in _accuracies()))
    return board


def _side_by_side() -> table.Panel:
    labels = "model dataset"
    found = f"{by(labels, _of(metrics.STEGO.count))} / {by(labels, _of(metrics.STEGO.total))}"
    return rows(
        Look(
            "Models",
            "One row for each model and dataset; compare within a dataset. Colours are the limits of the alerts. "
            "Whether a difference is more than chance stands in Flips and paired tests.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset", width=95),
        Column("false positives", by(labels, _of(metrics.CLEAN.ratio), "max"), "percentunit", 2, FALSE_POSITIVES),
        Column("at most", by(labels, _of(metrics.CLEAN.upper), "max"), "percentunit", 2),
        Column("found", found, "percentunit", 1, DETECTIONS),
        Column("worst method", by(labels, _of(metrics.STEGO.ratio), "min"), "percentunit", 1, DETECTIONS),
        Column("ROC AUC", by(labels, _of(metrics.ROC_AUC), "min"), "none", 4),
        Column("calibration", by(labels, _of(metrics.CALIBRATION_ERROR), "max"), "none", 4),
        Column("p95", by(labels, _of(metrics.LATENCY, quantile=P95), "max"), "s", 1, LATENCY),
        Column("per second", by(labels, _of(metrics.THROUGHPUT), "max"), "none", 0),
        Column("evaluated", by(labels, f"{_of(metrics.EVALUATION_TIMESTAMP)} * 1000", "max"), "dateTimeFromNow"),
        sort_by="dataset",
        descending=False,
    )


def _files() -> table.Panel:
    labels = "model role sha256 decision"
    info = _of(metrics.MODEL_INFO)

    def beside(family: Family, factor: str = "") -> str:
        return by(labels, f"{info} * on (model) group_left () {by('model', _of(family), 'max')}{factor}", "max")

    return rows(
        Look(
            "Model files",
            "The file in use of each model. Not loadable: the numbers are of the last good file; the exporter's log "
            "says why.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("role", width=90),
        Column("sha256", width=115),
        Column("decision"),
        Column("size", beside(metrics.MODEL_SIZE), "bytes", 0, width=75),
        Column("written", beside(metrics.MODEL_MODIFIED_TIMESTAMP, " * 1000"), "dateTimeFromNow", width=136),
        Column("loaded", beside(metrics.MODEL_LOADED_TIMESTAMP, " * 1000"), "dateTimeFromNow", width=136),
        Column("last load", beside(metrics.MODEL_LAST_LOAD_SUCCESSFUL), "none", meanings=_LOADED, width=85),
    )


def _false_positives() -> timeseries.Panel:
    return _by_role(
        Look(
            "False positive rate",
            "Of every model; production is the thick line. At the red line the target is missed: open Detection for "
            "that model.",
            "percentunit",
            2,
        ),
        lambda role: by("model dataset", _with_role(_of(metrics.CLEAN.ratio), role), "max"),
        "target",
        check_limits.FPR_TARGET,
    )


def _worst_method() -> timeseries.Panel:
    return _by_role(
        Look(
            "Worst method",
            "The lowest detection rate of any method, by model. At or below the red line an alert fires for "
            "production.",
            "percentunit",
            1,
        ),
        lambda role: by("model dataset", _with_role(_of(metrics.STEGO.ratio), role), "min"),
        "floor",
        check_limits.DETECTION_FLOOR,
        minimum=None,
        maximum=1,
        soft_minimum=0.9,
    )


def _p95() -> timeseries.Panel:
    return _by_role(
        Look(
            "Latency p95", "By model. At the red line an alert fires for production: see Latency for its stages.", "s"
        ),
        lambda role: by("model dataset", _with_role(_of(metrics.LATENCY, quantile=P95), role), "max"),
        "limit",
        check_limits.LATENCY_LIMIT_SECONDS,
    )


def _flips() -> table.Panel:
    labels = "model against dataset class"
    return rows(
        Look(
            "Flips and paired tests",
            "Two models on the same images: verdicts that this one gets right where the other was wrong (fixed), "
            "and the other way round (broken). A p value in blue: chance hardly splits flips like this; where more "
            "are broken than fixed, look at the broken images.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("against", width=90),
        Column("dataset", width=90),
        Column("class"),
        Column("fixed", by(labels, _of(metrics.COMPARISON_FLIPS, direction="fixed")), "none", 0),
        Column("broken", by(labels, _of(metrics.COMPARISON_FLIPS, direction="broken")), "none", 0, MARKED),
        Column("of images", by(labels, _of(metrics.COMPARISON_IMAGES)), "none", 0),
        Column("p value", by(labels, _of(metrics.COMPARISON_P_VALUE), "max"), "none", 4, P_VALUE, nothing="no flip"),
        sort_by="broken",
    )


def _broken() -> timeseries.Panel:
    broken = _of(metrics.COMPARISON_FLIPS, direction="broken", **{"class": "~clean|stego"})
    return line_chart(
        Look(
            "Broken verdicts",
            "Clean and stego images that the other model got right and this one gets wrong. A rise at a new model: "
            "see which in the table.",
            "none",
            0,
        ),
        Query(by("model against dataset", broken), "{{model}} against {{against}}, {{dataset}}"),
    )


def _streams() -> table.Panel:
    labels = "model dataset stream"

    def p_value(kind: str) -> str:
        return by(labels, _of(metrics.ABLATION_P_VALUE, **{"class": kind}), "min")

    return rows(
        Look(
            "Ablation by stream",
            "The same images without one stream. Worth is what the log loss grows by: with a lower end above 0 the "
            "model needs the stream; around 0 it does not. Changed says in how many images the input really "
            "differed. A p value in blue: the verdicts change by more than chance.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("stream"),
        Column("dataset"),
        Column("worth", by(labels, _of(metrics.ABLATION_LOSS), "max"), "none", 4),
        Column("at least", by(labels, _of(metrics.ABLATION_LOSS_LOWER), "max"), "none", 4),
        Column("at most", by(labels, _of(metrics.ABLATION_LOSS_UPPER), "max"), "none", 4),
        Column("wrong", by(labels, _of(metrics.ABLATION_FALSE_POSITIVES), "max"), "percentunit", 2),
        Column("of clean", by(labels, _of(metrics.ABLATION_CLEAN)), "none", 0),
        Column("p, clean", p_value("clean"), "none", 4, P_VALUE, nothing="no flip"),
        Column("found", by(labels, _of(metrics.ABLATION_DETECTIONS), "min"), "percentunit", 1),
        Column("of stego", by(labels, _of(metrics.ABLATION_STEGO)), "none", 0),
        Column("p, stego", p_value("stego"), "none", 4, P_VALUE, nothing="no flip"),
        Column("changed", by(labels, _of(metrics.ABLATION_CHANGED), "max"), "percentunit", 0),
        sort_by="worth",
    )


def _training() -> table.Panel:
    return rows(
        Look(
            "Training health",
            "From the training log beside each model: its last epoch, and how it got there. A gap in orange is "
            "overfitting; low stability is a zigzag; loss taken is the share that an epoch takes away. The curves are "
            "below, and with the log itself on the exporter's page: click a model.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH, link=evidence.TRAINING),
        Column("epochs", by("model", _of(metrics.TRAINING_EPOCHS), "max"), "none", 0),
        Column("loss", by("model", _of(metrics.TRAINING_LOSS, split="train"), "max"), "none", 4),
        Column("val. loss", by("model", _of(metrics.TRAINING_LOSS, split="validation"), "max"), "none", 4),
        Column("gap", by("model", _of(metrics.TRAINING_GENERALIZATION_GAP), "max"), "none", 4, GAP),
        Column("accuracy", by("model", _of(metrics.TRAINING_ACCURACY, split="train"), "max"), "percentunit", 2),
        Column(
            "val. accuracy",
            by("model", _of(metrics.TRAINING_ACCURACY, split="validation"), "max"),
            "percentunit",
            2,
        ),
        Column("loss taken", by("model", _of(metrics.TRAINING_CONVERGENCE_RATE), "max"), "percentunit", 1),
        Column("stability", by("model", _of(metrics.TRAINING_STABILITY), "max"), "none", 2),
        Column("diverged", by("model", _of(metrics.TRAINING_DIVERGED), "max"), "none", meanings=_DIVERGED),
    )


def _losses() -> tuple[trend.Panel, trend.Panel]:
    def curve(split: str, title: str, description: str) -> trend.Panel:
        query = by("model epoch", _of(metrics.TRAINING_EPOCH_LOSS, split=split), "max")
        return by_number(
            Look(title, description, "none"), query, series="model", number="epoch", decimals=3, logarithmic=True
        )

    return (
        curve(
            "train",
            "Training loss by epoch",
            "From the training log beside each model. Still falling steeply at its end: more epochs would help. "
            "A jump upwards: the learning rate is too high.",
        ),
        curve(
            "validation",
            "Validation loss by epoch",
            "On images that were not trained on. Where it rises while the training loss still falls, the model "
            "learns its training images by heart: stop there.",
        ),
    )


def _accuracies() -> tuple[trend.Panel, trend.Panel]:
    def curve(split: str, title: str, description: str) -> trend.Panel:
        query = by("model epoch", _of(metrics.TRAINING_EPOCH_ACCURACY, split=split), "max")
        look = Look(title, description, "percentunit")
        return by_number(look, query, series="model", number="epoch", decimals=1, soft_maximum=1)

    return (
        curve(
            "train",
            "Training accuracy by epoch",
            "Share of the training images that were told right. Far from 100 % at its end: the model is too small, or "
            "labels are wrong.",
        ),
        curve(
            "validation",
            "Validation accuracy by epoch",
            "The same on images that were not trained on. Well below the curve beside it: overfitting; see the gap in "
            "Training health.",
        ),
    )


def _of(family: Family, **labels: str) -> str:
    return select(family, model=_EVERY, **labels)


def _with_role(selector: str, role: str) -> str:
    return f'{selector} and on (model) {metrics.MODEL_INFO.name}{{role="{role}"}}'


def _by_role(
    look: Look,
    of_role: Callable[[str], str],
    limit_name: str,
    limit: float,
    *,
    minimum: float | None = 0,
    maximum: float | None = None,
    soft_minimum: float | None = None,
) -> timeseries.Panel:
    """One query for each role, production first and thick: models' names are not known here, roles are."""
    queries = [Query(of_role(role), "{{model}}, {{dataset}}") for role in ROLES]
    queries.append(Query(f"vector({limit})", limit_name))
    panel = line_chart(look, *queries, minimum=minimum, maximum=maximum, soft_minimum=soft_minimum)
    panel = panel.override_by_query("A", [DynamicConfigValue(id_val="custom.lineWidth", value=4)])
    return panel.override_by_name(limit_name, reference_line(BAD))
