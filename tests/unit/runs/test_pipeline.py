"""Pipeline: what is stored, displayed and recorded of a finished run, and when checks change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import ModelFailureReason
from starlight_exporter.evaluation.provisional_result import ProvisionalFailure
from starlight_exporter.evaluation.request import ProvisionalRequest, RunRequest
from starlight_exporter.evaluation.results import Evaluation, Prediction, RunResult
from starlight_exporter.publish.snapshot import Outcome, Pair
from starlight_exporter.runs.application import Application
from starlight_exporter.runs.evaluations import Evaluations
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.latency_ratio import LatencyRatio
from starlight_exporter.statistics.resampling import QuantileRatio
from support.snapshots import FINGERPRINT, FINISHED_AT, example_prediction, full_evaluation, provisional_result
from support.waiting import wait_until
from support.web import LocalServer, idle_application

PAIR = ("production", "reference")
BASELINE_PAIR = ("v3", "reference")
EQUAL_LATENCY = LatencyRatio(1000, QuantileRatio(1.0, 0.9, 1.1), QuantileRatio(1.0, 0.9, 1.1), 0.0, "")
CONFIG = """
models: [{name: production, file: model.onnx, role: production}]
datasets: [{name: reference, path: images}]
analyses: {ablate: [production]}
watch: {interval: 200ms, settle: 1s}
"""
COMPARED = """
models:
  - {name: production, file: model.onnx, role: production}
  - {name: v3, file: v3.onnx, role: baseline}
