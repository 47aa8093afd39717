"""Errors of the configuration file: one line with the file, the key and what is expected."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.config_files import MODEL, THRESHOLDS, VALID, error_of, model_with, unlabelled_with, write_config_file

DURATION = "expected a duration such as 30s, 15m or 1h30m; got "
SIZE = "expected a size such as 64MiB, or a whole number of bytes; got "
NAME = "expected 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit; got "
CRON = 'expected five cron fields such as "0 3 * * *"; got '

BAD: dict[str, tuple[str, str]] = {
    "unknown key": (
        VALID + "surprise: 1\n",
        "surprise: unknown key; expected one of models, datasets, research, schedule, "
        "watch, baseline, checks, paths, limits, engine, latency, history, evidence, analyses",
    ),
    "research models without a folder": (
        VALID + "research: {decision: {threshold: 0.5}}\n",
        "research.models_dir: is missing",
    ),
    "research models with an invalid rule": (
        VALID + "research: {models_dir: models, decision: {threshold: 2}}\n",
        "research.decision.threshold: expected at most 1; got 2",
    ),
    "research models with roles": (
        VALID + "research: {models_dir: models, role: baseline}\n",
        "research.role: unknown key; expected one of models_dir, decision, providers",
    ),
    "unknown execution provider": (
        model_with("providers: [{name: cuda}]"),
        "models[0].providers[0].name: expected an execution provider such as CUDAExecutionProvider; got 'cuda'",
    ),
    "no execution provider": (model_with("providers: []"), "models[0].providers: must contain at least 1 item"),
    "execution provider given twice": (
        model_with("providers: [{name: CUDAExecutionProvider}, {name: CUDAExecutionProvider}]"),
        "models[0].providers: duplicate provider CUDAExecutionProvider",
    ),
    "option of an execution provider that is a list": (
        model_with("providers: [{name: CUDAExecutionProvider, options: {device_id: [1]}}]"),
        "models[0].providers[0].options.device_id: expected a string, a number, true or false; got a list",
    ),
    "analyses too often": (
        VALID + "analyses: {interval: 1s}\n",
        "analyses.interval: expected a duration from 1m to 366d; got 1s",
    ),
    "misspelt key": (VALID + "schedul: {interval: 1h}\n", "schedul: unknown key; did you mean schedule?"),
    "misspelt key in a list": (
        model_with("training_logs: x"),
        "models[0].training_logs: unknown key; did you mean training_log?",
    ),
    "misspelt required key": (
        VALID.replace("file:", "fle:"),
        "models[0].fle: unknown key; did you mean file? (and 1 more error)",
    ),
    "drift reference of a labelled dataset": (
        VALID.replace("path: images", "path: images, drift_reference: reference"),
        "datasets[0]: drift_reference: requires `labelled: false`",
    ),
    "window of a labelled dataset": (
        VALID.replace("path: images", "path: images, window: {images: 10}"),
        "datasets[0]: window: requires `labelled: false`",
    ),
    "empty window": (unlabelled_with("window: {}"), "datasets[1].window: expected either images or age"),
    "window of images and age": (
        unlabelled_with("window: {images: 10, age: 1d}"),
        "datasets[1].window: expected either images or age",
    ),
    "window without images": (
        unlabelled_with("window: {images: 0}"),
        "datasets[1].window.images: expected at least 1; got 0",
    ),
    "short window": (
        unlabelled_with("window: {age: 1s}"),
        "datasets[1].window.age: expected a duration from 1m to 366d; got 1s",
    ),
    "unknown drift reference": (
        unlabelled_with("drift_reference: other"),
        "datasets[1].drift_reference: expected the name of a labelled dataset (reference); got 'other'",
    ),
    "unlabelled drift reference": (
        unlabelled_with("drift_reference: incoming"),
        "datasets[1].drift_reference: expected the name of a labelled dataset (reference); got 'incoming'",
    ),
    "empty file": ("", "models: is missing (and 1 more error)"),
    "only comments": ("# nothing\n", "models: is missing (and 1 more error)"),
    "missing models": ("datasets: [{name: a, path: b}]\n", "models: is missing"),
    "no models": ("models: []\ndatasets: [{name: a, path: b}]\n", "models: must contain at least 1 item"),
    "too many models": (
        "models:\n"
        + "".join(f"- {MODEL.replace('production,', f'm{n},', 1)}\n" for n in range(21))
        + "datasets: [{name: a, path: b}]\n",
        "models: must contain at most 20 items",
    ),
    "models of the wrong type": (VALID.replace(f"[{MODEL}]", "3"), "models: expected a list; got 3"),
    "model of the wrong type": (
        VALID.replace(f"[{MODEL}]", "[x]"),
        "models[0]: expected a mapping of keys to values; got 'x'",
    ),
    "a list": ("- a\n", "expected a mapping of keys to values; got a list"),
    "text": ("hello\n", "expected a mapping of keys to values; got 'hello'"),
    "duplicate key": (
        VALID + "watch: {settle: 1s}\nwatch: {settle: 2s}\n",
        'line 4, column 1: duplicate key "watch" (first in line 3)',
    ),
    "duplicate key inside": (
        VALID + "watch: {settle: 1s, settle: 2s}\n",
        'line 3, column 21: duplicate key "settle" (first in line 3)',
    ),
    "not YAML": (
        "models: [\n",
        "line 2, column 1: while parsing a flow node, expected the node content, but found '<stream end>'",
    ),
    "a tab": (
        "models:\n\t- x\n",
        "line 2, column 1: while scanning for the next token, found character '\\t' that cannot start any token",
    ),
    "two documents": (
        VALID + "---\n" + VALID,
        "line 3, column 1: expected a single document in the stream, but found another document",
    ),
    "unknown tag": (
        "models: !python/object:os.system x\n",
        "line 1, column 9: could not determine a constructor for the tag '!python/object:os.system'",
    ),
    "impossible date": ("models: 2024-13-45\n", "not YAML: ValueError: month must be in 1..12"),
    "converter that fails": ("models: !!bool maybe\n", "not YAML: KeyError: 'maybe'"),
    "converter that fails with AttributeError": (
        "models: !!timestamp soon\n",
        "not YAML: AttributeError: 'NoneType' object has no attribute 'groupdict'",
    ),
    "too deep": ("models: " + "[" * 20_000, "not YAML: nested too deeply"),
    "control characters": (
        "models: \x00\n",
        "not YAML: ReaderError: unacceptable character #x0000: special characters "
        'are not allowed in "<unicode string>", position 8',
    ),
    "wrong type of a string": (
        VALID.replace("name: production", "name: 3"),
        "models[0].name: expected a string; got 3",
    ),
    "an unquoted boolean": (
        VALID.replace("name: production", "name: on"),
        "models[0].name: expected a string; got true (quote it to use it as text)",
    ),
    "an unquoted date": (
        VALID.replace("name: reference", "name: 2026-01-01"),
        "datasets[0].name: expected a string; got a date",
    ),
    "no value": (VALID.replace("path: images", "path:"), "datasets[0].path: expected a path; got nothing"),
    "bad label name": (VALID.replace("name: reference", "name: 'my images'"), f"datasets[0].name: {NAME}'my images'"),
    "empty name": (VALID.replace("name: reference", "name: ''"), f"datasets[0].name: {NAME}''"),
    "name with a line break": (VALID.replace("name: reference", 'name: "a\\n"'), f"datasets[0].name: {NAME}'a\\n'"),
    "long name": (VALID.replace("name: reference", f"name: {'a' * 64}"), f"datasets[0].name: {NAME}'{'a' * 53}...'"),
    "duplicate models": (
        VALID.replace(MODEL, f"{MODEL}, {MODEL}"),
        "models[1].name: duplicate name 'production' (also models[0])",
    ),
    "two baselines": (
        VALID.replace(
            MODEL, MODEL.replace("production}", "baseline}") + ", {name: other, file: other.onnx, role: baseline}"
        ),
        "models: expected at most one model with role baseline",
    ),
    "unknown check": (
        VALID + "checks: {detections: 0.9}\n",
        "checks.detections: unknown key; did you mean detection_floor?",
    ),
    "percent instead of a ratio": (
        VALID + "checks: {fpr_target: 5}\n",
        "checks.fpr_target: expected at most 1; got 5",
    ),
    "factor below 1": (
        VALID + "checks: {latency_baseline: 0.2}\n",
        "checks.latency_baseline: expected at least 1; got 0.2",
    ),
    "latency limit without a unit": (
        VALID + "checks: {latency_limit: 5}\n",
        "checks.latency_limit: expected a duration such as 30s, 15m or 1h30m; got 5",
    ),
    "unknown disabled check": (
        VALID + "checks: {disabled: [latency]}\n",
        "checks.disabled[0]: expected one of fpr_baseline, fpr_stability, fpr_target, detection_baseline, "
        "detection_floor, detection_target, latency_baseline, latency_limit, format_consistency, negatives; "
        "got 'latency'",
    ),
    "alerts that are not a boolean": (
        VALID.replace("path: images}", "path: images, alerts: 1}"),
        "datasets[0].alerts: expected true or false; got 1",
    ),
    "comparison of one model": (
        VALID + "analyses: {comparison: {before: v3}}\n",
        "analyses.comparison.after: is missing",
    ),
    "duplicate datasets": (
        VALID.replace("path: images}", "path: images}, {name: reference, path: more}"),
        "datasets[1].name: duplicate name 'reference' (also datasets[0])",
    ),
    "unknown role": (
        VALID.replace("role: production", "role: main"),
        "models[0].role: expected one of production, baseline, research; got 'main'",
    ),
    "path of the wrong type": (
        VALID.replace("file: model.onnx", "file: [a]"),
        "models[0].file: expected a path; got a list",
    ),
    "duration without a unit": (VALID + "schedule: {interval: 15}\n", f"schedule.interval: {DURATION}15"),
    "invalid duration": (VALID + "schedule: {interval: soon}\n", f"schedule.interval: {DURATION}'soon'"),
    "negative duration": (VALID + "watch: {settle: -3s}\n", f"watch.settle: {DURATION}'-3s'"),
    "empty duration": (VALID + "watch: {settle: ''}\n", f"watch.settle: {DURATION}''"),
    "astronomical duration": (VALID + f"watch: {{settle: {'9' * 400}d}}\n", f"watch.settle: {DURATION}'{'9' * 53}...'"),
    "duration in other digits": (VALID + "watch: {settle: ٣s}\n", f"watch.settle: {DURATION}'٣s'"),
    "interval too short": (
        VALID + "schedule: {interval: 1s}\n",
        "schedule.interval: expected a duration from 10s to 366d; got 1s",
    ),
    "poll too often": (
        VALID + "watch: {interval: 0s}\n",
        "watch.interval: expected a duration from 100ms to 1h; got 0s",
    ),
    "timeout too long": (
        VALID + "limits: {evaluation_timeout: 8d}\n",
        "limits.evaluation_timeout: expected a duration from 1s to 7d; got 8d",
    ),
    "both interval and cron": (
        VALID + "schedule: {interval: 1h, cron: '0 3 * * *'}\n",
        "schedule: expected either interval or cron",
    ),
    "neither interval nor cron": (VALID + "schedule: {}\n", "schedule: expected either interval or cron"),
    "bad cron": (
        VALID + "schedule: {cron: 'every day'}\n",
        f"schedule.cron: {CRON}'every day' (Wrong number of fields)",
    ),
    "cron out of range": (
        VALID + "schedule: {cron: '60 * * * *'}\n",
        f"schedule.cron: {CRON}'60 * * * *' (Bad minute)",
    ),
    "cron with seconds": (
        VALID + "schedule: {cron: '0 0 3 * * *'}\n",
        f"schedule.cron: {CRON}'0 0 3 * * *' (Wrong number of fields)",
    ),
    "cron with an unknown month": (
        VALID + "schedule: {cron: '0 0 31 foo *'}\n",
        f"schedule.cron: {CRON}'0 0 31 foo *' (Bad month)",
    ),
    "cron that never fires": (
        VALID + "schedule: {cron: '0 0 31 2 *'}\n",
        "schedule.cron: cron expression never fires: '0 0 31 2 *'",
    ),
    "threshold above 1": (
        model_with("decision: {threshold: 1.5}"),
        "models[0].decision.threshold: expected at most 1; got 1.5",
    ),
    "threshold below 0": (
        model_with("decision: {threshold: -0.1}"),
        "models[0].decision.threshold: expected at least 0; got -0.1",
    ),
    "threshold that is not a number": (
        model_with("decision: {threshold: .nan}"),
        "models[0].decision.threshold: expected a finite number; got nan",
    ),
    "threshold as text": (
        model_with("decision: {threshold: '0.5'}"),
        "models[0].decision.threshold: expected a number; got '0.5'",
    ),
    "threshold and thresholds": (
        model_with(f"decision: {{threshold: 0.5, thresholds: {{{THRESHOLDS}}}}}"),
        "models[0].decision: expected either threshold or thresholds",
    ),
    "empty decision": (model_with("decision: {}"), "models[0].decision: expected either threshold or thresholds"),
    "thresholds without a method": (
        model_with(f"decision: {{thresholds: {{{THRESHOLDS.replace(', eoi: 0.6', '')}}}}}"),
        "models[0].decision.thresholds.eoi: is missing",
    ),
    "thresholds with an unknown method": (
        model_with(f"decision: {{thresholds: {{{THRESHOLDS}, dct: 0.5}}}}"),
        "models[0].decision.thresholds.dct: unknown key; expected one of alpha, palette, lsb, exif, eoi",
    ),
    "threshold of a method out of range": (
        model_with(f"decision: {{thresholds: {{{THRESHOLDS.replace('0.7', '7')}}}}}"),
        "models[0].decision.thresholds.alpha: expected at most 1; got 7",
    ),
    "negative size": (VALID + "limits: {max_file_bytes: -1}\n", "limits.max_file_bytes: expected at least 1; got -1"),
    "size in unknown units": (VALID + "limits: {max_file_bytes: 64MB}\n", f"limits.max_file_bytes: {SIZE}'64MB'"),
    "size with a sign": (VALID + "history: {max_bytes: -1MiB}\n", f"history.max_bytes: {SIZE}'-1MiB'"),
    "history too small": (
        VALID + "history: {max_bytes: 1KiB}\n",
        "history.max_bytes: expected at least 65536; got '1KiB'",
    ),
    "no evidence": (VALID + "evidence: {keep: 0}\n", "evidence.keep: expected at least 1; got 0"),
    "no threads": (VALID + "limits: {threads: 0}\n", "limits.threads: expected at least 1; got 0"),
    "fractional threads": (VALID + "limits: {threads: 1.5}\n", "limits.threads: expected a whole number; got 1.5"),
    "pixels as a boolean": (
        VALID + "limits: {max_image_pixels: true}\n",
        "limits.max_image_pixels: expected a whole number; got true (quote it to use it as text)",
    ),
    "a number of thousands of digits": (
        VALID + f"latency: {{sample: 0x{'f' * 5000}}}\n",
        "latency.sample: expected at most 1000000; got a very long number",
    ),
    "an unknown number key": (
        VALID + "3: x\n",
        "[3]: unknown key; expected one of models, datasets, research, schedule, "
        "watch, baseline, checks, paths, limits, engine, latency, history, evidence, analyses",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_error_is_one_line_with_file_key_and_expected_value(tmp_path: Path, case: str) -> None:
    text, expected = BAD[case]
    assert error_of(write_config_file(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda _file: None, "cannot be read: No such file or directory"),
        (lambda file: file.mkdir(), "cannot be read: is a directory, not a regular file"),
        (lambda file: file.symlink_to(file), "cannot be read: Too many levels of symbolic links"),
        (
            lambda file: file.write_text("#" * (1024 * 1024 + 1)),
            "cannot be read: larger than 1.0 MiB",
        ),
        (lambda file: file.write_bytes(VALID.encode("utf-16")), "not UTF-8 text (byte 0)"),
        (lambda file: file.write_bytes(b"models: \xe9"), "not UTF-8 text (byte 8)"),
    ],
    ids=["missing", "directory", "link to itself", "too large", "UTF-16", "Latin-1"],
)
def test_rejects_unreadable_file(tmp_path: Path, prepare: Callable[[Path], object], expected: str) -> None:
    file = tmp_path / "starlight.yml"
    prepare(file)
    assert error_of(file) == expected


@pytest.mark.skipif("os.geteuid() == 0", reason="root may read everything")
def test_rejects_file_without_read_permission(tmp_path: Path) -> None:
    file = write_config_file(tmp_path, VALID)
    file.chmod(0)
    assert error_of(file) == "cannot be read: Permission denied"


def test_error_message_has_bounded_length(tmp_path: Path) -> None:
    text = VALID.replace("role: production", f"role: {'x' * 100_000}")
    assert len(error_of(write_config_file(tmp_path, text))) < 300


def test_rejects_exponential_merge_keys_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    began = time.monotonic()
    assert (
        error_of(write_config_file(tmp_path, "\n".join(lines))) == "line 5, column 5: `<<` merges more than 1000 keys"
    )
    assert time.monotonic() - began < 5


def test_rejects_exponential_aliases_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    lines += ["models: *a29"]
    began = time.monotonic()
    text = error_of(write_config_file(tmp_path, "\n".join(lines)))
    assert time.monotonic() - began < 5
    assert text.startswith("a0: unknown key; expected one of models")


def test_rejects_recursive_list(tmp_path: Path) -> None:
    text = "models: &a [*a]\ndatasets: [{name: a, path: b}]\n"
    assert error_of(write_config_file(tmp_path, text)) == "models[0]: expected a mapping of keys to values; got a list"
