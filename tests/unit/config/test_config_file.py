"""Configuration file: defaults, sections, paths, schedule and the shipped file."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from stack.datasets import DATASETS
from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckLimits
from starlight_exporter.config import ComparisonConfig, Config, ScheduleConfig, load_config
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.window import Window
from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS, METHODS
from starlight_exporter.detector.decision import PRODUCTION_THRESHOLDS, DecisionRule
from starlight_exporter.durations import format_duration
from starlight_exporter.evaluation.request import BaselineModel, DriftReference, RunLimits, UnlabelledImages
from starlight_exporter.runs.configuration import configured_evaluation, run_request
from starlight_exporter.runs.discovery import discover, with_discovered
from support.config_files import THRESHOLDS, VALID, error_of, unlabelled_with, write_config_file

ROOT = Path(__file__).resolve().parents[3]
SIZE = "expected a size such as 64MiB, or a whole number of bytes; got "
CRON = 'expected five cron fields such as "0 3 * * *"; got '


@pytest.mark.parametrize("section", ["data", "results"])
@pytest.mark.parametrize("folder", ["images", "images/inside", "elsewhere/../images/x"])
def test_rejects_results_folder_inside_a_dataset(tmp_path: Path, section: str, folder: str) -> None:
    text = VALID + f"paths: {{{section}: {folder}}}\n"
    place = tmp_path / Path(folder.replace("elsewhere/../", ""))
    assert error_of(write_config_file(tmp_path, text)) == (
        f"paths.{section}: {place} is inside datasets[0].path {tmp_path / 'images'}"
    )


def test_rejects_default_data_folder_inside_a_dataset(tmp_path: Path) -> None:
    text = VALID.replace("path: images", "path: .")
    assert error_of(write_config_file(tmp_path, text)) == (
        f"paths.data: {tmp_path / 'data'} is inside datasets[0].path {tmp_path}"
    )


def test_supports_aliases_and_merge_keys(tmp_path: Path) -> None:
    text = f"""
models:
  - &first {{name: production, file: model.onnx, role: production, decision: {{thresholds: {{{THRESHOLDS}}}}}}}
  - <<: *first
    name: plain
    decision: {{threshold: 0.5}}
datasets: [{{name: reference, path: images}}]
"""
    config = load_config(write_config_file(tmp_path, text))
    assert [model.name for model in config.models] == ["production", "plain"]
    assert config.models[1].file == config.models[0].file


def test_default_values(tmp_path: Path) -> None:
    config = load_config(write_config_file(tmp_path, VALID))
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
    request = run_request(load_config(write_config_file(tmp_path, VALID)), ("production", "reference"), "test")
    assert request is not None
    assert request.limits == RunLimits()


def test_latency_is_compared_with_the_baseline_model(tmp_path: Path) -> None:
    text = f"""
models:
  - {{name: production, file: model.onnx, role: production}}
  - {{name: accepted, file: accepted.onnx, role: baseline, decision: {{thresholds: {{{THRESHOLDS}}}}}}}
  - {{name: candidate, file: candidate.onnx, role: research}}
