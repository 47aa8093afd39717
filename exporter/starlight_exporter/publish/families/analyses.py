"""Metrics of stream ablations, and of the exporter's own analysis runs."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.publish.families.family import NEVER, Family, FamilyGroup, MetricSample, optional
from starlight_exporter.publish.snapshot import ANALYSES, OUTCOMES, AnalysisState, Snapshot

GROUP = FamilyGroup("Analyses")


def _ablation(name: str, help_text: str, *, labels: str = "", unit: str = "ratio") -> Family:
    return GROUP.family(
        f"ablation_{name}",
        "gauge",
        f"model dataset stream {labels}".strip(),
        help_text,
        unit=unit,
        absent="no ablation was run yet, the model does not read the stream, or no input changed",
    )


ABLATION_CHANGED = _ablation("changed_ratio", "Share of the images whose input changed when the stream was ablated.")
ABLATION_CLEAN = _ablation("clean_images", "Clean images measured with the ablated stream.", unit="images")
ABLATION_FALSE_POSITIVES = _ablation(
    "false_positive_ratio", "False positive rate of the model on the same images with the ablated stream."
)
ABLATION_STEGO = _ablation("stego_images", "Stego images measured with the ablated stream.", unit="images")
ABLATION_DETECTIONS = _ablation(
    "detection_ratio", "Detection rate of the model on the same images with the ablated stream, all methods."
)
ABLATION_LOSS = _ablation(
    "log_loss_increase", "Importance of the stream: increase of the mean log loss when it is ablated.", unit="nats"
)
ABLATION_LOSS_LOWER = _ablation(
    "log_loss_increase_lower", "Lower bound of the paired 95% confidence interval of the increase.", unit="nats"
)
ABLATION_LOSS_UPPER = _ablation(
    "log_loss_increase_upper", "Upper bound of the paired 95% confidence interval of the increase.", unit="nats"
)
ABLATION_P_VALUE = _ablation(
    "mcnemar_p_value",
    "P-value of the exact McNemar test of the verdicts with the ablated stream against those of the full model.",
    labels="class",
)
ANALYSIS_RUNS = GROUP.family(
    "analysis_runs_total",
    "counter",
    "analysis outcome",
    "Automatic analysis runs since the exporter started, by outcome.",
    absent=NEVER,
)
ANALYSIS_SUCCESSFUL = GROUP.family(
    "analysis_last_run_successful",
    "gauge",
    "analysis",
    "Whether the last run of this analysis was successful (1) or failed (0). Cancelled runs do not count.",
    absent="until the first run has ended",
)
ANALYSIS_TIMESTAMP = GROUP.family(
    "analysis_timestamp_seconds",
    "gauge",
    "analysis",
    "Time of the last successful run of this analysis.",
    unit="UTC seconds",
    absent="until the first successful run",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the ablation studies and the state of every analysis."""
    for run in snapshot.runs.values():
        if run.ablation is not None:
            yield from _ablation_samples(run.ablation)
    for analysis in ANALYSES:
        state = snapshot.analyses.get(analysis, AnalysisState())
        for outcome in OUTCOMES:
            yield MetricSample(ANALYSIS_RUNS, (analysis, outcome), state.outcomes.get(outcome, 0))
        yield from optional(ANALYSIS_SUCCESSFUL, (analysis,), state.last_run_successful)
        yield from optional(ANALYSIS_TIMESTAMP, (analysis,), state.succeeded_at)


def _ablation_samples(study: AblationStudy) -> Iterator[MetricSample]:
    for effect in study.ablation.effects:
        labels = (study.model, study.dataset, effect.stream)
        if effect.state != "measured" or effect.clean is None or effect.stego is None:
            continue
        yield from optional(ABLATION_CHANGED, labels, effect.changed.ratio)
        yield MetricSample(ABLATION_CLEAN, labels, effect.clean.total)
        yield from optional(ABLATION_FALSE_POSITIVES, labels, effect.clean.ratio)
        yield MetricSample(ABLATION_STEGO, labels, effect.stego.total)
        yield from optional(ABLATION_DETECTIONS, labels, effect.stego.ratio)
        if effect.log_loss_increase is not None:
            yield MetricSample(ABLATION_LOSS, labels, effect.log_loss_increase.value)
            yield from optional(ABLATION_LOSS_LOWER, labels, effect.log_loss_increase.lower)
            yield from optional(ABLATION_LOSS_UPPER, labels, effect.log_loss_increase.upper)
        for name, paired in effect.slices.items():
            yield from optional(ABLATION_P_VALUE, (*labels, name), paired.p_value)
