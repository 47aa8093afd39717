"""Rules keep exporters apart: two with the same models and other jobs, in a Prometheus with external labels.

Each promtool test is repeated with a second exporter that has the same values, so that every alert must fire once for
each, with its own links. The hand-written tests have exporters in different states.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.rules import RULE_TESTS, RULES, promtool

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("release")]

FIRST = {
    'job="starlight-exporter",instance="exporter:9877"': 'job="images",instance="exporter:9877"',
    "job=starlight-exporter&var-instance": "job=images&var-instance",
    "starlight-exporter": "images",
}
"""The exporter of the tests under the name of another job."""
SECOND = {
    'job="starlight-exporter",instance="exporter:9877"': 'job="team/images 2",instance="zeta.example:443"',
    "job=starlight-exporter&var-instance=exporter%3A9877": "job=team%2Fimages+2&var-instance=zeta.example%3A443",
    "https://starlight.example/": "https://zeta.example/starlight/",
    "https://dashboards.example/": "https://zeta.example/grafana/",
    "exporter:9877": "zeta.example:443",
    "starlight-exporter": "team/images 2",
}
TARGETS = ({"job": "images"}, {"job": "team/images 2", "instance": "zeta.example:443"})
EXTERNAL_LABELS = {"cluster": "eu", "replica": "b", "exporter_url": "https://unrelated.example"}


def replaced(value: Any, by: dict[str, str]) -> Any:
    """Return a value with the texts in it replaced, in this order."""
    if isinstance(value, dict):
        return {key: replaced(one, by) for key, one in value.items()}
    if isinstance(value, list):
        return [replaced(one, by) for one in value]
    if isinstance(value, str):
        for old, new in by.items():
            value = value.replace(old, new)
    return value


def of_exporter(labels: dict[str, str]) -> bool:
    return labels.get("job") == "starlight-exporter"


def with_second_exporter(group: dict[str, Any]) -> dict[str, Any]:
    """Return a test with a second exporter; what is expected of the exporter is expected of both."""
    group = copy.deepcopy(group)
    own = [one for one in group["input_series"] if FIRST_LABELS in one["series"]]
    others = [one for one in group["input_series"] if one not in own]
    group["input_series"] = [*replaced(own, FIRST), *replaced(own, SECOND), *others]
    for test in group.get("alert_rule_test", ()):
        alerts = test["exp_alerts"]
        both = [one for one in alerts if of_exporter(one["exp_labels"])]
        test["exp_alerts"] = [
            *(one for one in alerts if one not in both),
            *(
                {
                    "exp_labels": one["exp_labels"] | target,
                    "exp_annotations": replaced(one["exp_annotations"], names),
                }
                for one in both
                for target, names in zip(TARGETS, (FIRST, SECOND), strict=True)
            ),
        ]
    for test in group.get("promql_expr_test", ()):
        samples = test["exp_samples"]
        test["exp_samples"] = [*replaced(samples, FIRST), *replaced(samples, SECOND)]
    return group | {"external_labels": EXTERNAL_LABELS}


FIRST_LABELS = next(iter(FIRST))


def run(folder: Path, tests: list[dict[str, Any]], rules: list[Path], interval: str = "15s") -> None:
    file = folder / "tests.yml"
    content = {"rule_files": [str(one) for one in rules], "evaluation_interval": interval, "tests": tests}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    result = promtool("test", "rules", file)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", sorted(RULE_TESTS.glob("*.yml")), ids=lambda path: path.stem)
def test_every_alert_fires_once_for_each_exporter_with_its_own_links(tmp_path: Path, path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    groups = [with_second_exporter(one) for one in content["tests"]]
    rules = [(RULE_TESTS / name).resolve() for name in content["rule_files"]]
    run(tmp_path, groups, rules, content["evaluation_interval"])


def series(name: str, values: str, exporter: str, **labels: str) -> dict[str, str]:
    texts = [exporter, *(f'{label}="{value}"' for label, value in labels.items())]
    return {"series": f"{name}{{{','.join(texts)}}}", "values": values}


EUROPE, ASIA = 'job="europe",instance="host:9877"', 'job="asia",instance="host:9877"'
"""Two exporters that differ in the job only, such as two containers with the same host name."""


def exporter(target: str, false_positives: str, *, url: str) -> list[dict[str, str]]:
    of = {"model": "production", "dataset": "reference"}
    check = {**of, "check": "fpr_target", "slice": ""}
    return [
        series("up", "1x80", target),
        series("starlight_exporter_build_info", "1x80", target, **({"external_url": url} if url else {})),
        series("starlight_model_info", "1x80", target, model="production", role="production", sha256="0123456789ab"),
        series("starlight_false_positive_ratio", false_positives, target, **of),
        series("starlight_false_positives", "1x80", target, **of),
        series("starlight_clean_images", "1000x80", target, **of),
        series("starlight_check_limit", "0.0005x80", target, **check),
        series("starlight_check_alerts", "1x80", target, **check),
    ]


def missed(alerts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"eval_time": "10m", "alertname": "StarlightFalsePositiveTargetMissed", "exp_alerts": alerts}


def expected(job: str, url: str) -> dict[str, Any]:
    links = {"runbook_url": "runbooks/StarlightFalsePositiveTargetMissed.md"} | {
        "evidence_url": "evaluations/latest/misclassified?model=production&dataset=reference&class=clean"
    }
    return {
        "exp_labels": {"job": job, "instance": "host:9877", "model": "production", "dataset": "reference"}
        | {"severity": "warning", "cause": "false_positives"},
        "exp_annotations": {name: f"{url}{rest}" if url else "" for name, rest in links.items()}
        | {"dashboard_url": ""},
    }


def without_texts(folder: Path, name: str) -> Path:
    """Write a copy of a rule file whose annotations are only the links."""
    content = yaml.safe_load((RULES / name).read_text(encoding="utf-8"))
    for group in content["groups"]:
        for rule in group["rules"]:
            annotations = rule.get("annotations", {})
            rule["annotations"] = {key: text for key, text in annotations.items() if key.endswith("_url")}
    file = folder / name
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("url", ["https://asia.example/", ""])
def test_only_the_exporter_that_misses_its_target_alerts_and_without_url_has_no_links(tmp_path: Path, url: str) -> None:
    rules = [without_texts(tmp_path, "false_positives.yml")]
    group = {
        "interval": "15s",
        "external_labels": EXTERNAL_LABELS,
        "input_series": [
            *exporter(EUROPE, "0.0001x80", url="https://europe.example/"),
            *exporter(ASIA, "0.001x80", url=url),
        ],
        "alert_rule_test": [missed([expected("asia", url)])],
    }
    run(tmp_path, [group], rules)


def test_exporter_without_production_model_and_exporter_that_is_down_do_not_hide_each_other(tmp_path: Path) -> None:
    info = "starlight_exporter_build_info"
    url = {"external_url": "https://one.example/"}
    down = {"job": "europe", "instance": "host:9877"}
    links = {"runbook_url": "https://one.example/runbooks/StarlightExporterDown.md"}
    group = {
        "interval": "15s",
        "external_labels": EXTERNAL_LABELS,
        "input_series": [
            series("up", "1x3 0x80", EUROPE),
            series(info, "1x3 stale", EUROPE, **url),
            series("starlight_model_info", "1x3 stale", EUROPE, model="production", role="production"),
            series("up", "1x80", ASIA),
            series(info, "1x80", ASIA),
            series("starlight_model_info", "1x80", ASIA, model="production", role="research"),
            # neither an exporter nor down because of one
            series("up", "0x80", 'job="node",instance="host:9100"'),
        ],
        "alert_rule_test": [
            {
                "eval_time": "10m",
                "alertname": "StarlightExporterDown",
                "exp_alerts": [
                    {"exp_labels": {**down, "severity": severity}, "exp_annotations": links}
                    for severity in ("warning", "critical")
                ],
            },
            {
                "eval_time": "10m",
                "alertname": "StarlightNoProductionModel",
                "exp_alerts": [
                    {
                        "exp_labels": {"job": "asia", "instance": "host:9877", "severity": "critical"},
                        "exp_annotations": {"runbook_url": "", "evidence_url": ""},
                    }
                ],
            },
            {"eval_time": "15m", "alertname": "StarlightExporterAbsent", "exp_alerts": []},
        ],
    }
    run(tmp_path, [group], [without_texts(tmp_path, "exporter.yml")])


def test_down_alert_outlasts_the_last_sample_of_the_exporter(tmp_path: Path) -> None:
    down = {"job": "europe", "instance": "host:9877"}
    group = {
        "interval": "5m",
        "input_series": [
            series("up", "1x2 0x600", EUROPE),
            series("starlight_exporter_build_info", "1x2 stale", EUROPE),
        ],
        "alert_rule_test": [
            {
                "eval_time": "48h",
                "alertname": "StarlightExporterDown",
                "exp_alerts": [
                    {"exp_labels": {**down, "severity": severity}, "exp_annotations": {"runbook_url": ""}}
                    for severity in ("warning", "critical")
                ],
            },
            {"eval_time": "48h", "alertname": "StarlightExporterAbsent", "exp_alerts": []},
        ],
    }
    run(tmp_path, [group], [without_texts(tmp_path, "exporter.yml")], "5m")
