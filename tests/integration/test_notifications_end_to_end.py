"""From a deployed model to the mail: exporter, Prometheus and Alertmanager with the shipped rules and templates.

The dataset contains only images that the accepted model classifies correctly: every alert is caused by the test.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from starlight_exporter.checks.basis import basis_against_model
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SUITE
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.predictions import is_wrong
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.evaluation.run import evaluate
from support.accelerated_stack import GRAFANA_URL, AcceleratedStack, AlertKey, plain_text
from support.models import write_shifted_model
from support.rules import ALERT_OF, ALERTS, ROOT
from support.run_cache import RunCache
from support.run_requests import run_request
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

V3, ACCEPTED = (ROOT / "models" / name / "model.onnx" for name in ("v3", "baseline"))

CAUSE_OF = {rule.alert: rule.labels.get("cause") for rule in ALERTS}

PRODUCTION_RATE, PRODUCTION_IMAGES = (
    f'starlight_{name}{{model="production"}}' for name in ("false_positive_ratio", "clean_images")
)

TIMEOUT = 180.0
"""Seconds to wait for a notification on a busy machine."""

SETTLING_ROUNDS = 6
"""Rule evaluations after which all notifications except `info` have been sent."""


def measured(model: Path, images: Path) -> RunResult:
    """Evaluate a model like the exporter does."""
    return evaluate(run_request(model, images, model="production", role="production", decision=PRODUCTION))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, run_cache: RunCache) -> Path:
    """A folder of images that the accepted model classifies correctly."""
    images = tmp_path_factory.mktemp("reference") / "images"
    shutil.copytree(run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25), images)
    for wrong in filter(is_wrong, measured(ACCEPTED, images).predictions):
        file = images / wrong.path
        file.unlink()
        file.with_name(f"{file.name}.json").unlink(missing_ok=True)
    return images


@pytest.fixture
def images(original: Path, tmp_path: Path) -> Path:
    """A copy that a test can modify."""
    return Path(shutil.copytree(original, tmp_path / "images"))


@pytest.fixture
def stack(images: Path, tmp_path: Path) -> Iterator[AcceleratedStack]:
    """The running stack after the first evaluations of production and baseline, which are the same model."""
    model = tmp_path / "production" / "model.onnx"
    model.parent.mkdir()
    shutil.copy(ACCEPTED, model)
    shipped = yaml.safe_load((ROOT / "config" / "starlight.yml").read_text())
    files = {"production": model, "baseline": ACCEPTED}
    settings = {
        "models": [entry | {"file": str(files[entry["role"]])} for entry in shipped["models"]],
        "datasets": [{"name": "images", "path": str(images)}],
        "schedule": {"interval": "60s"},
        "watch": {"interval": "200ms", "settle": "400ms"},
        "paths": {"data": "data", "results": "results"},
        # Latency depends on the machine.
        "latency": {"sample": 0},
    }
    with AcceleratedStack(tmp_path, settings) as running:
        running.prometheus.wait_for_value('starlight_check_alerts{check="fpr_baseline"} == 1', timeout=TIMEOUT)
        yield running


def deploy(stack: AcceleratedStack, model: Path) -> None:
    """Replace the production model atomically."""
    production = stack.folder / "production" / "model.onnx"
    new = production.with_name("new.onnx")
    shutil.copy(model, new)
    os.replace(new, production)  # noqa: PTH105  # the call that deployments use


def assert_settles_at(
    stack: AcceleratedStack, alerts: Callable[[AcceleratedStack], set[AlertKey]], expected: set[AlertKey]
) -> None:
    """Wait for exactly these alerts, and assert that no others follow."""
    wait_until(lambda: alerts(stack) == expected, lambda: f"{alerts(stack)} == {expected}", timeout=TIMEOUT)
    wait_for_settling(stack)
    assert alerts(stack) == expected


def wait_for_settling(stack: AcceleratedStack) -> None:
    """Wait until Prometheus has evaluated the alert rules often enough for pending notifications to be sent."""
    rounds = 'max(prometheus_rule_group_iterations_total{rule_group=~".+;starlight-exporter"})'
    target = stack.prometheus.wait_for_value(rounds) + SETTLING_ROUNDS
    wait_until(lambda: (stack.prometheus.value(rounds) or 0) >= target, "rule evaluations", timeout=TIMEOUT)


def checks_against_accepted(model: Path, images: Path) -> tuple[Evaluation, tuple[CheckResult, ...]]:
    """Evaluate and check a model against the accepted one."""
    result, baseline = measured(model, images), measured(ACCEPTED, images)
    basis = basis_against_model(result.evaluation, result.predictions, baseline.evaluation, baseline.predictions)
    return result.evaluation, run_checks(result.evaluation, basis)


def alerts_of(checks: tuple[CheckResult, ...]) -> set[AlertKey]:
    """Return the alerts for failed checks and the suite, each at its highest severity."""
    failed = [one for one in checks if one.severity in ("warning", "critical") and one.name in ALERT_OF]
    suite = {one.severity for one in failed if any(one.name in names for names in SUITE.values())}
    highest = "critical" if "critical" in suite else "warning"
    return {
        *(AlertKey(ALERT_OF[one.name], str(one.severity), one.slice) for one in failed),
        *([AlertKey("StarlightRegressionSuiteFailing", highest)] if suite else ()),
    }


def sent(alerts: set[AlertKey]) -> set[AlertKey]:
    """Return the alerts that are sent: warnings about the problem of a critical alert are inhibited."""
    critical = {(CAUSE_OF[key.name], key.slice) for key in alerts if key.severity == "critical"}
    return {key for key in alerts if key.severity == "critical" or (CAUSE_OF[key.name], key.slice) not in critical}


def more_false_positives(folder: Path) -> Path:
    return write_shifted_model(folder / "worse.onnx", ACCEPTED, logit=16.0)


def fewer_detections(_folder: Path) -> Path:
    return V3


@pytest.mark.parametrize(
    ("worse", "main", "release"),
    [
        (more_false_positives, AlertKey("StarlightFalsePositivesAboveBaseline", "critical"), "installed"),
        (fewer_detections, AlertKey("StarlightDetectionBelowBaseline", "critical", "palette"), "3"),
    ],
    indirect=["release"],
)
@pytest.mark.usefixtures("release")
def test_alerts_fire_for_worse_model_and_clear_after_rollback(
    stack: AcceleratedStack, images: Path, tmp_path: Path, worse: Callable[[Path], Path], main: AlertKey
) -> None:
    model = worse(tmp_path)
    evaluation, checks = checks_against_accepted(model, images)
    expected = sent(alerts_of(checks))
    assert main in expected, "the model is not bad enough for this test"

    # A healthy model raises no alerts, even after another evaluation.
    httpx.post(f"{stack.exporter.url}/api/v1/evaluations").raise_for_status()
    stack.exporter.wait_for_value(2, "evaluations_total", model="production", outcome="success")
    wait_for_settling(stack)
    assert stack.fired() == set()
    assert (stack.firing(), stack.mails.messages) == (set(), [])

    deploy(stack, model)
    assert_settles_at(stack, AcceleratedStack.firing, expected)
    assert_mail_content(stack, main, evaluation)
    for key in expected:
        assert stack.mails_for(key), key

    deploy(stack, ACCEPTED)
    wait_until(lambda: stack.resolved() >= expected or None, "resolved notifications", timeout=TIMEOUT)
    assert stack.firing_now() == set()
    assert stack.firing() == expected
    # Inhibited warnings resolve together with the critical alert and may be listed with it.
    assert stack.resolved() <= expected | {key._replace(severity="warning") for key in alerts_of(checks)}
    # Mail may arrive after the notification in the log, and the main alert may resolve before the last one.
    stack.mails.wait_for("[RESOLVED]", timeout=TIMEOUT)


def assert_mail_content(stack: AcceleratedStack, main: AlertKey, evaluation: Evaluation) -> None:
    """Check subject, body and links of the mail about one alert."""
    mail = stack.mails_for(main)[0]
    text = plain_text(mail)
    # One entry for each problem, however many alerts there are about it.
    entries = text.count("\nSince ")
    more = f" and {entries - 1} more" if entries > 1 else ""
    assert re.fullmatch(rf"\[CRITICAL\] [A-Z][\w ]+( \(\w+\))?{more}: production on images", mail["subject"])
    if main.slice:
        rate = evaluation.detections["palette"]
        counts = f"production on images: {rate.count:,} of {rate.total:,} palette images detected"
    else:
        rate = evaluation.clean
        counts = f"production on images: {rate.count:,} of {rate.total:,} clean images classified as stego"
    assert text.count(counts) == 1
    assert text.count("- Regression Suite Failing: production on images fails ") == 1
    (alert, *_) = (
        alert
        for notification in stack.log.notifications()
        for alert in notification["alerts"]
        if AlertKey.of(alert["labels"]) == main
    )
    description = alert["annotations"]["description"]
    assert description.startswith(counts)
    # Significant by the paired test against the baseline model.
    assert description.endswith("Worse than the baseline (p < 0.001).")
    assert description.partition(" The check fails ")[2] in text
    sha256 = evaluation.provenance.model_sha256[:12]
    replaced = hashlib.sha256(ACCEPTED.read_bytes()).hexdigest()[:12]
    assert f"Model file {sha256} replaced {replaced}, loaded at 20" in text
    silence = re.findall(r"^Silence: (\S+)$", text, re.MULTILINE)[0]
    assert "production" in silence.partition("/#/silences/new?filter=")[2]
    # Both links work, and the evidence page has as many files as the text states.
    evidence = httpx.get(alert["annotations"]["evidence_url"], follow_redirects=True).raise_for_status()
    wrong = rate.total - rate.count if main.slice else rate.count
    assert evidence.text.count("<figure") == wrong or f"{wrong} " in evidence.text
    runbook = httpx.get(alert["annotations"]["runbook_url"]).raise_for_status()
    assert runbook.text.startswith(f"# {main.name}\n")
    html = mail.get_body(("html",))
    assert html is not None
    assert f'href="{alert["annotations"]["runbook_url"]}"' in html.get_content()
    assert alert["annotations"]["dashboard_url"].startswith(f"{GRAFANA_URL}d/starlight-")


def test_killed_exporter_alerts_and_inhibits_stale_alerts(stack: AcceleratedStack) -> None:
    down = {AlertKey("StarlightExporterDown", "warning")}
    stack.exporter.process.send_signal(signal.SIGKILL)
    wait_until(lambda: stack.firing() == down or None, "warning", timeout=TIMEOUT)
    # After five minutes the alert is critical and inhibits the warning.
    down.add(AlertKey("StarlightExporterDown", "critical"))
    assert_settles_at(stack, AcceleratedStack.firing, down)
    (mail, *_) = stack.mails_for(AlertKey("StarlightExporterDown", "critical"))
    where = f"starlight-exporter 127.0.0.1:{stack.ports.exporter}"
    assert mail["subject"] == f"[CRITICAL] Exporter Down: {where}"
    assert f"Prometheus cannot scrape 127.0.0.1:{stack.ports.exporter}; no model is monitored." in plain_text(mail)

    stack.exporter.process.wait()
    stack.start_exporter()
    wait_until(
        lambda: AlertKey("StarlightExporterDown", "critical") in stack.resolved() or None,
        "resolved notification",
        timeout=TIMEOUT,
    )
    wait_for_settling(stack)
    assert stack.firing_now() == set()
    assert stack.fired() == stack.firing() == down
    stack.mails.wait_for(f"[RESOLVED] Exporter Down: {where}")


def test_corrupt_model_file_alerts_and_keeps_last_results(stack: AcceleratedStack, tmp_path: Path) -> None:
    not_loadable = {AlertKey("StarlightModelNotLoadable", "critical")}
    ratio = stack.prometheus.value(PRODUCTION_RATE)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(ACCEPTED.read_bytes()[: ACCEPTED.stat().st_size // 2])
    deploy(stack, broken)
    assert_settles_at(stack, AcceleratedStack.firing, not_loadable)
    (mail, *_) = stack.mails_for(*not_loadable)
    assert mail["subject"] == "[CRITICAL] Model Not Loadable: production"
    assert (
        "The model file of production cannot be loaded (invalid). "
        "The reported metrics are those of the last file that was loaded." in plain_text(mail)
    )
    assert stack.prometheus.value(PRODUCTION_RATE) == ratio

    deploy(stack, ACCEPTED)
    assert_settles_at(stack, AcceleratedStack.resolved, not_loadable)
    assert stack.firing_now() == set()
    # Prometheus fires both severities; Alertmanager inhibits the warning.
    assert stack.fired() == {AlertKey("StarlightModelNotLoadable", "warning"), *not_loadable}
    stack.mails.wait_for("[RESOLVED] Model Not Loadable: production")


def test_unreadable_images_alert_and_are_excluded_from_rates(stack: AcceleratedStack, images: Path) -> None:
    not_measured = AlertKey("StarlightImagesNotMeasured", "critical", "unreadable")
    changed = AlertKey("StarlightDatasetChanged", "info")
    originals = {file: file.read_bytes() for file in sorted((images / "clean").glob("*.png"))[:20]}
    for file in originals:
        file.write_bytes(b"no image")
    assert_settles_at(stack, AcceleratedStack.firing, {not_measured, changed})
    (mail, *_) = stack.mails_for(not_measured)
    total = stack.prometheus.value("sum(starlight_dataset_images)")
    assert mail["subject"] == "[CRITICAL] Images Not Measured (unreadable): production on images"
    assert f"production on images: 20 of {total:,.0f} images were not measured (reason: unreadable)." in plain_text(
        mail
    )
    assert stack.prometheus.value(PRODUCTION_RATE) == 0.0
    clean = stack.prometheus.value(PRODUCTION_IMAGES)

    for file, content in originals.items():
        file.write_bytes(content)
    # The alert about the changed dataset fires for an hour.
    assert_settles_at(stack, AcceleratedStack.resolved, {not_measured})
    assert stack.firing_now() == {changed}
    assert stack.prometheus.value(PRODUCTION_IMAGES) == (clean or 0) + 20
    stack.mails.wait_for("[RESOLVED] Images Not Measured (unreadable): production on images")
