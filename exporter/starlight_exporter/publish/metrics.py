"""Every metric family: the one source of names, types, labels, units and meanings.

The collector, the history export, `docs/metrics.md` and the tests read this table; no metric name stands anywhere else
in the package. Names follow the Prometheus conventions: base units, ratios 0..1, UTC seconds, bounded labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.analysis.comparison import DIRECTIONS
from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.dataset.facts import FACTS
from starlight_exporter.detector.contract import FORMATS, METHODS, STREAMS
from starlight_exporter.errors import MODEL_FAILURE_REASONS, NOT_MEASURED_REASONS
from starlight_exporter.evaluation.results import LATENCY_STAGES
from starlight_exporter.models.roles import ROLES
from starlight_exporter.publish.snapshot import ANALYSES

PREFIX = "starlight_"

Kind = Literal["gauge", "counter", "info", "histogram", "summary"]

Group = Literal[
    "Exporter",
    "Models",
    "Runs",
    "Accuracy",
    "Latency",
    "Data",
    "Training",
    "Baseline and checks",
    "Comparisons",
    "Analyses",
]
GROUPS: tuple[Group, ...] = (
    "Exporter",
    "Models",
    "Runs",
    "Accuracy",
    "Latency",
    "Data",
    "Training",
    "Baseline and checks",
    "Comparisons",
    "Analyses",
)


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric family. `name` is the sample name that users see (a counter's ends in `_total`, an info's in `_info`).

    `absent` says when a sample is missing. `of_evaluation` marks families that come from an Evaluation alone: these
    are exported from history with the evaluation's time.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    absent: str
    group: Group
    of_evaluation: bool

    @property
    def base_name(self) -> str:
        """The name without the suffix that OpenMetrics adds by type."""
        if self.kind == "counter":
            return self.name.removesuffix("_total")
        if self.kind == "info":
            return self.name.removesuffix("_info")
        return self.name


@dataclass(frozen=True, slots=True)
class ProportionFamilies:
    """The five families of a Proportion: the two counts are always there, the ratio and its bounds need a total."""

    total: Family
    count: Family
    ratio: Family
    lower: Family
    upper: Family


_table: list[Family] = []

NEVER = "never"
UNTIL_EVALUATED = "until the first complete evaluation"
EMPTY_SLICE = "the slice holds no measured image"
NOT_LOADED = "the model file was never loaded"


def _family(
    name: str,
    kind: Kind,
    labels: str,
    help_text: str,
    *,
    group: Group,
    unit: str = "",
    absent: str = UNTIL_EVALUATED,
    of_evaluation: bool = False,
) -> Family:
    family = Family(PREFIX + name, kind, tuple(labels.split()), unit, help_text, absent, group, of_evaluation)
    _table.append(family)
    return family


def _measured(
    name: str,
    labels: str,
    help_text: str,
    *,
    group: Group,
    unit: str = "",
    absent: str = UNTIL_EVALUATED,
    kind: Kind = "gauge",
) -> Family:
    return _family(name, kind, labels, help_text, group=group, unit=unit, absent=absent, of_evaluation=True)


# --- Exporter -------------------------------------------------------------------------------------------------------

BUILD_INFO = _family(
    "exporter_build_info",
    "info",
    "version revision python onnxruntime",
    "Versions of the exporter and of what it runs on; always 1.",
    group="Exporter",
    absent=NEVER,
)
CONFIG_RELOAD_SUCCESSFUL = _family(
    "exporter_config_last_reload_successful",
    "gauge",
    "",
    "Whether the last attempt to read the configuration succeeded (1) or was refused (0; the old one stays in force).",
    group="Exporter",
    absent=NEVER,
)
CONFIG_RELOAD_SUCCESS_TIMESTAMP = _family(
    "exporter_config_last_reload_success_timestamp_seconds",
    "gauge",
    "",
    "When a configuration was last read with success.",
    group="Exporter",
    unit="UTC seconds",
    absent=NEVER,
)
COLLECTOR_ERRORS = _family(
    "exporter_collector_errors_total",
    "counter",
    "section",
    "Scrapes in which this section of the metrics could not be built and was left out; the reason is in the log.",
    group="Exporter",
    absent=NEVER,
)
STORAGE_FAILURES = _family(
    "storage_failures_total",
    "counter",
    "store",
    "Results that could not be written to history or evidence (full disk, read-only folder).",
    group="Exporter",
    absent=NEVER,
)
STORAGE_FREE = _family(
    "storage_free_bytes",
    "gauge",
    "store",
    "Space left on the file system of history or evidence.",
    group="Exporter",
    unit="bytes",
    absent="it could not be found out",
)
STORAGE_SIZE = _family(
    "storage_size_bytes",
    "gauge",
    "store",
    "Bytes that history or evidence take, rotated and kept ones included; looked at once a minute.",
    group="Exporter",
    unit="bytes",
    absent="until it was looked at first",
)
EVALUATIONS_QUEUED = _family(
    "evaluations_queued",
    "gauge",
    "",
    "Evaluation runs that wait for the one under way.",
    group="Exporter",
    absent=NEVER,
)
HISTORY_DAMAGED_LINES = _family(
    "history_damaged_lines",
    "gauge",
    "",
    "Lines of the history that could not be read at the last start and were skipped.",
    group="Exporter",
    absent="the history could not be opened at all",
)

# --- Models ---------------------------------------------------------------------------------------------------------

MODEL_INFO = _family(
    "model_info",
    "info",
    "model role sha256 file decision",
    "A configured model; always 1. `sha256` (12 digits) is of the file in use, empty before a file was loaded.",
    group="Models",
    absent="the model is not configured",
)
MODEL_FILE_INFO = _family(
    "model_file_info",
    "info",
    "model sha256",
    "The content of the model file on disk, as last seen; always 1. It runs ahead of the file in use while a new one is"
    " not loaded yet, or cannot be.",
    group="Models",
    absent="there is no such file, or it cannot be read",
)
MODEL_MODIFIED_TIMESTAMP = _family(
    "model_modified_timestamp_seconds",
    "gauge",
    "model",
    "Modification time of the model file in use.",
    group="Models",
    unit="UTC seconds",
    absent=NOT_LOADED,
)
MODEL_LOADED_TIMESTAMP = _family(
    "model_loaded_timestamp_seconds",
    "gauge",
    "model",
    "When the model file in use was loaded.",
    group="Models",
    unit="UTC seconds",
    absent=NOT_LOADED,
)
MODEL_SIZE = _family(
    "model_size_bytes",
    "gauge",
    "model",
    "Size of the model file in use.",
    group="Models",
    unit="bytes",
    absent=NOT_LOADED,
)
MODEL_LAST_LOAD_SUCCESSFUL = _family(
    "model_last_load_successful",
    "gauge",
    "model",
    "Whether the last attempt to load the model file succeeded (1) or failed (0). One that ends because the file is "
    "replaced meanwhile does not count.",
    group="Models",
    absent="until the first attempt",
)
MODEL_LOAD_FAILURES = _family(
    "model_load_failures_total",
    "counter",
    "model reason",
    "Attempts to load the model file that failed; the numbers of the last good file stay in place.",
    group="Models",
    absent="the model is not configured",
)

# --- Runs -----------------------------------------------------------------------------------------------------------

_NOT_CONFIGURED = "the model or dataset is not configured"

EVALUATIONS = _family(
    "evaluations_total",
    "counter",
    "model dataset outcome",
    "Evaluation runs since the exporter started, by outcome; zero from the start for every outcome.",
    group="Runs",
    absent=_NOT_CONFIGURED,
)
EVALUATION_LAST_RUN_SUCCESSFUL = _family(
    "evaluation_last_run_successful",
    "gauge",
    "model dataset",
    "Whether the last run gave a result (1) or failed (0; the numbers are of an older run). Runs that were cancelled or"
    " had no model to load do not count.",
    group="Runs",
    absent="until the first such run has ended",
)
EVALUATION_IN_PROGRESS = _family(
    "evaluation_in_progress",
    "gauge",
    "model dataset",
    "Whether a run is under way (1) or not (0).",
    group="Runs",
    absent=_NOT_CONFIGURED,
)
EVALUATION_PROGRESS = _family(
    "evaluation_progress_ratio",
    "gauge",
    "model dataset",
    "Share of the images that the run under way has worked through.",
    group="Runs",
    unit="ratio",
    absent="no run is under way",
)
EVALUATION_REMAINING = _family(
    "evaluation_remaining_seconds",
    "gauge",
    "model dataset",
    "Time that the run under way is likely to take from here, at the pace that it had so far.",
    group="Runs",
    unit="seconds",
    absent="no run is under way, or it has only just begun",
)
EVALUATION_INTERVAL = _family(
    "evaluation_interval_seconds",
    "gauge",
    "model dataset",
    "Configured time between two scheduled runs.",
    group="Runs",
    unit="seconds",
    absent="no schedule is configured",
)
EVALUATION_TIMESTAMP = _measured(
    "evaluation_timestamp_seconds",
    "model dataset",
    "When the last complete evaluation ended; after a restart, when the republished one did.",
    group="Runs",
    unit="UTC seconds",
)
EVALUATION_DURATION = _measured(
    "evaluation_duration_seconds",
    "model dataset",
    "How long the last complete evaluation took.",
    group="Runs",
    unit="seconds",
)
EVALUATION_SPEED = _measured(
    "evaluation_images_per_second",
    "model dataset",
    "Images per second of the last complete evaluation, measured in bulk on all cores.",
    group="Runs",
    unit="images per second",
    absent=f"{UNTIL_EVALUATED}, or no image was measured",
)
EVALUATION_STAGED = _measured(
    "evaluation_staged",
    "model dataset",
    "Whether the bulk pass ran the model in stages whose outputs images share (1), or whole (0: its graph does not part"
    " into stages, or they did not give what the whole model gives; the log says which).",
    group="Runs",
)
EVALUATION_CACHED_IMAGES = _measured(
    "evaluation_cached_images",
    "model dataset",
    "Images of the last complete evaluation that were in the cache of decoded images.",
    group="Runs",
    unit="images",
)
EVALUATION_DECODED_IMAGES = _measured(
    "evaluation_decoded_images",
    "model dataset",
    "Images of the last complete evaluation that were not, and had to be decoded.",
    group="Runs",
    unit="images",
)
_NO_CACHE = f"{UNTIL_EVALUATED}, or no cache is configured"
EVALUATION_CACHE_BYTES = _measured(
    "evaluation_cache_bytes",
    "model dataset",
    "Size of the cache of decoded images, of all datasets, after the last complete evaluation.",
    group="Runs",
    unit="bytes",
    absent=_NO_CACHE,
)
EVALUATION_CACHE_WRITABLE = _measured(
    "evaluation_cache_writable",
    "model dataset",
    "Whether the last complete evaluation could keep what it decoded (1) or not (0: read-only, full; see the log).",
    group="Runs",
    absent=_NO_CACHE,
)
EVALUATION_INFO = _measured(
    "evaluation_info",
    "model dataset model_sha256 dataset_fingerprint decision card",
    "Provenance of the last complete evaluation (hashes: 12 digits); always 1.",
    group="Runs",
    kind="info",
)

# --- Accuracy -------------------------------------------------------------------------------------------------------

NOT_MEASURED = _measured(
    "images_not_measured",
    "model dataset reason",
    "Images that gave no verdict, by reason; they are in no other count and in no ratio.",
    group="Accuracy",
    unit="images",
)


def _proportion(labels: str, *, total: str, count: str, ratio: str, images: str, counted: str) -> ProportionFamilies:
    """The five families of a Proportion: `images` names the denominator, `counted` what makes up the numerator."""
    absent = f"{UNTIL_EVALUATED}, or {EMPTY_SLICE}"
    bound = "bound of the exact (Clopper-Pearson) 95 % interval of"

    def ratio_family(name: str, help_text: str) -> Family:
        return _measured(name, labels, help_text, group="Accuracy", unit="ratio", absent=absent)

    return ProportionFamilies(
        total=_measured(total, labels, f"{images} that were measured.", group="Accuracy", unit="images"),
        count=_measured(
            count, labels, f"Measured {images[0].lower()}{images[1:]} {counted}.", group="Accuracy", unit="images"
        ),
        ratio=ratio_family(ratio, f"{PREFIX}{count} over {PREFIX}{total}."),
        lower=ratio_family(f"{ratio}_lower", f"Lower {bound} {PREFIX}{ratio}."),
        upper=ratio_family(f"{ratio}_upper", f"Upper {bound} {PREFIX}{ratio}."),
    )


_WRONGLY = "with a positive verdict"

CLEAN = _proportion(
    "model dataset",
    total="clean_images",
    count="false_positives",
    ratio="false_positive_ratio",
    images="Clean images",
    counted=_WRONGLY,
)
CLEAN_BY_FORMAT = _proportion(
    "model dataset format",
    total="format_clean_images",
    count="format_false_positives",
    ratio="format_false_positive_ratio",
    images="Clean images by format",
    counted=_WRONGLY,
)
NEGATIVES = _proportion(
    "model dataset category",
    total="negative_images",
    count="negative_false_positives",
    ratio="negative_false_positive_ratio",
    images="Hard negatives by category",
    counted=_WRONGLY,
)
STEGO = _proportion(
    "model dataset method",
    total="stego_images",
    count="detections",
    ratio="detection_ratio",
    images="Stego images by method",
    counted="with a positive verdict, whatever method was predicted",
)
METHOD_PREDICTIONS = _measured(
    "method_predictions",
    "model dataset actual predicted",
    "Confusion counts of measured clean and stego images; `clean` as prediction is a negative verdict.",
    group="Accuracy",
    unit="images",
    absent=f"{UNTIL_EVALUATED}, or the model predicts no method",
)

_BOTH_CLASSES = f"{UNTIL_EVALUATED}, or it needs clean and stego images and one of them is missing"

ROC_AUC = _measured(
    "roc_auc",
    "model dataset",
    "Area under the ROC curve of the stego probability, clean against stego.",
    group="Accuracy",
    unit="ratio",
    absent=_BOTH_CLASSES,
)
LOG_LOSS = _measured(
    "log_loss",
    "model dataset",
    "Mean negative log likelihood of the labels under the stego probability (natural logarithm).",
    group="Accuracy",
    unit="nats",
    absent=f"{UNTIL_EVALUATED}, or no clean or stego image was measured",
)
CALIBRATION_ERROR = _measured(
    "expected_calibration_error",
    "model dataset",
    "Mean distance between the stated probability and the observed share of stego images, over probability bins.",
    group="Accuracy",
    unit="ratio",
    absent=f"{UNTIL_EVALUATED}, or no clean or stego image was measured",
)
OPERATING_POINT_FALSE_POSITIVES = _measured(
    "operating_point_false_positive_ratio",
    "model dataset threshold",
    "Share of clean images above this probability, whatever the model's own decision rule.",
    group="Accuracy",
    unit="ratio",
    absent=f"{UNTIL_EVALUATED}, or no clean image was measured",
)
OPERATING_POINT_DETECTIONS = _measured(
    "operating_point_detection_ratio",
    "model dataset threshold",
    "Share of stego images above this probability, whatever the model's own decision rule.",
    group="Accuracy",
    unit="ratio",
    absent=f"{UNTIL_EVALUATED}, or no stego image was measured",
)

# --- Latency --------------------------------------------------------------------------------------------------------

INFERENCE_DURATION = _family(
    "inference_duration_seconds",
    "histogram",
    "model stage",
    "Time per image and stage over all latency runs since the exporter started, one image at a time.",
    group="Latency",
    unit="seconds",
    absent="the model is not configured",
)
LATENCY = _measured(
    "latency_seconds",
    "model dataset quantile",
    "Exact quantiles of the time from file bytes to verdict in the last latency run, one image at a time.",
    group="Latency",
    unit="seconds",
    kind="summary",
    absent=f"{UNTIL_EVALUATED}, or the sample is too small for the quantile",
)
_BOUND = "bound of the 95 % interval of starlight_latency_seconds, whatever the distribution of the times."

LATENCY_LOWER = _measured(
    "latency_lower_seconds",
    "model dataset quantile",
    f"Lower {_BOUND}",
    group="Latency",
    unit="seconds",
    kind="summary",
    absent=f"{UNTIL_EVALUATED}, or the sample is too small for the bound",
)
LATENCY_UPPER = _measured(
    "latency_upper_seconds",
    "model dataset quantile",
    f"Upper {_BOUND}",
    group="Latency",
    unit="seconds",
    kind="summary",
    absent=f"{UNTIL_EVALUATED}, or the sample is too small for the bound",
)
LATENCY_IMAGES = _measured(
    "latency_images",
    "model dataset",
    "Images timed in the last latency run.",
    group="Latency",
    unit="images",
    absent=f"{UNTIL_EVALUATED}, or no latency run was made",
)
THROUGHPUT = _measured(
    "throughput_images_per_second",
    "model dataset",
    "Images per second of the last latency run, one image at a time.",
    group="Latency",
    unit="images per second",
    absent=f"{UNTIL_EVALUATED}, or no latency run was made",
)

# --- Data -----------------------------------------------------------------------------------------------------------

_NO_STEGO = f"{UNTIL_EVALUATED}, or the dataset holds no labelled stego image"

DATASET_INFO = _measured(
    "dataset_info",
    "dataset fingerprint",
    "The dataset of the last complete evaluation; the fingerprint (12 digits) covers every path, label and content.",
    group="Data",
    kind="info",
)
DATASET_CHANGED_TIMESTAMP = _family(
    "dataset_changed_timestamp_seconds",
    "gauge",
    "dataset",
    "When the exporter last saw the content of the dataset change.",
    group="Data",
    unit="UTC seconds",
    absent="until the first change that the exporter sees",
)
DATASET_IMAGES = _measured(
    "dataset_images",
    "dataset class method format",
    "Files of the dataset; `method` is `none` outside stego and `unlabelled` for stego files without a method.",
    group="Data",
    unit="images",
)
DATASET_METHOD_SHARE = _measured(
    "dataset_method_share_ratio",
    "dataset method",
    "Share of the labelled stego files that carry this method.",
    group="Data",
    unit="ratio",
    absent=_NO_STEGO,
)
# Not "…_entropy_bits": promtool's lint takes "bits" for a data size that ought to be bytes.
DATASET_ENTROPY = _measured(
    "dataset_entropy",
    "dataset",
    "Shannon entropy of the method shares.",
    group="Data",
    unit="bits of information",
    absent=_NO_STEGO,
)
DATASET_ENTROPY_MAX = _measured(
    "dataset_entropy_max",
    "dataset",
    "The largest entropy that the method shares can have: log2 of the number of methods.",
    group="Data",
    unit="bits of information",
)
DATASET_DUPLICATES = _measured(
    "dataset_duplicate_images",
    "dataset",
    "Files with the same bytes as another one, beyond the first of each group.",
    group="Data",
    unit="images",
)


_SHORTCUT = "by the best rule on one fact of the file, on files that the rule was not chosen on"
_NO_SHORTCUT = f"{UNTIL_EVALUATED}, or there are fewer than ten files of the method, or fewer than ten clean ones"

DATASET_SHORTCUT = _measured(
    "dataset_shortcut_ratio",
    "dataset method",
    f"Share of the method's files that are told from clean ones {_SHORTCUT}.",
    group="Data",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_LOWER = _measured(
    "dataset_shortcut_ratio_lower",
    "dataset method",
    f"Lower bound of the exact (Clopper-Pearson) 95 % interval of {DATASET_SHORTCUT.name}.",
    group="Data",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_UPPER = _measured(
    "dataset_shortcut_ratio_upper",
    "dataset method",
    f"Upper bound of the exact (Clopper-Pearson) 95 % interval of {DATASET_SHORTCUT.name}.",
    group="Data",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_FALSE_ALARMS = _measured(
    "dataset_shortcut_false_alarm_ratio",
    "dataset method",
    f"Share of the clean files that are taken for this method's {_SHORTCUT}.",
    group="Data",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_INFO = _measured(
    "dataset_shortcut_info",
    "dataset method fact",
    "The fact that the best rule over all files looks at; always 1.",
    group="Data",
    kind="info",
    absent=_NO_SHORTCUT,
)
DATASET_LEAKED = _measured(
    "dataset_leaked_images",
    "model dataset",
    "Files of the dataset that the model was trained on, byte for byte, by its manifest of training files.",
    group="Data",
    unit="images",
    absent=f"{UNTIL_EVALUATED}, or there is no such manifest beside the model or a carded one of the same bytes",
)

_NO_GAP = "there is nothing to hold it against: one format alone, or one dataset alone"

SOURCE_GAP = _family(
    "source_gap_ratio",
    "gauge",
    "model dataset format rate",
    "A rate on this slice minus the same model's rate on the rest: a format against the dataset's other formats, or"
    " (without format) the dataset against the other ones.",
    group="Data",
    unit="ratio",
    absent=_NO_GAP,
)
SOURCE_GAP_LOWER = _family(
    "source_gap_ratio_lower",
    "gauge",
    "model dataset format rate",
    f"Lower bound of the 95 % interval (Newcombe) of {SOURCE_GAP.name}.",
    group="Data",
    unit="ratio",
    absent=_NO_GAP,
)
SOURCE_GAP_UPPER = _family(
    "source_gap_ratio_upper",
    "gauge",
    "model dataset format rate",
    f"Upper bound of the 95 % interval (Newcombe) of {SOURCE_GAP.name}.",
    group="Data",
    unit="ratio",
    absent=_NO_GAP,
)
SOURCE_GAP_P_VALUE = _family(
    "source_gap_p_value",
    "gauge",
    "model dataset format rate",
    "Exact (Fisher) two-sided p value for no difference between the slice and the rest.",
    group="Data",
    absent=_NO_GAP,
)

# --- Training -------------------------------------------------------------------------------------------------------

CURVE_EPOCHS = 40
"""Points of a training curve that are exposed: an epoch is a label, and labels have to stay few."""

_NO_LOG = "the model has no training log, or was not evaluated yet"
_SHORT_LOG = f"{_NO_LOG}, or the log is too short to tell"

TRAINING_EPOCHS = _measured(
    "training_epochs",
    "model",
    "Epochs in the training log beside the model, or beside a carded one of the same bytes.",
    group="Training",
    unit="epochs",
    absent=_NO_LOG,
)
TRAINING_LOSS = _measured(
    "training_loss",
    "model split",
    "Loss in the last epoch of the training log.",
    group="Training",
    absent=f"{_NO_LOG}, or the log does not hold it",
)
TRAINING_ACCURACY = _measured(
    "training_accuracy",
    "model split",
    "Accuracy in the last epoch of the training log.",
    group="Training",
    unit="ratio",
    absent=f"{_NO_LOG}, or the log does not hold it",
)
TRAINING_EPOCH_LOSS = _measured(
    "training_epoch_loss",
    "model split epoch",
    f"Loss by epoch of the training log, at most {CURVE_EPOCHS} epochs of it: evenly spread, the last among them.",
    group="Training",
    absent=f"{_NO_LOG}, or the log does not hold it",
)
TRAINING_EPOCH_ACCURACY = _measured(
    "training_epoch_accuracy",
    "model split epoch",
    f"Accuracy by epoch of the training log, at most {CURVE_EPOCHS} epochs of it: evenly spread, the last among them.",
    group="Training",
    unit="ratio",
    absent=f"{_NO_LOG}, or the log does not hold it",
)
TRAINING_DIVERGED = _measured(
    "training_diverged",
    "model",
    "Whether the validation loss ended above twice its best value and its first one, or a loss was no number (1).",
    group="Training",
    absent=_NO_LOG,
)
TRAINING_CONVERGENCE_RATE = _measured(
    "training_convergence_rate",
    "model",
    "Share of the training loss that an average epoch takes away (least squares of the log loss over epochs).",
    group="Training",
    absent=_SHORT_LOG,
)
TRAINING_STABILITY = _measured(
    "training_stability_ratio",
    "model",
    "How straight the validation loss came down: 1 where every epoch went the same way, near 0 where it zigzags.",
    group="Training",
    unit="ratio",
    absent=_SHORT_LOG,
)
TRAINING_GENERALIZATION_GAP = _measured(
    "training_generalization_gap",
    "model",
    "Validation loss minus training loss in the last epoch.",
    group="Training",
    unit="nats",
    absent=_SHORT_LOG,
)

# --- Baseline and checks --------------------------------------------------------------------------------------------

_NO_BASELINE = "no baseline is configured, or it does not hold this figure"

BASELINE_FALSE_POSITIVES = _family(
    "baseline_false_positive_ratio",
    "gauge",
    "model",
    "False positive ratio that the baseline file promises.",
    group="Baseline and checks",
    unit="ratio",
    absent=_NO_BASELINE,
)
BASELINE_DETECTIONS = _family(
    "baseline_detection_ratio",
    "gauge",
    "model method",
    "Detection ratio that the baseline file promises.",
    group="Baseline and checks",
    unit="ratio",
    absent=_NO_BASELINE,
)
BASELINE_LATENCY = _family(
    "baseline_latency_seconds",
    "summary",
    "model quantile",
    "Latency that the baseline file promises.",
    group="Baseline and checks",
    unit="seconds",
    absent=_NO_BASELINE,
)
BASELINE_FORMAT_FALSE_POSITIVES = _family(
    "baseline_format_false_positive_ratio",
    "gauge",
    "model format",
    "False positive ratio by format that the baseline file promises.",
    group="Baseline and checks",
    unit="ratio",
    absent=_NO_BASELINE,
)
REGRESSION_CHECK_PASSED = _family(
    "regression_check_passed",
    "gauge",
    "model dataset check slice",
    "Whether the last complete evaluation passed this check (1) or failed it (0), by point value.",
    group="Baseline and checks",
    absent="what the check needs was not measured",
)

# --- Comparisons ----------------------------------------------------------------------------------------------------

_NOT_COMPARED = "the two have no stored predictions of the same images under the same decision rule"

COMPARISON_IMAGES = _family(
    "comparison_images",
    "gauge",
    "model against dataset class",
    "Images that both models measured: what the flips are counted among.",
    group="Comparisons",
    unit="images",
    absent=_NOT_COMPARED,
)
COMPARISON_FLIPS = _family(
    "comparison_flips",
    "gauge",
    "model against dataset direction class",
    "Images whose verdict is wrong by one model and right by the other: fixed by this model, or broken.",
    group="Comparisons",
    unit="images",
    absent=_NOT_COMPARED,
)
COMPARISON_P_VALUE = _family(
    "comparison_mcnemar_p_value",
    "gauge",
    "model against dataset class",
    "Two-sided exact McNemar test over the flips: how often chance alone would split them so unevenly.",
    group="Comparisons",
    unit="ratio",
    absent=f"{_NOT_COMPARED}, or no verdict flipped",
)

# --- Ablations and analyses -----------------------------------------------------------------------------------------

_NOT_ABLATED = "no ablation was run yet, the model does not read the stream, or no image's input changed"


def _ablation(name: str, help_text: str, *, labels: str = "", unit: str = "ratio") -> Family:
    return _family(
        f"ablation_{name}",
        "gauge",
        f"model dataset stream {labels}".strip(),
        help_text,
        group="Analyses",
        unit=unit,
        absent=_NOT_ABLATED,
    )


ABLATION_CHANGED = _ablation("changed_ratio", "Share of the images whose input really differed without the stream.")
ABLATION_CLEAN = _ablation("clean_images", "Clean images measured without the stream.", unit="images")
ABLATION_FALSE_POSITIVES = _ablation(
    "false_positive_ratio", "False positive ratio of the model on the same images without the stream."
)
ABLATION_STEGO = _ablation("stego_images", "Stego images measured without the stream.", unit="images")
ABLATION_DETECTIONS = _ablation(
    "detection_ratio", "Detection ratio of the model on the same images without the stream, all methods."
)
ABLATION_LOSS = _ablation(
    "log_loss_increase", "What the mean log loss grows by without the stream: what the stream is worth.", unit="nats"
)
ABLATION_LOSS_LOWER = _ablation("log_loss_increase_lower", "Lower bound of its paired 95 % interval.", unit="nats")
ABLATION_LOSS_UPPER = _ablation("log_loss_increase_upper", "Upper bound of its paired 95 % interval.", unit="nats")
ABLATION_P_VALUE = _ablation(
    "mcnemar_p_value", "Exact McNemar test of the verdicts without the stream against the full model's.", labels="class"
)
ANALYSIS_RUNS = _family(
    "analysis_runs_total",
    "counter",
    "analysis outcome",
    "Analyses that the exporter ran on its own since it started, by outcome.",
    group="Analyses",
    absent=NEVER,
)
ANALYSIS_SUCCESSFUL = _family(
    "analysis_last_run_successful",
    "gauge",
    "analysis",
    "Whether the last run of this analysis that was not cancelled gave a result (1) or failed (0).",
    group="Analyses",
    absent="until the first run has ended",
)
ANALYSIS_TIMESTAMP = _family(
    "analysis_timestamp_seconds",
    "gauge",
    "analysis",
    "When this analysis last gave a result.",
    group="Analyses",
    unit="UTC seconds",
    absent="until the first result",
)

FAMILIES: tuple[Family, ...] = tuple(_table)

LABELS: Mapping[str, str] = {
    "actual": f"{', '.join(METHODS)}, clean",
    "against": "name of the baseline model, or `previous`: the file that this model's replaced",
    "analysis": ", ".join(ANALYSES),
    "card": "model folder whose card tells of the model: its own, or one with the same bytes; empty without a card",
    "category": "category of hard negatives: the dataset's folder name",
    "check": "name of a regression check",
    "class": f"{', '.join(FILE_CLASSES)}; of comparisons also {', '.join(METHODS)}: stego files of one method",
    "dataset": "name of a configured dataset",
    "dataset_fingerprint": "first 12 digits of the dataset's SHA-256 fingerprint",
    "decision": "the decision rule in words",
    "direction": ", ".join(DIRECTIONS),
    "epoch": f"number of an epoch of the training log; at most {CURVE_EPOCHS} for each model",
    "fact": ", ".join(FACTS),
    "file": "path of the model file: below the configuration's folder relative to it, else absolute",
    "fingerprint": "first 12 digits of the dataset's SHA-256 fingerprint",
    "format": f"{', '.join(FORMATS)}, other, unknown (the decoder's, not the file name's)",
    "method": f"{', '.join(METHODS)}",
    "model": "name of a configured model",
    "model_sha256": "first 12 digits of the model file's SHA-256",
    "onnxruntime": "version",
    "outcome": "success, error, crashed, timeout, cancelled",
    "predicted": f"{', '.join(METHODS)}, clean",
    "python": "version",
    "quantile": "0.5, 0.95, 0.99",
    "rate": "false_positive, or the method whose detection rate it is",
    "reason": f"images: {', '.join(NOT_MEASURED_REASONS)}; model files: {', '.join(MODEL_FAILURE_REASONS)}",
    "revision": "source revision",
    "role": ", ".join(ROLES),
    "section": "part of the metrics: one for each source of samples",
    "sha256": "first 12 digits of the model file's SHA-256",
    "slice": "method, format or category that the check is about; empty for the whole dataset",
    "split": "train, validation",
    "stage": ", ".join(LATENCY_STAGES),
    "store": "history, evidence",
    "stream": ", ".join(STREAMS),
    "threshold": "probability above which an image counts as stego",
    "version": "version",
}
"""Label name → the values it can take."""
