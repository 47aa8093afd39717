"""Configuration file: exact error messages, defaults and the shipped example."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from starlight_exporter.config import Config, ScheduleConfig, load_config
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS, METHODS
from starlight_exporter.detector.decision import PRODUCTION_THRESHOLDS, DecisionRule
from starlight_exporter.durations import format_duration
from starlight_exporter.errors import ConfigError
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.runs.configuration import run_request
from starlight_exporter.runs.discovery import discover, with_discovered

ROOT = Path(__file__).resolve().parents[3]
MODEL = "{name: production, file: model.onnx, role: production}"
GOOD = f"models: [{MODEL}]\ndatasets: [{{name: reference, path: images}}]\n"
THRESHOLDS = "alpha: 0.7, palette: 0.9, lsb: 0.9, exif: 0.5, eoi: 0.6"


def model_with(text: str) -> str:
    return GOOD.replace("role: production", f"role: production, {text}")


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "starlight.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def error_of(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text
    return text.removeprefix(f"{file}: ")


DURATION = "expected a duration such as 30s, 15m or 1h30m; got "
SIZE = "expected a size such as 64MiB, or a whole number of bytes; got "
NAME = "expected 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit; got "
CRON = 'expected five cron fields such as "0 3 * * *"; got '

BAD: dict[str, tuple[str, str]] = {
    "unknown key": (
        GOOD + "surprise: 1\n",
        "surprise: unknown key; expected one of models, datasets, research, schedule, "
        "watch, baseline, paths, limits, latency, history, evidence, analyses",
    ),
    "research models without a folder": (
        GOOD + "research: {decision: {threshold: 0.5}}\n",
        "research.models_dir: is missing",
    ),
    "research models with an invalid rule": (
        GOOD + "research: {models_dir: models, decision: {threshold: 2}}\n",
        "research.decision.threshold: expected at most 1; got 2",
    ),
    "research models with roles": (
        GOOD + "research: {models_dir: models, role: baseline}\n",
        "research.role: unknown key; expected one of models_dir, decision",
    ),
    "analyses too often": (
        GOOD + "analyses: {interval: 1s}\n",
        "analyses.interval: expected a duration from 1m to 366d; got 1s",
    ),
    "misspelt key": (GOOD + "schedul: {interval: 1h}\n", "schedul: unknown key; did you mean schedule?"),
    "misspelt key in a list": (
        model_with("training_logs: x"),
        "models[0].training_logs: unknown key; did you mean training_log?",
    ),
    "misspelt required key": (
        GOOD.replace("file:", "fle:"),
        "models[0].fle: unknown key; did you mean file? (and 1 more error)",
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
    "models of the wrong type": (GOOD.replace(f"[{MODEL}]", "3"), "models: expected a list; got 3"),
    "model of the wrong type": (
        GOOD.replace(f"[{MODEL}]", "[x]"),
        "models[0]: expected a mapping of keys to values; got 'x'",
    ),
    "a list": ("- a\n", "expected a mapping of keys to values; got a list"),
    "text": ("hello\n", "expected a mapping of keys to values; got 'hello'"),
    "duplicate key": (
        GOOD + "watch: {settle: 1s}\nwatch: {settle: 2s}\n",
        'line 4, column 1: duplicate key "watch" (first in line 3)',
    ),
    "duplicate key inside": (
        GOOD + "watch: {settle: 1s, settle: 2s}\n",
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
        GOOD + "---\n" + GOOD,
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
    "wrong type of a string": (GOOD.replace("name: production", "name: 3"), "models[0].name: expected a string; got 3"),
    "an unquoted boolean": (
        GOOD.replace("name: production", "name: on"),
        "models[0].name: expected a string; got true (quote it to use it as text)",
    ),
    "an unquoted date": (
        GOOD.replace("name: reference", "name: 2026-01-01"),
        "datasets[0].name: expected a string; got a date",
    ),
    "no value": (GOOD.replace("path: images", "path:"), "datasets[0].path: expected a path; got nothing"),
    "bad label name": (GOOD.replace("name: reference", "name: 'my images'"), f"datasets[0].name: {NAME}'my images'"),
    "empty name": (GOOD.replace("name: reference", "name: ''"), f"datasets[0].name: {NAME}''"),
    "name with a line break": (GOOD.replace("name: reference", 'name: "a\\n"'), f"datasets[0].name: {NAME}'a\\n'"),
    "long name": (GOOD.replace("name: reference", f"name: {'a' * 64}"), f"datasets[0].name: {NAME}'{'a' * 53}...'"),
    "duplicate models": (
        GOOD.replace(MODEL, f"{MODEL}, {MODEL}"),
        "models[1].name: duplicate name 'production' (also models[0])",
    ),
    "duplicate datasets": (
        GOOD.replace("path: images}", "path: images}, {name: reference, path: more}"),
        "datasets[1].name: duplicate name 'reference' (also datasets[0])",
    ),
    "unknown role": (
        GOOD.replace("role: production", "role: main"),
        "models[0].role: expected one of production, baseline, research; got 'main'",
    ),
    "path of the wrong type": (
        GOOD.replace("file: model.onnx", "file: [a]"),
        "models[0].file: expected a path; got a list",
    ),
    "duration without a unit": (GOOD + "schedule: {interval: 15}\n", f"schedule.interval: {DURATION}15"),
    "invalid duration": (GOOD + "schedule: {interval: soon}\n", f"schedule.interval: {DURATION}'soon'"),
    "negative duration": (GOOD + "watch: {settle: -3s}\n", f"watch.settle: {DURATION}'-3s'"),
    "empty duration": (GOOD + "watch: {settle: ''}\n", f"watch.settle: {DURATION}''"),
    "astronomical duration": (GOOD + f"watch: {{settle: {'9' * 400}d}}\n", f"watch.settle: {DURATION}'{'9' * 53}...'"),
    "duration in other digits": (GOOD + "watch: {settle: ٣s}\n", f"watch.settle: {DURATION}'٣s'"),
    "interval too short": (
        GOOD + "schedule: {interval: 1s}\n",
        "schedule.interval: expected a duration from 10s to 366d; got 1s",
    ),
    "poll too often": (
        GOOD + "watch: {interval: 0s}\n",
        "watch.interval: expected a duration from 100ms to 1h; got 0s",
    ),
    "timeout too long": (
        GOOD + "limits: {evaluation_timeout: 8d}\n",
        "limits.evaluation_timeout: expected a duration from 1s to 7d; got 8d",
    ),
    "both interval and cron": (
        GOOD + "schedule: {interval: 1h, cron: '0 3 * * *'}\n",
        "schedule: expected either interval or cron",
    ),
    "neither interval nor cron": (GOOD + "schedule: {}\n", "schedule: expected either interval or cron"),
    "bad cron": (
        GOOD + "schedule: {cron: 'every day'}\n",
        f"schedule.cron: {CRON}'every day' (Wrong number of fields)",
    ),
    "cron out of range": (
        GOOD + "schedule: {cron: '60 * * * *'}\n",
        f"schedule.cron: {CRON}'60 * * * *' (Bad minute)",
    ),
    "cron with seconds": (
        GOOD + "schedule: {cron: '0 0 3 * * *'}\n",
        f"schedule.cron: {CRON}'0 0 3 * * *' (Wrong number of fields)",
    ),
    "cron with an unknown month": (
        GOOD + "schedule: {cron: '0 0 31 foo *'}\n",
        f"schedule.cron: {CRON}'0 0 31 foo *' (Bad month)",
    ),
    "cron that never fires": (
        GOOD + "schedule: {cron: '0 0 31 2 *'}\n",
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
    "negative size": (GOOD + "limits: {max_file_bytes: -1}\n", "limits.max_file_bytes: expected at least 1; got -1"),
    "size in unknown units": (GOOD + "limits: {max_file_bytes: 64MB}\n", f"limits.max_file_bytes: {SIZE}'64MB'"),
    "size with a sign": (GOOD + "history: {max_bytes: -1MiB}\n", f"history.max_bytes: {SIZE}'-1MiB'"),
    "history too small": (
        GOOD + "history: {max_bytes: 1KiB}\n",
        "history.max_bytes: expected at least 65536; got '1KiB'",
    ),
    "no evidence": (GOOD + "evidence: {keep: 0}\n", "evidence.keep: expected at least 1; got 0"),
    "no threads": (GOOD + "limits: {threads: 0}\n", "limits.threads: expected at least 1; got 0"),
    "fractional threads": (GOOD + "limits: {threads: 1.5}\n", "limits.threads: expected a whole number; got 1.5"),
    "pixels as a boolean": (
        GOOD + "limits: {max_image_pixels: true}\n",
        "limits.max_image_pixels: expected a whole number; got true (quote it to use it as text)",
    ),
    "a number of thousands of digits": (
        GOOD + f"latency: {{sample: 0x{'f' * 5000}}}\n",
        "latency.sample: expected at most 1000000; got a very long number",
    ),
    "an unknown number key": (
        GOOD + "3: x\n",
        "[3]: unknown key; expected one of models, datasets, research, schedule, "
        "watch, baseline, paths, limits, latency, history, evidence, analyses",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_error_is_one_line_with_file_key_and_expected_value(tmp_path: Path, case: str) -> None:
    text, expected = BAD[case]
    assert error_of(written(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda _file: None, "cannot be read: No such file or directory"),
        (lambda file: file.mkdir(), "cannot be read: Is a directory"),
        (lambda file: file.symlink_to(file), "cannot be read: Too many levels of symbolic links"),
        (
            lambda file: file.write_text("#" * (1024 * 1024 + 1)),
            "larger than 1048576 bytes, which is the maximum for a configuration file",
        ),
        (lambda file: file.write_bytes(GOOD.encode("utf-16")), "not UTF-8 text (byte 0)"),
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
    file = written(tmp_path, GOOD)
    file.chmod(0)
    assert error_of(file) == "cannot be read: Permission denied"


def test_error_message_has_bounded_length(tmp_path: Path) -> None:
    text = GOOD.replace("role: production", f"role: {'x' * 100_000}")
    assert len(error_of(written(tmp_path, text))) < 300


@pytest.mark.parametrize("section", ["data", "results"])
@pytest.mark.parametrize("folder", ["images", "images/inside", "elsewhere/../images/x"])
def test_rejects_results_folder_inside_a_dataset(tmp_path: Path, section: str, folder: str) -> None:
    text = GOOD + f"paths: {{{section}: {folder}}}\n"
    place = tmp_path / Path(folder.replace("elsewhere/../", ""))
    assert error_of(written(tmp_path, text)) == (
        f"paths.{section}: {place} is inside datasets[0].path {tmp_path / 'images'}"
    )


def test_rejects_default_data_folder_inside_a_dataset(tmp_path: Path) -> None:
    text = GOOD.replace("path: images", "path: .")
    assert error_of(written(tmp_path, text)) == (
        f"paths.data: {tmp_path / 'data'} is inside datasets[0].path {tmp_path}"
    )


def test_rejects_exponential_merge_keys_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    began = time.monotonic()
    assert error_of(written(tmp_path, "\n".join(lines))) == "line 5, column 5: `<<` merges more than 1000 keys"
    assert time.monotonic() - began < 5


def test_rejects_exponential_aliases_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    lines += ["models: *a29"]
    began = time.monotonic()
    text = error_of(written(tmp_path, "\n".join(lines)))
    assert time.monotonic() - began < 5
    assert text.startswith("a0: unknown key; expected one of models")


def test_rejects_recursive_list(tmp_path: Path) -> None:
    text = "models: &a [*a]\ndatasets: [{name: a, path: b}]\n"
    assert error_of(written(tmp_path, text)) == "models[0]: expected a mapping of keys to values; got a list"


def test_supports_aliases_and_merge_keys(tmp_path: Path) -> None:
    text = f"""