datasets: [{name: reference, path: images}]
baseline: baseline.json
"""
IMAGES = 20


def request_of(application: Application, pair: Pair = PAIR) -> RunRequest:
    request = application._runner.handler.request(pair, "start")
    assert request is not None
    return request


def finish(
    application: Application,
    request: RunRequest,
    result: RunResult | None,
    *,
    outcome: Outcome = "success",
    load_failure: ModelFailureReason | None = None,
) -> None:
    run = FinishedRun(
        id="" if result is None else result.evaluation.id,
        model=request.model,
        dataset=request.dataset,
        trigger="start",
        outcome=outcome,
        started_at=1.0,
        ended_at=2.0,
        error="" if result is not None else "failed",
    )
    output = RunOutput(request=request, result=result, load_failure=load_failure)
    application._runner.handler.finished(run, output)


def finish_successfully(application: Application, request: RunRequest) -> None:
    finish(application, request, RunResult(full_evaluation(), (example_prediction(),), None))


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """An application that is not started, with its configuration active."""
    idle = idle_application(tmp_path)
    idle.reload()
    return idle


@pytest.mark.parametrize(
    ("before", "after"), [("model.onnx", "other.onnx"), ("path: images", "path: others"), ("x", "x")]
)
def test_result_of_an_earlier_configuration_is_not_displayed(
    application: Application, tmp_path: Path, before: str, after: str
) -> None:
    request = request_of(application)
    file = tmp_path / "starlight.yml"
    file.write_text(file.read_text().replace(before, after))
    application.reload()
    finish_successfully(application, request)
    run = application.state.snapshot.runs[PAIR]
    assert (run.evaluation is None) == (before != after)
    assert run.outcomes == {"success": 1}
    assert run.last_run_successful == (None if before != after else True)
    assert [one.outcome for one in application.state.runs()] == ["success"]


def test_run_of_a_removed_pair_is_dropped(application: Application, tmp_path: Path) -> None:
    request = request_of(application)
    file = tmp_path / "starlight.yml"
    file.write_text(file.read_text().replace("name: reference", "name: other"))
    application.reload()
    finish_successfully(application, request)
    assert application.state.runs() == []
    assert application.evidence.entries() == []


def test_run_is_recorded_although_evidence_cannot_be_read(application: Application, tmp_path: Path) -> None:
    request = request_of(application)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "evaluations").write_text("not a folder")
    finish_successfully(application, request)
    assert [one.outcome for one in application.state.runs()] == ["success"]
    assert application.state.snapshot.runs[PAIR].evaluation is not None


@pytest.mark.parametrize(
    ("outcome", "load_failure", "successful"),
    [
        ("error", None, False),
        ("crashed", None, False),
        ("timeout", None, False),
        ("cancelled", None, True),
        ("error", "missing", True),
    ],
)
def test_failed_run_keeps_the_displayed_result(
    application: Application, outcome: Outcome, load_failure: ModelFailureReason | None, successful: bool
) -> None:
    request = request_of(application)
    finish_successfully(application, request)
    finish(application, request, None, outcome=outcome, load_failure=load_failure)
    snapshot = application.state.snapshot
    run = snapshot.runs[PAIR]
    assert run.evaluation == full_evaluation()
    assert run.outcomes == {"success": 1, outcome: 1}
    assert run.last_run_successful == successful
    assert snapshot.models["production"].last_load_successful == (load_failure is None)
    assert snapshot.models["production"].load_failures == ({} if load_failure is None else {load_failure: 1})


def test_scrape_counts_evaluations_that_are_queued_now(application: Application) -> None:
    with LocalServer(application) as site:
        for expected in (0, 1):
            text = httpx.get(f"{site.url}/metrics", params={"name[]": "starlight_evaluations_queued"}).text
            assert float(text.split()[-1]) == expected
            application.evaluate(None, None, "request")


def test_scrape_does_not_wait_for_a_run_that_is_stored(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, release = threading.Event(), threading.Event()

    def store(*_arguments: object) -> None:
        storing.set()
        assert release.wait(60)

    monkeypatch.setattr(application._storage, "store", store)
    thread = threading.Thread(target=finish_successfully, args=(application, request_of(application)))
    thread.start()
    assert storing.wait(60)
    with LocalServer(application) as site:
        assert httpx.get(f"{site.url}/metrics", timeout=60).status_code == 200
    assert application.state.snapshot.runs[PAIR].evaluation is None
    release.set()
    thread.join(60)
    assert application.state.snapshot.runs[PAIR].evaluation is not None


@pytest.fixture
def compared(tmp_path: Path) -> Application:
    (tmp_path / "starlight.yml").write_text(COMPARED)
    (tmp_path / "baseline.json").write_text(recorded(fpr=0.1))
    application = Application(tmp_path / "starlight.yml")
    application.reload()
    return application


def recorded(*, fpr: float, fingerprint: str = FINGERPRINT) -> str:
    """Return a recorded baseline of the images and the rule of `full_evaluation`."""
    provenance = {"dataset_fingerprint": fingerprint, "decision": "probability > 0.5"}
    return json.dumps({"fpr": fpr, "provenance": provenance})


def clean_images(wrong: int) -> tuple[Prediction, ...]:
    return tuple(
        replace(example_prediction(f"clean/{number:03}.png"), file_class="clean", method=None, verdict=number < wrong)
        for number in range(IMAGES)
    )


def result_with(model: str, wrong: int, *, run: int) -> RunResult:
    """Return a result with false positives if images are wrong, which alone would not be significant."""
    evaluation = full_evaluation(evaluation_id=f"run-{run}", model=model, finished_at=FINISHED_AT + run)
    return RunResult(replace(evaluation, clean=proportion(2 if wrong else 0, 500)), clean_images(wrong), None)


def displayed(application: Application) -> CheckResult:
    return next(one for one in application.state.snapshot.runs[PAIR].checks if one.name == "fpr_baseline")


def stored(application: Application, evaluation: Evaluation) -> tuple[CheckResult, ...]:
    entry = application.evidence.find(evaluation.id)
    assert entry is not None
    return application.evidence.checks(entry)


@pytest.mark.parametrize("production_first", [True, False])
def test_stored_checks_equal_the_displayed_ones_with_the_paired_test(
    compared: Application, production_first: bool
) -> None:
    order: list[tuple[str, int]] = [("production", IMAGES), ("v3", 0)]
    for number, (model, wrong) in enumerate(order if production_first else reversed(order)):
        finish(compared, request_of(compared, (model, "reference")), result_with(model, wrong, run=number))
    run = compared.state.snapshot.runs[PAIR]
    assert run.evaluation is not None
    assert [one.against for one in run.comparisons] == ["v3"]
    assert displayed(compared).severity == "critical"
    assert stored(compared, run.evaluation) == run.checks


def test_changed_recorded_baseline_changes_displayed_and_stored_checks(compared: Application, tmp_path: Path) -> None:
    finish(compared, request_of(compared), result_with("production", 1, run=1))
    run = compared.state.snapshot.runs[PAIR]
    assert run.evaluation is not None
    assert displayed(compared).passed is False
    (tmp_path / "baseline.json").write_text(recorded(fpr=10))
    compared.reload()
    assert displayed(compared).passed is True
    assert stored(compared, run.evaluation) == compared.state.snapshot.runs[PAIR].checks
    (tmp_path / "baseline.json").write_text(recorded(fpr=10, fingerprint="f" * 64))
    compared.reload()
    assert displayed(compared).conclusion == "not comparable"
    (tmp_path / "baseline.json").unlink()
    compared.reload()
    assert displayed(compared).unavailable == "no_baseline"
    assert displayed(compared).detail.endswith("; the baseline model v3 has no result on reference yet")
    finish(compared, request_of(compared, BASELINE_PAIR), None, outcome="error", load_failure="invalid")
    assert displayed(compared).detail.endswith("; the baseline model v3 cannot be loaded (invalid)")


def test_baseline_model_takes_precedence_over_the_recorded_baseline(compared: Application) -> None:
    finish(compared, request_of(compared), result_with("production", 1, run=1))
    basis = compared.state.snapshot.runs[PAIR].basis
    assert basis is not None
    assert basis.baseline is not None
    assert basis.baseline.is_recorded
    finish(compared, request_of(compared, BASELINE_PAIR), result_with("v3", 0, run=2))
    basis = compared.state.snapshot.runs[PAIR].basis
    assert basis is not None
    assert basis.baseline is not None
    assert (basis.baseline.name, basis.baseline.is_recorded) == ("v3", False)


def check_of(application: Application, pair: Pair, name: str) -> CheckResult:
    return next(one for one in application.state.snapshot.runs[pair].checks if one.name == name)


def test_role_baseline_moved_to_another_model_changes_the_checks_of_both(compared: Application, tmp_path: Path) -> None:
    finish(compared, request_of(compared), result_with("production", 0, run=1))
    baseline = result_with("v3", 1, run=2)
    baseline = replace(baseline, evaluation=replace(baseline.evaluation, role="baseline"))
    finish(compared, request_of(compared, BASELINE_PAIR), baseline)
    swapped = COMPARED.replace("role: production", "role: x").replace("role: baseline", "role: production")
    (tmp_path / "starlight.yml").write_text(swapped.replace("role: x", "role: baseline"))
    compared.reload()
    found = check_of(compared, PAIR, "fpr_baseline")
    assert (found.unavailable, found.detail) == ("no_baseline", "0.00% (0 of 500); this model is the baseline")
    assert check_of(compared, BASELINE_PAIR, "fpr_baseline").passed is False
    (tmp_path / "starlight.yml").write_text(COMPARED.replace("role: baseline", "role: research"))
    compared.reload()
    # Both are compared with the recorded baseline.
    assert check_of(compared, PAIR, "fpr_baseline").limit == pytest.approx(0.0011)
    assert check_of(compared, BASELINE_PAIR, "fpr_baseline").limit == pytest.approx(0.0011)


def test_latency_ratio_to_an_earlier_baseline_is_not_used(compared: Application, tmp_path: Path) -> None:
    result, baseline = result_with("production", 0, run=1), result_with("v3", 0, run=2)
    ratio = result.evaluation.latency_ratio
    assert ratio is not None
    sha256 = baseline.evaluation.provenance.model_sha256
    timed = replace(result.evaluation, latency_ratio=replace(ratio, baseline_sha256=sha256))
    finish(compared, request_of(compared), replace(result, evaluation=timed))
    finish(compared, request_of(compared, BASELINE_PAIR), baseline)
    assert check_of(compared, PAIR, "latency_baseline").value == ratio.value
    provenance = replace(baseline.evaluation.provenance, model_sha256="9" * 64)
    other = replace(result_with("v3", 0, run=3).evaluation, provenance=provenance)
    finish(compared, request_of(compared, BASELINE_PAIR), replace(baseline, evaluation=other))
    found = check_of(compared, PAIR, "latency_baseline")
    assert (found.unavailable, found.detail) == ("no_timings", "the baseline model was not timed in the same run")
    (tmp_path / "starlight.yml").write_text(COMPARED.replace("role: baseline", "role: research"))
    (tmp_path / "baseline.json").unlink()
    compared.reload()
    assert check_of(compared, PAIR, "latency_baseline").unavailable == "no_baseline"


def test_baseline_of_other_images_is_not_comparable(compared: Application) -> None:
    old = result_with("v3", 0, run=1)
    provenance = replace(old.evaluation.provenance, dataset_fingerprint="f" * 64)
    old = replace(old, evaluation=replace(old.evaluation, provenance=provenance))
    finish(compared, request_of(compared, BASELINE_PAIR), old)
    finish(compared, request_of(compared), result_with("production", 1, run=2))
    found = displayed(compared)
    assert (found.conclusion, found.unavailable, found.severity) == ("not comparable", "different_images", None)
    assert compared.state.snapshot.runs[PAIR].comparisons == ()


def test_changed_limits_change_displayed_and_stored_checks(compared: Application, tmp_path: Path) -> None:
    finish(compared, request_of(compared), result_with("production", 1, run=1))
    run = compared.state.snapshot.runs[PAIR]
    assert run.evaluation is not None
    targets = [one for one in run.checks if one.name == "fpr_target"]
    assert [one.passed for one in targets] == [False]
    (tmp_path / "starlight.yml").write_text(COMPARED + "checks: {fpr_target: 0.5, disabled: [negatives]}\n")
    compared.reload()
    checks = compared.state.snapshot.runs[PAIR].checks
    assert [one.passed for one in checks if one.name == "fpr_target"] == [True]
    assert "negatives" not in {one.name for one in checks}
    assert stored(compared, run.evaluation) == checks


def test_scheduled_evaluation_of_the_baseline_is_skipped_while_its_result_applies(tmp_path: Path) -> None:
    for name in ("model.onnx", "v3.onnx"):
        (tmp_path / name).write_bytes(b"a model")
    (tmp_path / "starlight.yml").write_text(COMPARED)
    compared = Application(tmp_path / "starlight.yml")
    compared.reload()
    handler = compared._runner.handler
    sha256 = compared.state.snapshot.models["v3"].file_sha256
    assert sha256 is not None
    # Without a result, it is evaluated.
    assert handler.request(BASELINE_PAIR, "schedule") is not None
    result = result_with("v3", 0, run=1)
    provenance = replace(result.evaluation.provenance, model_sha256=sha256)
    finish(
        compared,
        request_of(compared, BASELINE_PAIR),
        replace(result, evaluation=replace(result.evaluation, provenance=provenance)),
    )
    finish(compared, request_of(compared), result_with("production", 1, run=2))
    assert handler.request(BASELINE_PAIR, "schedule") is None
    assert handler.request(BASELINE_PAIR, "request") is not None
    assert handler.request(PAIR, "schedule") is not None
    # A newer result on other images shows that the dataset has changed.
    newer = result_with("production", 1, run=3)
    changed = replace(newer.evaluation.provenance, dataset_fingerprint="f" * 64)
    newer = replace(newer, evaluation=replace(newer.evaluation, provenance=changed))
    finish(compared, request_of(compared), newer)
    assert handler.request(BASELINE_PAIR, "schedule") is not None


def test_changed_baseline_file_queues_the_models_that_were_timed_with_another(compared: Application) -> None:
    """Otherwise, the latency relative to the baseline would not be measured until the next scheduled evaluation."""
    queued = compared._runner.queued
    finish(compared, request_of(compared, BASELINE_PAIR), result_with("v3", 0, run=1))
    sha256 = full_evaluation().provenance.model_sha256
    for number, timed_with in ((2, sha256), (4, "f" * 64)):
        production = result_with("production", 1, run=number)
        ratio = replace(EQUAL_LATENCY, baseline_sha256=timed_with)
        production = replace(production, evaluation=replace(production.evaluation, latency_ratio=ratio))
        finish(compared, request_of(compared), production)
        finish(compared, request_of(compared, BASELINE_PAIR), result_with("v3", 0, run=number + 1))
        assert queued() == (timed_with != sha256)
    assert compared._runner._queue[PAIR].trigger == "baseline"


def test_datasets_without_alerts_are_evaluated_only_after_a_change_and_behind_the_others(tmp_path: Path) -> None:
    for name in ("model.onnx", "v3.onnx"):
        (tmp_path / name).write_bytes(b"a model")
    datasets = "[{name: sizes, path: sizes, alerts: false}, {name: reference, path: images}]"
    (tmp_path / "starlight.yml").write_text(COMPARED.replace("[{name: reference, path: images}]", datasets))
    application = Application(tmp_path / "starlight.yml")
    application.reload()
    handler, sizes = application._runner.handler, ("production", "sizes")
    assert application._runner.in_order(application.state.snapshot.runs) == [
        PAIR,
        BASELINE_PAIR,
        sizes,
        ("v3", "sizes"),
    ]
    assert application.state.snapshot.runs[sizes].interval_seconds is None
    # Nor do they make the exporter ready.
    assert application.not_ready() == "no result yet: production on reference"
    # Without a result, it is evaluated.
    assert handler.request(sizes, "schedule") is not None
    result = result_with("production", 0, run=1)
    sha256 = application.state.snapshot.models["production"].file_sha256
    assert sha256 is not None
    provenance = replace(result.evaluation.provenance, model_sha256=sha256)
    result = replace(result, evaluation=replace(result.evaluation, dataset="sizes", provenance=provenance))
    finish(application, request_of(application, sizes), result)
    assert handler.request(sizes, "schedule") is None
    assert handler.request(sizes, "request") is not None
    # A run that has failed since is repeated.
    finish(application, request_of(application, sizes), None, outcome="error")
    assert handler.request(sizes, "schedule") is not None


def test_time_of_loading_is_that_of_the_first_evaluation_of_a_file(compared: Application) -> None:
    """Otherwise each dataset on which a new model is evaluated would look like another deployment."""
    shown = []
    for number, (sha256, loaded_at) in enumerate((("a" * 64, 10.0), ("a" * 64, 20.0), ("b" * 64, 30.0)), start=1):
        result = result_with("production", 0, run=number)
        evaluation = replace(
            result.evaluation,
            provenance=replace(result.evaluation.provenance, model_sha256=sha256),
            model_facts=replace(result.evaluation.model_facts, loaded_at=loaded_at),
        )
        finish(compared, request_of(compared), replace(result, evaluation=evaluation))
        shown.append(compared.state.snapshot.models["production"].loaded_at)
    assert shown == [10.0, 10.0, 30.0]


def test_baseline_has_no_evaluation_interval(compared: Application) -> None:
    runs = compared.state.snapshot.runs
    assert runs[PAIR].interval_seconds == 3600.0
    assert runs[BASELINE_PAIR].interval_seconds is None


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Application]:
    """A running application whose only model cannot be loaded."""
    (tmp_path / "starlight.yml").write_text(CONFIG)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    application = Application(tmp_path / "starlight.yml")
    application.start()
    yield application
    application.stop()


@pytest.mark.slow
def test_ablation_of_an_unsettled_file_does_not_become_an_evaluation(started: Application, tmp_path: Path) -> None:
    wait_until(lambda: bool(started.state.runs()))
    request = request_of(started)
    (tmp_path / "model.onnx").write_bytes(b"no model either")
    finish_successfully(started, request)
    wait_until(lambda: len(started.state.runs()) == 3)
    assert [one.trigger for one in started.state.runs()][:1] == ["model"]


def test_provisional_result_is_displayed_until_the_complete_one(application: Application) -> None:
    request = request_of(application)
    assert request.provisional == ProvisionalRequest()
    application._runner.handler.sampled(request, provisional_result())
    checked = application.state.snapshot.runs[PAIR].provisional
    assert checked is not None
    assert application.state.snapshot.runs[PAIR].evaluation is None
    assert application.evidence.entries() == []
    # A failed run leaves it.
    finish(application, request, None, outcome="error")
    assert application.state.snapshot.runs[PAIR].provisional is checked
    finish_successfully(application, request)
    assert application.state.snapshot.runs[PAIR].provisional is None
    # The verdicts of the baseline on the sample are known now.
    following = request_of(application).provisional
    assert following == ProvisionalRequest(has_result=True, baseline=provisional_result().baseline)


def test_provisional_result_of_an_earlier_configuration_is_dropped(application: Application, tmp_path: Path) -> None:
    request = request_of(application)
    file = tmp_path / "starlight.yml"
    file.write_text(file.read_text().replace("path: images", "path: others"))
    application.reload()
    application._runner.handler.sampled(request, provisional_result())
    assert application.state.snapshot.runs[PAIR].provisional is None
    application._runner.handler.sampled(request_of(application), provisional_result())
    assert application.state.snapshot.runs[PAIR].provisional is not None
    file.write_text(file.read_text().replace("path: others", "path: images"))
    application.reload()
    assert application.state.snapshot.runs[PAIR].provisional is None


def test_failure_to_check_a_sample_costs_only_the_provisional_result(
    application: Application, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request, sampled = request_of(application), application._runner.handler.sampled
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert not sampled(request, provisional_result())
    run = application.state.snapshot.runs[PAIR]
    assert run.provisional is None
    assert run.provisional_failure == "no temporary file for predictions: No such file or directory"
    monkeypatch.undo()
    assert sampled(request, provisional_result())
    assert application.state.snapshot.runs[PAIR].provisional_failure == ""
    # Likewise if the configuration changes, when it is checked again.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    file = tmp_path / "starlight.yml"
    file.write_text(f"{file.read_text()}checks: {{detection_floor: 0.1}}\n")
    application.reload()
    run = application.state.snapshot.runs[PAIR]
    assert (run.provisional, bool(run.provisional_failure)) == (None, True)
    monkeypatch.undo()
    finish_successfully(application, request_of(application))
    assert application.state.snapshot.runs[PAIR].provisional_failure == ""


def test_failure_of_a_sample_is_displayed_until_the_next_run(application: Application) -> None:
    handler = application._runner.handler
    assert not handler.sampled(request_of(application), ProvisionalFailure("no space left"))
    assert application.state.snapshot.runs[PAIR].provisional_failure == "no space left"
    handler.started(PAIR)
    assert application.state.snapshot.runs[PAIR].provisional_failure == ""


def significant(application: Application) -> set[str]:
    checked = application.state.snapshot.runs[PAIR].provisional
    assert checked is not None
    return {check.name for check in checked.significant}


def test_provisional_result_is_checked_again_after_a_change_of_limits_or_baseline(tmp_path: Path) -> None:
    application, file = idle_application(tmp_path), tmp_path / "starlight.yml"
    (tmp_path / "v3.onnx").write_bytes(b"accepted before")
    file.write_text(COMPARED)
    application.reload()
    handler = application._runner.handler
    assert isinstance(handler, Evaluations)
    handler._files._model_changed("v3")
    sha256 = application.state.snapshot.models["v3"].file_sha256
    assert sha256 is not None
    result = provisional_result(missed=40)
    assert result.baseline is not None
    result = replace(result, baseline=replace(result.baseline, spec=replace(result.baseline.spec, model_sha256=sha256)))
    application._runner.handler.sampled(request_of(application), result)
    assert significant(application) == {"detection_baseline", "detection_floor", "detection_target"}
    file.write_text(f"{COMPARED}checks: {{detection_floor: 0.1, detection_target: 0.1}}\n")
    application.reload()
    assert significant(application) == {"detection_baseline"}
    # Another baseline file was accepted: the old verdicts are no longer those of the baseline.
    (tmp_path / "v3.onnx").write_bytes(b"accepted now")
    handler._files._model_changed("v3")
    assert significant(application) == set()
    checked = application.state.snapshot.runs[PAIR].provisional
    assert checked is not None
    assert checked.images == len(result.predictions)
    # A sample that was measured with the old file and arrives now is not compared with it.
    application._runner.handler.sampled(request_of(application), result)
    assert significant(application) == set()
    checked = application.state.snapshot.runs[PAIR].provisional
    assert checked is not None
    assert checked.baseline is None
    # The old file is restored: the verdicts are those of the baseline again.
    (tmp_path / "v3.onnx").write_bytes(b"accepted before")
    handler._files._model_changed("v3")
    assert significant(application) == {"detection_baseline"}


@pytest.mark.parametrize(
    "after",
    [
        COMPARED.replace("role: baseline", "role: baseline, decision: {threshold: 0.99}"),
        COMPARED.replace("v3.onnx", "v4.onnx"),
        COMPARED.replace("role: baseline", "role: research"),
    ],
)
def test_sample_is_not_compared_with_a_baseline_of_an_earlier_configuration(
    compared: Application, tmp_path: Path, after: str
) -> None:
    request, result = request_of(compared), provisional_result(missed=40)
    compared._runner.handler.sampled(request, result)
    assert "detection_baseline" in significant(compared)
    (tmp_path / "starlight.yml").write_text(after)
    compared.reload()
    compared._runner.handler.sampled(request, result)
    assert significant(compared) == {"detection_floor", "detection_target"}
    # Nor after a change that leaves the baseline as it is.
    (tmp_path / "starlight.yml").write_text(f"{after}checks: {{detection_target: 0.1}}\n")
    compared.reload()
    assert significant(compared) == {"detection_floor"}


def test_unlabelled_datasets_have_no_provisional_results(tmp_path: Path) -> None:
    application = idle_application(tmp_path)
    models = "models: [{name: production, file: m.onnx, role: production}]\n"
    text = f"{models}datasets: [{{name: reference, path: images, labelled: false}}]\n"
    (tmp_path / "starlight.yml").write_text(text)
    application.reload()
    assert request_of(application).provisional is None