datasets: [{{name: reference, path: images}}]
"""
    config = load_config(write_config_file(tmp_path, text))
    requests = {name: run_request(config, (name, "reference"), "test") for name in ("production", "candidate")}
    accepted = config.models[1]
    for request in requests.values():
        assert request is not None
        assert request.baseline == BaselineModel(tmp_path / "accepted.onnx", accepted.decision.rule())
    own = run_request(config, ("accepted", "reference"), "test")
    assert own is not None
    assert own.baseline is None
    single = run_request(load_config(write_config_file(tmp_path, VALID)), ("production", "reference"), "test")
    assert single is not None
    assert single.baseline is None


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
    config = load_config(write_config_file(tmp_path, text))
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


def test_unlabelled_dataset_has_a_window_and_a_drift_reference(tmp_path: Path) -> None:
    text = unlabelled_with("drift_reference: reference, window: {age: 7d}")
    config = load_config(write_config_file(tmp_path, text))
    labelled, unlabelled = (run_request(config, ("production", name), "test") for name in ("reference", "incoming"))
    assert labelled is not None
    assert labelled.unlabelled is None
    assert unlabelled is not None
    assert unlabelled.unlabelled == UnlabelledImages(Window(seconds=7 * 86_400), DriftReference("reference"))
    other = load_config(write_config_file(tmp_path, text.replace("7d", "6d")))
    pair = ("production", "incoming")
    assert configured_evaluation(config, pair) != configured_evaluation(other, pair)


def test_resolves_paths_against_the_file_and_keeps_symlinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.onnx").touch()
    (tmp_path / "there" / "model.onnx").symlink_to("real.onnx")
    write_config_file(tmp_path / "there", VALID)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("there/starlight.yml"))
    assert config.models[0].file == tmp_path / "there" / "model.onnx"
    assert config.datasets[0].path == tmp_path / "there" / "images"


def test_accepts_byte_order_mark(tmp_path: Path) -> None:
    assert isinstance(load_config(write_config_file(tmp_path, VALID.encode("utf-8-sig"))), Config)


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
    error = error_of(write_config_file(tmp_path, VALID + f"schedule: {{cron: '0 3 * * {weekday}'}}\n"))
    assert error == f"schedule.cron: {CRON}'0 3 * * {weekday}' (Bad day-of-week)"


def test_shipped_configuration_matches_its_documentation() -> None:
    config = load_config(ROOT / "config" / "starlight.yml")
    production, baseline = config.models
    assert (production.name, production.role) == ("production", "production")
    assert (baseline.name, baseline.role) == ("baseline", "baseline")
    assert baseline.decision == production.decision
    assert config.research is not None
    assert config.research.models_dir == ROOT / "models"
    assert {"v4_triplet_loss", "v4_adversarial_hardened", "v4_int8"} <= {m.name for m in discover(config).models}
    for model in with_discovered(config, discover(config)).models:
        assert model.file == ROOT / "models" / model.name / "model.onnx"
        assert model.decision.rule() == DecisionRule.per_method({m: PRODUCTION_THRESHOLDS[m] for m in METHODS})
    assert [(dataset.name, dataset.path) for dataset in config.datasets] == [
        (name, ROOT / "datasets" / name) for name in DATASETS
    ]
    assert config.schedule.interval == 900.0
    assert (config.watch.interval, config.watch.settle) == (2.0, 3.0)
    assert config.baseline == ROOT / "tests" / "regression_baselines.json"
    assert config.paths.data == ROOT / "data"
    assert config.paths.results == ROOT / "results"
    assert config.documents() == ROOT / "results" / "documents"
    assert config.checks.limits() == DEFAULT_LIMITS
    assert [dataset.name for dataset in config.datasets if dataset.alerts] == ["reference"]
    assert config.analyses.comparison == ComparisonConfig(before="v3", after="v4")
    assert (config.analyses.interval, config.analyses.ablate) == (86400.0, ("production",))
    assert config.runbooks() == ROOT / "alerting" / "runbooks"
    assert (config.latency.sample, config.latency.seed) == (1000, 0)


def test_checks_are_configured_by_name(tmp_path: Path) -> None:
    text = VALID + "checks: {fpr_target: 0.001, latency_limit: 20ms, disabled: [negatives], informational: []}\n"
    limits = load_config(write_config_file(tmp_path, text)).checks.limits()
    assert limits == CheckLimits(
        fpr_target=0.001, latency_limit=0.02, disabled=frozenset({"negatives"}), informational=frozenset()
    )
    assert load_config(write_config_file(tmp_path, VALID)).checks.limits() == DEFAULT_LIMITS


def test_default_cache_folder_is_inside_the_data_folder(tmp_path: Path) -> None:
    assert load_config(write_config_file(tmp_path, VALID)).cache() == CacheSettings(
        tmp_path / "data" / "cache", 4 * 1024**3
    )
    elsewhere = VALID + "paths: {data: there, cache: /fast/disk}\nlimits: {cache_bytes: 100MiB}\n"
    assert load_config(write_config_file(tmp_path, elsewhere)).cache() == CacheSettings(
        Path("/fast/disk"), 100 * 1024**2
    )
    assert load_config(write_config_file(tmp_path, VALID + "limits: {cache_bytes: 0}\n")).cache() is None
    error = error_of(write_config_file(tmp_path, VALID + "paths: {cache: images/cache}\n"))
    assert error == f"paths.cache: {tmp_path / 'images/cache'} is inside datasets[0].path {tmp_path / 'images'}"
    assert (
        error_of(write_config_file(tmp_path, VALID + "limits: {cache_bytes: lots}\n"))
        == f"limits.cache_bytes: {SIZE}'lots'"
    )


def test_default_documents_folder_is_inside_the_results_folder(tmp_path: Path) -> None:
    assert load_config(write_config_file(tmp_path, VALID)).documents() == tmp_path / "results" / "documents"
    assert (
        load_config(write_config_file(tmp_path, VALID + "paths: {documents: pages}\n")).documents()
        == tmp_path / "pages"
    )
    error = error_of(write_config_file(tmp_path, VALID + "paths: {documents: images/pages}\n"))
    assert error == f"paths.documents: {tmp_path / 'images/pages'} is inside datasets[0].path {tmp_path / 'images'}"