models:
  - &first {{name: production, file: model.onnx, role: production, decision: {{thresholds: {{{THRESHOLDS}}}}}}}
  - <<: *first
    name: plain
    decision: {{threshold: 0.5}}
datasets: [{{name: reference, path: images}}]
"""
    config = load_config(written(tmp_path, text))
    assert [model.name for model in config.models] == ["production", "plain"]
    assert config.models[1].file == config.models[0].file


def test_default_values(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD))
    model = config.models[0]
    assert model.decision.rule().describe() == DecisionRule.single(0.5).describe()
    assert model.training_log is None
    assert (config.schedule.interval, config.schedule.cron) == (3600.0, None)
    assert (config.watch.interval, config.watch.settle) == (2.0, 3.0)
    assert config.baseline is None
    assert config.paths.data == tmp_path / "data"
    assert config.paths.results == tmp_path / "results"
    assert config.runbooks() == ROOT / "alerting" / "runbooks"
    assert config.limits.threads is None
    assert (config.limits.evaluation_timeout, config.limits.image_timeout) == (3600.0, 30.0)
    assert (config.limits.max_image_pixels, config.limits.max_file_bytes) == (DEFAULT_MAX_PIXELS, 256 * 1024 * 1024)
    assert (config.latency.sample, config.latency.seed) == (1000, 0)
    assert (config.history.max_bytes, config.history.keep) == (64 * 1024 * 1024, 4)
    assert config.evidence.keep == 50


def test_default_image_limits_match_those_of_the_scripts(tmp_path: Path) -> None:
    request = run_request(load_config(written(tmp_path, GOOD)), ("production", "reference"), "test")
    assert request is not None
    assert request.limits == RunLimits()


def test_reads_every_section(tmp_path: Path) -> None:
    text = f"""
