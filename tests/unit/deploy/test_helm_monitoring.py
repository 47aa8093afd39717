"""Rules, dashboards and ServiceMonitor of the rendered chart."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from starlight_exporter.asset_files import exported_files
from support.helm import (
    CHART,
    FETCHED,
    FULLNAME,
    NAMES,
    NAMESPACE,
    OPERATOR,
    ROOT,
    Object,
    objects,
    only,
    render,
    template,
    value_file,
)
from support.rules import RULES, promtool
from support.servers import program

pytestmark = pytest.mark.slow

ALL_RULES = "secured"
"""The value file that excludes no rule file."""


def rule_files(folder: Path) -> list[Path]:
    """Write the rendered rules as Prometheus gets them from the operator, one file for each object."""
    files = []
    for one in objects(ALL_RULES, "PrometheusRule"):
        files.append(folder / f"{one['metadata']['name']}.yml")
        files[-1].write_text(yaml.safe_dump(one["spec"], width=10_000))
    return files


def test_rules_are_those_of_the_repository() -> None:
    rendered = {one["metadata"]["name"]: one["spec"] for one in objects(ALL_RULES, "PrometheusRule")}
    expected = {
        f"stego-{file.stem.replace('_', '-')}": yaml.safe_load(file.read_text()) for file in RULES.glob("*.yml")
    }
    assert rendered == expected


def test_rules_about_other_servers_are_excluded_by_default() -> None:
    names = {one["metadata"]["name"] for one in objects("pvc", "PrometheusRule")}
    assert names == {f"{FULLNAME}-{file.stem.replace('_', '-')}" for file in RULES.glob("*.yml")} - {
        f"{FULLNAME}-monitoring"
    }


def test_promtool_accepts_the_rendered_rules(tmp_path: Path) -> None:
    checked = promtool("check", "rules", *rule_files(tmp_path))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_dashboards_are_those_of_the_repository() -> None:
    rendered = {}
    for one in objects("pvc", "ConfigMap"):
        if "grafana_dashboard" in one["metadata"]["labels"]:
            ((name, text),) = one["data"].items()
            rendered[name] = json.loads(text)
    files = (ROOT / "grafana" / "dashboards").glob("*.json")
    assert rendered == {f"starlight-{file.name}": json.loads(file.read_text()) for file in files}


def test_chart_has_no_copies() -> None:
    """Links: Helm reads and packages the files that they lead to."""
    for name, folder in {"rules": RULES, "dashboards": ROOT / "grafana" / "dashboards"}.items():
        link = CHART / "files" / name
        assert link.is_symlink()
        assert link.resolve() == folder


def test_exported_chart_is_complete_and_renders_the_same(tmp_path: Path) -> None:
    """`starlight assets export` and the wheel contain the files instead of links."""
    chart = CHART.relative_to(ROOT)
    for file in exported_files():
        if chart in file.parents:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, tmp_path / file)
    assert not any(file.is_symlink() for file in (tmp_path / chart).rglob("*"))
    done = template(f"--values={value_file('pvc')}", OPERATOR, chart=tmp_path / chart)
    assert done.returncode == 0, done.stderr
    assert [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one] == list(render("pvc"))


def validate(found: list[Object]) -> subprocess.CompletedProcess[str]:
    """Validate objects of the operator with its schemas."""
    if not (FETCHED / "node_modules" / ".installed").exists():
        pytest.skip(f"the operator's schemas are not installed: run {FETCHED / 'fetch'}")
    command = [program("node"), str(FETCHED / "validate.mjs")]
    return subprocess.run(command, input=json.dumps(found), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_objects_match_the_schemas_of_the_operator(name: str) -> None:
    found = [one for one in render(name) if one["apiVersion"] == "monitoring.coreos.com/v1"]
    done = validate(found)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_schemas_reject_unknown_and_invalid_properties() -> None:
    monitor = json.loads(json.dumps(only("pvc", "ServiceMonitor")))
    (endpoint,) = monitor["spec"]["endpoints"]
    endpoint["intervall"] = endpoint["interval"]
    rule = json.loads(json.dumps(objects("pvc", "PrometheusRule")[0]))
    rule["spec"]["groups"][0]["rules"][0]["for"] = "soon"
    done = validate([monitor, rule])
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == f"ServiceMonitor {FULLNAME}: .spec.endpoints[0].intervall is unknown"
    assert "/for must match pattern" in second


def test_service_monitor_selects_the_service_and_keeps_the_instance() -> None:
    monitor, service = only("pvc", "ServiceMonitor"), only("pvc", "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["path"] == "/metrics"
    # The address of the pod changes with every restart; rules and dashboards identify an exporter by job and instance.
    assert endpoint["relabelings"] == [{"targetLabel": "instance", "replacement": f"{FULLNAME}.{NAMESPACE}.svc:9877"}]


def test_secured_exporter_is_scraped_with_tls_and_a_user() -> None:
    monitor = only("secured", "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["path"] == "/starlight/metrics"
    assert endpoint["basicAuth"]["username"] == {"name": "starlight-scrape", "key": "username"}
    assert endpoint["tlsConfig"]["serverName"] == "stego"
    for one in [monitor, *objects("secured", "PrometheusRule")]:
        assert one["metadata"]["labels"]["release"] == "kube-prometheus-stack"
