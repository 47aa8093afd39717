"""Production, baseline and research models side by side: rates, flips between them, and how they were trained."""

from __future__ import annotations

from exporter.publish import metrics
from grafana.source.board import Board
from grafana.source.panels import Column, Look, Query, line_chart, rows, state_history
from grafana.source.queries import by, select
from grafana.source.style import BAD, DETECTIONS, FALSE_POSITIVES, GOOD, LATENCY, P_VALUE, WARNING, states

_LOADED = states(loaded=(1, "loaded", GOOD), failed=(0, "not loadable", BAD))
_DIVERGED = states(sound=(0, "no", GOOD), diverged=(1, "diverged", BAD))


def models() -> Board:
    """Who is better, and is the difference more than chance."""
    board = Board(
        "starlight-models",
        "Starlight / Models",
        "Production, baseline and research models side by side, paired tests between them, training health.",
    )
    board.row("Side by side")
    side_by_side = rows(
        Look(
            "Models",
            "One row per model and dataset. Compare within a dataset only: another one is another question.",
            "",
        ),
        Column("model"),
        Column("dataset"),
        Column(
            "false positive rate", by("model dataset", select(metrics.CLEAN.ratio)), "percentunit", 3, FALSE_POSITIVES
        ),
        Column("upper bound", by("model dataset", select(metrics.CLEAN.upper)), "percentunit", 3),
        Column(
            "detection",
            f"{by('model dataset', select(metrics.STEGO.count))} / {by('model dataset', select(metrics.STEGO.total))}",
            "percentunit",
            2,
            DETECTIONS,
        ),
        Column("worst method", by("model dataset", select(metrics.STEGO.ratio), "min"), "percentunit", 2, DETECTIONS),
        Column("ROC AUC", by("model dataset", select(metrics.ROC_AUC)), "none", 5),
        Column("p95", by("model dataset", select(metrics.LATENCY, quantile="0.95"), "max"), "s", 2, LATENCY),
        Column(
            "evaluated", by("model dataset", f"{select(metrics.EVALUATION_TIMESTAMP)} * 1000", "max"), "dateTimeAsIso"
        ),
        sort_by="model",
        descending=False,
    )
    board.add(8, (24, side_by_side))
    files = rows(
        Look("Files", "What is loaded. `not loadable` keeps the old model's numbers: the exporter's log says why.", ""),
        Column("model"),
        Column("role"),
        Column("sha256"),
        Column("file"),
        Column("decision"),
        Column(
            "state",
            by(
                "model role sha256 file decision",
                f"{select(metrics.MODEL_INFO)} * on (model) group_left () {select(metrics.MODEL_LAST_LOAD_SUCCESSFUL)}",
                "max",
            ),
            mappings=_LOADED,
        ),
    )
    sizes = rows(
        Look("Sizes and times", "Size of the file in use, when it was written, and when it was loaded.", ""),
        Column("model"),
        Column("size", by("model", select(metrics.MODEL_SIZE)), "bytes", 1),
        Column("written", by("model", f"{select(metrics.MODEL_MODIFIED_TIMESTAMP)} * 1000", "max"), "dateTimeAsIso"),
        Column("loaded", by("model", f"{select(metrics.MODEL_LOADED_TIMESTAMP)} * 1000", "max"), "dateTimeAsIso"),
    )
    board.add(7, (15, files), (9, sizes))
    fpr = line_chart(
        Look("False positive rate", "Every model on every dataset over time.", "percentunit", 3),
        Query(by("model dataset", select(metrics.CLEAN.ratio), "max"), "{{model}} on {{dataset}}"),
    )
    worst = line_chart(
        Look("Worst method", "The lowest detection rate of any method, by model.", "percentunit", 2),
        Query(by("model dataset", select(metrics.STEGO.ratio), "min"), "{{model}} on {{dataset}}"),
        minimum=None,
        maximum=1,
    )
    board.add(8, (12, fpr), (12, worst))
    board.row("Paired comparison")
    flips = rows(
        Look(
            "Flips and paired tests",
            "The same images by two models: how many verdicts one got right and the other wrong. A p value below 0.01"
            " means that chance hardly splits flips like this; none where nothing flipped.",
            "",
        ),
        Column("model"),
        Column("against"),
        Column("dataset"),
        Column("class"),
        Column("images", by("model against dataset class", select(metrics.COMPARISON_IMAGES)), "none", 0),
        Column(
            "fixed", by("model against dataset class", select(metrics.COMPARISON_FLIPS, direction="fixed")), "none", 0
        ),
        Column(
            "broken",
            by("model against dataset class", select(metrics.COMPARISON_FLIPS, direction="broken")),
            "none",
            0,
            ((None, "text"), (1.0, BAD)),
        ),
        Column(
            "p value",
            by("model against dataset class", select(metrics.COMPARISON_P_VALUE), "max"),
            "none",
            4,
            P_VALUE,
        ),
        sort_by="broken",
    )
    broken = line_chart(
        Look("Broken verdicts", "Images that the other model got right and this one gets wrong.", "none", 0),
        Query(
            by(
                "model against dataset",
                select(metrics.COMPARISON_FLIPS, direction="broken", **{"class": "~clean|stego"}),
            ),
            "{{model}} against {{against}}, {{dataset}}",
        ),
    )
    board.add(10, (15, flips), (9, broken))
    board.row("Training")
    health = rows(
        Look(
            "Training health",
            "From the training log beside each model. A gap means overfitting, low stability a learning rate too high.",
            "",
        ),
        Column("model"),
        Column("epochs", by("model", select(metrics.TRAINING_EPOCHS), "max"), "none", 0),
        Column("training loss", by("model", select(metrics.TRAINING_LOSS, split="train"), "max"), "none", 4),
        Column("validation loss", by("model", select(metrics.TRAINING_LOSS, split="validation"), "max"), "none", 4),
        Column(
            "validation accuracy",
            by("model", select(metrics.TRAINING_ACCURACY, split="validation"), "max"),
            "percentunit",
            2,
        ),
        Column(
            "convergence per epoch", by("model", select(metrics.TRAINING_CONVERGENCE_RATE), "max"), "percentunit", 1
        ),
        Column("stability", by("model", select(metrics.TRAINING_STABILITY), "max"), "none", 2),
        Column("gap", by("model", select(metrics.TRAINING_GENERALIZATION_GAP), "max"), "none", 4),
        Column("diverged", by("model", select(metrics.TRAINING_DIVERGED), "max"), mappings=_DIVERGED),
    )
    passed = state_history(
        Look(
            "Regression suite",
            "Checks that fail, over time: 0 is none. Which ones: see the alert or the gate's report.",
            "none",
        ),
        Query(
            f"count by (model, dataset) ({select(metrics.REGRESSION_CHECK_PASSED)} == 0)"
            f" or 0 * count by (model, dataset) ({select(metrics.REGRESSION_CHECK_PASSED)})",
            "{{model}} on {{dataset}}",
        ),
        mappings=states(none=(0, "all pass", GOOD), one=(1, "1 fails", WARNING)),
    )
    board.add(8, (15, health), (9, passed))
    return board