models:
  - name: v4.1_new-rule
    file: /models/v4.onnx
    role: research
    decision: {{thresholds: {{{THRESHOLDS}}}}}
    training_log: logs/train.jsonl
datasets: [{{name: reference, path: images}}, {{name: field, path: ../field}}]
schedule: {{cron: "30 3 * * mon-fri"}}
watch: {{interval: 500ms, settle: 0s}}
baseline: baseline.json
paths: {{data: /var/lib/starlight, results: out, runbooks: books}}
limits: {{threads: 2, evaluation_timeout: 1h30m, image_timeout: 1m500ms, max_image_pixels: 1000, max_file_bytes: 1GiB}}
latency: {{sample: 0, seed: 7}}
history: {{max_bytes: 1MiB, keep: 0}}
evidence: {{keep: 1}}
"""
    config = load_config(written(tmp_path, text))
    model = config.models[0]
    assert (model.name, model.role, model.file) == ("v4.1_new-rule", "research", Path("/models/v4.onnx"))
    assert model.decision.rule() == DecisionRule.per_method(
        {"alpha": 0.7, "palette": 0.9, "lsb": 0.9, "exif": 0.5, "eoi": 0.6}
    )
    assert model.training_log == tmp_path / "logs" / "train.jsonl"
    assert [dataset.path for dataset in config.datasets] == [tmp_path / "images", tmp_path.parent / "field"]
    assert config.schedule.cron == "30 3 * * mon-fri"
    assert (config.watch.interval, config.watch.settle) == (0.5, 0.0)
    assert config.baseline == tmp_path / "baseline.json"
    assert config.paths.data == Path("/var/lib/starlight")
    assert config.paths.results == tmp_path / "out"
    assert (config.limits.evaluation_timeout, config.limits.image_timeout) == (5400.0, 60.5)
    assert (config.limits.max_file_bytes, config.history.max_bytes) == (1024**3, 1024**2)
    assert config.model("v4.1_new-rule") is model
    assert config.model("other") is None
    assert config.dataset("field") is config.datasets[1]
    assert config.dataset("other") is None


def test_resolves_paths_against_the_file_and_keeps_symlinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.onnx").touch()
    (tmp_path / "there" / "model.onnx").symlink_to("real.onnx")
    written(tmp_path / "there", GOOD)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("there/starlight.yml"))
    assert config.models[0].file == tmp_path / "there" / "model.onnx"
    assert config.datasets[0].path == tmp_path / "there" / "images"


def test_accepts_byte_order_mark(tmp_path: Path) -> None:
    assert isinstance(load_config(written(tmp_path, GOOD.encode("utf-8-sig"))), Config)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (0.1, "100ms"), (90.0, "1m30s"), (5400.0, "1h30m"), (366 * 86400.0, "366d")]
)
def test_formats_durations_as_in_the_file(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("weekday", "expected"),
    [
        ("0", {"Sun"}),
        ("7", {"Sun"}),
        ("1", {"Mon"}),
        ("1-5", {"Mon", "Tue", "Wed", "Thu", "Fri"}),
        ("sat", {"Sat"}),
        ("0,6", {"Sun", "Sat"}),
        ("5-7", {"Fri", "Sat", "Sun"}),
        ("0-3", {"Sun", "Mon", "Tue", "Wed"}),
        ("SUN-tue", {"Sun", "Mon", "Tue"}),
        ("0-7", {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}),
        ("*", {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}),
        ("*/2", {"Sun", "Tue", "Thu", "Sat"}),
        ("1-5/2", {"Mon", "Wed", "Fri"}),
        ("tue-sat/3", {"Tue", "Fri"}),
        ("6,1-2,thu-fri/7", {"Sat", "Mon", "Tue", "Thu"}),
    ],
)
def test_cron_weekdays_match_crontab(weekday: str, expected: set[str]) -> None:
    times = cron_times(f"0 3 * * {weekday}", 7)
    assert {(time.hour, time.minute, time.tzinfo) for time in times} == {(3, 0, UTC)}
    assert {f"{time:%a}" for time in times} == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Both fields are restricted: either may match. 1 January 2026 is a Thursday.
        ("0 3 13 * mon", ["Mon 05", "Mon 12", "Tue 13", "Mon 19"]),
        ("0 3 13 * *", ["Tue 13", "Fri 13", "Fri 13", "Mon 13"]),
        ("0 3 * * mon", ["Mon 05", "Mon 12", "Mon 19", "Mon 26"]),
        # A field that starts with `*` does not count as restricted.
        ("0 3 */15 * mon", ["Mon 16", "Mon 16", "Mon 01", "Mon 31"]),
    ],
)
def test_cron_fires_on_day_of_month_or_weekday(expression: str, expected: list[str]) -> None:
    assert [f"{time:%a %d}" for time in cron_times(expression, 4)] == expected


def cron_times(expression: str, count: int) -> list[datetime]:
    ScheduleConfig.model_validate({"cron": expression})
    return list(itertools.islice(CronSim(expression, datetime(2026, 1, 1, 4, tzinfo=UTC)), count))


@pytest.mark.parametrize("weekday", ["8", "monday", "mon,", "*/0", "1-5/", "fri-mon", "7-2", "5-0"])
def test_rejects_invalid_cron_weekday(tmp_path: Path, weekday: str) -> None:
    error = error_of(written(tmp_path, GOOD + f"schedule: {{cron: '0 3 * * {weekday}'}}\n"))
    assert error == f"schedule.cron: {CRON}'0 3 * * {weekday}' (Bad day-of-week)"


def test_shipped_configuration_matches_its_documentation() -> None:
    config = load_config(ROOT / "starlight.yml")
    production, v3 = config.models
    assert (production.name, production.role) == ("production", "production")
    assert (v3.name, v3.role) == ("v3", "baseline")
    assert config.research is not None
    assert config.research.models_dir == ROOT / "models"
    assert {"v4_triplet_loss", "v4_adversarial_hardened", "v4_int8"} <= {m.name for m in discover(config).models}
    for model in with_discovered(config, discover(config)).models:
        assert model.file == ROOT / "models" / model.name / "model.onnx"
        assert model.decision.rule() == DecisionRule.per_method({m: PRODUCTION_THRESHOLDS[m] for m in METHODS})
    assert [(dataset.name, dataset.path) for dataset in config.datasets] == [
        ("reference", ROOT / "datasets" / "reference")
    ]
    assert config.schedule.interval == 900.0
    assert (config.watch.interval, config.watch.settle) == (2.0, 3.0)
    assert config.baseline == ROOT / "tests" / "regression_baselines.json"
    assert config.paths.data == ROOT / "data"
    assert config.paths.results == ROOT / "results"
    assert config.documents() == ROOT / "results" / "documents"
    assert (config.analyses.interval, config.analyses.ablate) == (86400.0, ("production",))
    assert config.runbooks() == ROOT / "alerting" / "runbooks"
    assert (config.latency.sample, config.latency.seed) == (1000, 0)


def test_default_cache_folder_is_inside_the_data_folder(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, GOOD)).cache() == CacheSettings(tmp_path / "data" / "cache", 4 * 1024**3)
    elsewhere = GOOD + "paths: {data: there, cache: /fast/disk}\nlimits: {cache_bytes: 100MiB}\n"
    assert load_config(written(tmp_path, elsewhere)).cache() == CacheSettings(Path("/fast/disk"), 100 * 1024**2)
    assert load_config(written(tmp_path, GOOD + "limits: {cache_bytes: 0}\n")).cache() is None
    error = error_of(written(tmp_path, GOOD + "paths: {cache: images/cache}\n"))
    assert error == f"paths.cache: {tmp_path / 'images/cache'} is inside datasets[0].path {tmp_path / 'images'}"
    assert error_of(written(tmp_path, GOOD + "limits: {cache_bytes: lots}\n")) == f"limits.cache_bytes: {SIZE}'lots'"


def test_default_documents_folder_is_inside_the_results_folder(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, GOOD)).documents() == tmp_path / "results" / "documents"
    assert load_config(written(tmp_path, GOOD + "paths: {documents: pages}\n")).documents() == tmp_path / "pages"
    error = error_of(written(tmp_path, GOOD + "paths: {documents: images/pages}\n"))
    assert error == f"paths.documents: {tmp_path / 'images/pages'} is inside datasets[0].path {tmp_path / 'images'}"
