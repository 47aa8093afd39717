"""Print the baseline in use: the baseline model, the recorded baseline, and whether its values are comparable here.

Rates are comparable on the same images under the same decision rule, latencies also need the same machine.
Exit code 2: the model or the recorded baseline cannot be read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.arguments import DATASET_HELP, add_config, dataset_root
from starlight_exporter.config_location import locate_config
from starlight_exporter.dataset.sources.root import DatasetRoot, root_name
from starlight_exporter.errors import BaselineError, ModelError
from starlight_exporter.exit_codes import NOT_MEASURED, OK

if TYPE_CHECKING:
    from starlight_exporter.checks.baseline import Baseline
    from starlight_exporter.checks.recorded_parts import RecordedCount, RecordedProvenance
    from starlight_exporter.config import Config, ModelConfig

Row = tuple[str, str]

_UNKNOWN = "unknown"


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_config(parser, root)
    parser.add_argument(
        "--dataset", type=dataset_root, help=f"compare its images with the recorded ones: {DATASET_HELP}"
    )


def run(options: argparse.Namespace) -> int:
    """Print the models of role baseline, the recorded file and what it is comparable with."""
    from starlight_exporter.config import load_config

    config = load_config(locate_config(options.config, options.config_root))
    hashes: list[str] = []
    code = OK
    baselines = [model for model in config.models if model.role == "baseline"]
    for model in baselines:
        rows, sha256 = model_rows(model)
        _print(f"baseline model {model.name}", rows)
        if sha256 is None:
            code = NOT_MEASURED
        else:
            hashes.append(sha256)
    if not baselines:
        _print("baseline model", [("model", "none is configured with the role baseline")])
    if config.baseline is None:
        _print("recorded baseline", [("file", "not configured (key baseline)")])
        return code
    try:
        recorded = read_recorded(config.baseline)
    except BaselineError as error:
        _print("recorded baseline", [("file", str(error))])
        return NOT_MEASURED
    _print("recorded baseline", [("file", str(config.baseline)), *provenance_rows(recorded), *value_rows(recorded)])
    _print("comparable here", comparable_rows(config, recorded, hashes, options.dataset))
    return code


def read_recorded(path: Path) -> Baseline:
    """Read the recorded baseline. Raise BaselineError."""
    from starlight_exporter.checks.baseline import read_baseline

    return read_baseline(path)


def model_rows(model: ModelConfig) -> tuple[list[Row], str | None]:
    """Return file, SHA-256 and decision rule of a model, and the SHA-256; None if the file cannot be read."""
    from starlight_exporter.detector.model_file import model_sha256

    rule = ("decision rule", model.decision.rule().describe())
    try:
        sha256 = model_sha256(model.file)
    except ModelError as error:
        return [("file", str(error)), rule], None
    return [("file", str(model.file)), ("SHA-256", sha256), rule], sha256


def provenance_rows(recorded: Baseline) -> list[Row]:
    """Return where the recorded values come from."""
    from starlight_exporter.checks.recorded_parts import RecordedProvenance
    from starlight_exporter.formatting import utc

    origin = recorded.provenance or RecordedProvenance()
    return [
        ("model", f"{origin.model or _UNKNOWN} (SHA-256 {origin.model_sha256 or _UNKNOWN})"),
        ("dataset", f"{origin.dataset or _UNKNOWN} (fingerprint {origin.dataset_fingerprint or _UNKNOWN})"),
        ("decision rule", origin.decision or _UNKNOWN),
        ("measured at", _UNKNOWN if origin.measured_at is None else utc(origin.measured_at)),
        ("command", origin.command or _UNKNOWN),
        ("software", _software(origin)),
        ("machine", _UNKNOWN if recorded.machine is None else recorded.machine.describe()),
    ]


def value_rows(recorded: Baseline) -> list[Row]:
    """Return the recorded rates with their counts, latencies and the number of misclassified files."""
    from starlight_exporter.formatting import images_per_second, integer, milliseconds

    quantiles = (f"p{q * 100:g} {milliseconds(seconds)}" for q, seconds in recorded.latency_seconds.items())
    listed = recorded.misclassified
    return [
        *_rate_rows(recorded),
        ("latency", ", ".join(quantiles) or "not recorded"),
        ("throughput", images_per_second(recorded.throughput)),
        ("misclassified files", "not recorded" if listed is None else integer(len(listed))),
    ]


def comparable_rows(
    config: Config, recorded: Baseline, baseline_hashes: Sequence[str], dataset: DatasetRoot | None
) -> list[Row]:
    """Return whether model, rates and latencies of the recorded baseline apply to this configuration and machine."""
    from starlight_exporter.checks.baseline import latency_obstacle
    from starlight_exporter.checks.machine import current_machine
    from starlight_exporter.checks.recorded_parts import RecordedProvenance
    from starlight_exporter.dataset.layout import scan
    from starlight_exporter.detector.providers import describe_providers

    rows: list[Row] = []
    origin = recorded.provenance or RecordedProvenance()
    if baseline_hashes and origin.model_sha256 not in baseline_hashes:
        shown = "an unknown model" if origin.model_sha256 is None else f"SHA-256 {origin.model_sha256[:12]}"
        rows.append(("model", f"mismatch: recorded from {shown}, which is not the baseline model; see baseline accept"))
    elif baseline_hashes:
        rows.append(("model", "recorded from the baseline model"))
    limit = config.limits.max_file_bytes
    fingerprint = None if dataset is None else scan(root_name(dataset), dataset, max_file_bytes=limit).fingerprint
    compared = [model for model in config.models if model.role == "production"] or config.models
    rows += [(f"rates of {model.name}", _rates_result(model, recorded, fingerprint)) for model in compared]
    providers = dict.fromkeys(describe_providers(model.execution_providers()) for model in compared)
    for provider in providers:
        found = latency_obstacle(recorded, current_machine(provider))
        text = "comparable if the rates are" if found is None else f"not comparable: {found[1]}"
        rows.append(("latency" if len(providers) == 1 else f"latency on {provider}", text))
    return rows


def _rates_result(model: ModelConfig, recorded: Baseline, fingerprint: str | None) -> str:
    from starlight_exporter.checks.baseline import obstacle
    from starlight_exporter.evaluation.applied_rule import applied_rule_of_file
    from starlight_exporter.evaluation.spec import current_spec

    try:
        rule = applied_rule_of_file(model.file, model.decision.rule())
    except ModelError as error:
        return f"not comparable: {error}"
    origin = recorded.provenance
    stated = None if origin is None else origin.dataset_fingerprint
    spec = current_spec(
        model_sha256="",
        # Without a dataset, only the decision rule is compared.
        dataset_fingerprint=fingerprint or stated or "",
        decision=rule.describe(),
    )
    if found := obstacle(recorded, spec):
        return f"not comparable: {found[1]}"
    return "comparable" if fingerprint is not None else "comparable on the same images, which --dataset checks"


def _rate_rows(recorded: Baseline) -> Iterator[Row]:
    counts = recorded.counts
    yield "false positive rate", _rate(recorded.false_positive_ratio, counts.clean)
    for name, ratio in recorded.false_positive_ratio_by_format.items():
        yield f"  clean {name}", _rate(ratio, counts.clean_by_format.get(name))
    for category, ratio in recorded.false_positive_ratio_by_category.items():
        yield f"  negative {category}", _rate(ratio, counts.negatives.get(category))
    for method, ratio in recorded.detection_ratios.items():
        yield f"detection rate {method}", _rate(ratio, counts.detections.get(method))


def _rate(ratio: float | None, count: RecordedCount | None) -> str:
    from starlight_exporter.formatting import integer, percent

    if ratio is None or count is None:
        return percent(ratio)
    return f"{percent(ratio)} ({integer(count.count)} of {integer(count.total)})"


def _software(origin: RecordedProvenance) -> str:
    versions = (
        ("exporter", origin.exporter_version),
        ("onnxruntime", origin.onnxruntime_version),
        ("NumPy", origin.numpy_version),
        ("Pillow", origin.pillow_version),
    )
    return ", ".join(f"{name} {version or _UNKNOWN}" for name, version in versions)


def _print(title: str, rows: Sequence[Row]) -> None:
    print(title)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"  {name:<{width}}  {text}")
