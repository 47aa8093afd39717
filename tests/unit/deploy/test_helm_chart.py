"""The Helm chart: valid with every value file, strict about values, and consistent with the exporter."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import starlight_exporter
from starlight_exporter.cli import main as starlight
from starlight_exporter.cli.service import build_parser
from starlight_exporter.config import load_config
from starlight_exporter.evaluation.request import DEFAULT_WORKER_MEMORY
from starlight_exporter.exit_codes import CHECK_FAILED, INCONCLUSIVE, NOT_MEASURED
from starlight_exporter.publish.families import FAMILIES
from support.helm import (
    CHART,
    FULLNAME,
    NAMES,
    NAMESPACE,
    OPERATOR,
    ROOT,
    Object,
    component,
    exporter_container,
    helm,
    objects,
    only,
    pod_specs,
    render,
    template,
    value_file,
)

pytestmark = pytest.mark.slow

KUBERNETES = kubernetes_validate.latest_version()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
KUBERNETES_PAGE = ROOT / "docs" / "kubernetes.md"
CHART_PATH = ("deploy/helm/starlight-exporter", str(CHART))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def schema_error(tmp_path: Path, changes: str) -> str:
    """Return the error for values that are added to a valid file."""
    file = tmp_path / "changes.yaml"
    file.write_text(changes)
    done = template(f"--values={value_file('pvc')}", f"--values={file}", OPERATOR)
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_lint_is_clean(name: str) -> None:
    done = helm("lint", "--strict", CHART, f"--values={value_file(name)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_there_are_at_least_six_value_files() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_built_in_kinds_are_valid(name: str) -> None:
    built_in = [one for one in render(name) if not one["apiVersion"].startswith("monitoring.coreos.com/")]
    assert {"StatefulSet", "Service", "ServiceAccount", "ConfigMap"} <= {one["kind"] for one in built_in}
    for one in built_in:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_unknown_fields_of_built_in_kinds_are_found() -> None:
    service = copy.deepcopy(only("pvc", "Service"))
    service["spec"]["selectors"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="selectors"):
        kubernetes_validate.validate(service, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_configuration_is_valid(name: str, tmp_path: Path) -> None:
    file = tmp_path / "starlight.yml"
    file.write_text(only_config(name)["data"]["starlight.yml"])
    config = load_config(file)
    container = exporter_container(name)
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}
    assert mounts["/srv/starlight/models"] is mounts["/srv/starlight/datasets"] is mounts["/etc/starlight"] is True
    assert mounts["/var/lib/starlight"] is mounts["/tmp"] is False
    for folder in (config.paths.data, config.paths.results, config.cache().folder):  # type: ignore[union-attr]
        assert Path("/var/lib/starlight") in folder.parents
    assert config.limits.threads == int(container["resources"]["limits"]["cpu"])


def only_config(name: str) -> Object:
    (found,) = (one for one in objects(name, "ConfigMap") if "starlight.yml" in one["data"])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_command_line_has_flags_of_the_exporter(name: str) -> None:
    program, *words = exporter_container(name)["args"]
    assert program == "starlight-exporter"
    options = build_parser().parse_args(words)
    assert options.config_watch
    assert options.listen_address == "0.0.0.0:9877"
    fullname = component(name, "Service", "exporter")["metadata"]["name"]
    assert f"{fullname}.{NAMESPACE}.svc" in options.allowed_hosts[0].split(",")
    assert options.lifecycle is (name == "secured")


def test_secured_exporter_has_its_urls_and_probes_with_prefix_and_tls() -> None:
    container = exporter_container("secured")
    options = build_parser().parse_args(container["args"][1:])
    assert options.external_url == "https://monitor.example.org/starlight/"
    assert options.grafana_url == "https://grafana.example.org/"
    assert options.web_config == Path("/etc/starlight-web/web.yml")
    assert "stego.internal.example.org" in options.allowed_hosts[0].split(",")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        request = container[probe]["httpGet"]
        assert request == {"path": "/starlight/-/healthy", "port": "http", "scheme": "HTTPS"}


def test_sizes_are_those_of_the_measured_deployment() -> None:
    """docs/production.md: two cores, 3 GiB for workers and service, and 8 GiB for the limits of the configuration."""
    assert VALUES["resources"]["limits"] == VALUES["gate"]["resources"]["limits"] == {"cpu": "2", "memory": "3Gi"}
    assert DEFAULT_WORKER_MEMORY <= 3 * 1024**3 // 2
    assert VALUES["storage"]["size"] == "8Gi"
    assert VALUES["monitoring"]["interval"] == "15s"


def test_versions_are_those_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == starlight_exporter.__version__
    assert exporter_container("pvc")["image"] == f"starlight-observability:{starlight_exporter.__version__}"
    assert exporter_container("secured")["image"] == "registry.example.org/starlight-observability:0.2.0-1"


def test_selectors_and_claims_survive_upgrades() -> None:
    """Immutable parts: of another version of chart and exporter, with other sizes, images and labels."""

    def immutable(found: tuple[Object, ...]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for one in found:
            key = f"{one['kind']}/{one['metadata']['name']}"
            if one["kind"] == "StatefulSet":
                kept[key] = {name: one["spec"].get(name) for name in ("selector", "serviceName", "podManagementPolicy")}
                assert "volumeClaimTemplates" not in one["spec"]
            elif one["kind"] == "PersistentVolumeClaim":
                kept[key] = {**one["spec"], "resources": None}
                assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        return kept

    flags = ("--set=image.tag=9.9.9", "--set=storage.size=99Gi", "--set=web.externalUrl=https://example.org")
    before, after = immutable(render("pvc")), immutable(render("pvc", *flags))
    assert before == after
    assert set(before) == {f"StatefulSet/{FULLNAME}", f"PersistentVolumeClaim/{FULLNAME}-data"}
    assert before[f"StatefulSet/{FULLNAME}"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "starlight-exporter",
        "app.kubernetes.io/instance": "quality",
        "app.kubernetes.io/component": "exporter",
    }


def test_existing_claim_is_used() -> None:
    assert objects("gate", "PersistentVolumeClaim") == []
    (data,) = (
        one for one in only("gate", "StatefulSet")["spec"]["template"]["spec"]["volumes"] if one["name"] == "data"
    )
    assert data["persistentVolumeClaim"] == {"claimName": "starlight"}


@pytest.mark.parametrize("name", NAMES)
def test_every_volume_is_mounted_and_every_mount_has_a_volume(name: str) -> None:
    for workload, pod in pod_specs(name):
        containers = pod["containers"] + pod.get("initContainers", [])
        mounted = {mount["name"] for one in containers for mount in one["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}, workload


def test_init_containers_write_what_the_exporter_reads() -> None:
    ((_, pod),) = pod_specs("init-container")
    copying, generating = pod["initContainers"]
    assert copying["image"] == "registry.example.org/tools/rclone:1.70"
    assert generating["image"] == pod["containers"][0]["image"]
    for one in (copying, generating):
        mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in one["volumeMounts"]}
        assert mounts == {"/tmp": False, "/srv/starlight/models": False, "/srv/starlight/datasets": False}
        assert one["envFrom"] == [{"secretRef": {"name": "object-storage"}}]
    assert starlight.build_parser().parse_args(generating["args"])


def test_network_policies_allow_scrapes_and_nothing_else() -> None:
    (policy,) = objects("pvc", "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]
    (rule,) = policy["spec"]["ingress"]
    assert rule["ports"] == [{"port": 9877}]
    assert rule["from"] == [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
    ]
    selected = only("pvc", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= selected.items()


@pytest.mark.parametrize("peers", ["[]", "null"])
def test_network_policy_without_peers_allows_no_scrapes(peers: str) -> None:
    (policy,) = objects("pvc", "NetworkPolicy", f"--set-json=networkPolicy.prometheus={peers}")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]


def test_configured_egress_is_allowed_with_dns() -> None:
    (policy,) = objects("init-container", "NetworkPolicy")
    dns, storage = policy["spec"]["egress"]
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert storage["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_gate_has_policy_for_failures_and_no_ingress() -> None:
    job, cron = only("gate", "Job")["spec"], only("gate", "CronJob")["spec"]
    assert job == cron["jobTemplate"]["spec"]
    final, ignored = job["podFailurePolicy"]["rules"]
    assert final["action"] == "FailJob"
    assert final["onExitCodes"]["values"] == [CHECK_FAILED, NOT_MEASURED, INCONCLUSIVE]
    pod = job["template"]["spec"]
    assert final["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    # Required by podFailurePolicy.
    assert pod["restartPolicy"] == "Never"
    assert cron["schedule"] == "30 2 * * 1-5"
    command, *words = pod["containers"][0]["args"]
    options = starlight.build_parser().parse_args([command, *words])
    assert command == "gate"
    assert options.config == Path("/etc/starlight/starlight.yml")
    assert options.model == Path("/srv/starlight/models/candidate/model.onnx")
    # The root is read-only.
    assert options.report_dir == Path("/tmp/reports")
    (policy,) = (one for one in objects("gate", "NetworkPolicy") if one["metadata"]["name"] == f"{FULLNAME}-gate")
    assert "ingress" not in policy["spec"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= job["template"]["metadata"]["labels"].items()


def test_gate_job_has_another_name_after_a_change_only() -> None:
    def name(*flags: str) -> str:
        return str(only("gate", "Job", *flags)["metadata"]["name"])

    assert name() == name("--set=storage.size=9Gi")
    assert name() != name("--set=gate.model=/srv/starlight/models/other/model.onnx")
    assert name() != name("--set=image.tag=9.9.9")
    # The pod of a Job is immutable: an upgrade that changes it and keeps the name fails.
    for change in ("envFrom[0].secretRef.name=store", "nodeSelector.disk=ssd", "imagePullSecrets[0].name=registry"):
        assert name() != name(f"--set={change}"), change
    # The pod of the gate does not contain the configuration.
    assert name() != name("--set=config.limits.threads=1")


def test_schema_describes_all_values() -> None:
    def keys(value: Any, schema: Any, path: str = "") -> None:
        if not isinstance(value, dict) or "properties" not in schema or schema.get("additionalProperties") is not False:
            return
        assert set(value) <= set(schema["properties"]), path
        for key, child in value.items():
            keys(child, schema["properties"][key], f"{path}.{key}")

    jsonschema.Draft7Validator.check_schema(SCHEMA)
    keys(VALUES, SCHEMA)
    assert set(SCHEMA["properties"]) == {*VALUES, "global"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("storge: {size: 1Gi}", "'storge' not allowed"),
        ("storage: {size: 8 GB}", "at '/storage/size': '8 GB' does not match pattern"),
        ("monitoring: {interval: 15}", "at '/monitoring/interval': got number, want string"),
        ("monitoring: {interval: 60s}", "at '/monitoring/interval': '60s' does not match pattern"),
        ("monitoring: {excludedRules: [latencies]}", "monitoring.excludedRules: there is no rule file latencies.yml."),
        ("volumes: {models: {hostPath: {path: /models}}}", "'hostPath' not allowed"),
        ("volumes: {models: {emptyDir: {}}}", "at '/volumes/models': maxProperties: got 2, want 1"),
        ("web: {externalUrl: monitor.example.org}", "at '/web/externalUrl'"),
        ("web: {externalUrl: 'https://monitor.example.org/?orgId=1'}", "at '/web/externalUrl'"),
        ("web: {allowedHosts: ['monitor.example.org:8443']}", "at '/web/allowedHosts/0'"),
        ("web: {tls: true}", "at '/web/configSecret'"),
        ("config: {models: []}", "at '/config/models': minItems: got 0, want 1"),
        ("config: {paths: {data: /data}}", "at '/config/paths/data'"),
        ("gate: {schedule: nightly}", "at '/gate/schedule'"),
        ("gate: {model: model.onnx}", "at '/gate/model'"),
        ("resources: {limits: {memory: lots}}", "at '/resources/limits/memory'"),
        ("envFrom: [{}]", "at '/envFrom/0'"),
        ("dask: {workers: 0}", "at '/dask/workers'"),
        ("dask: {memoryMiB: 512}", "at '/dask/memoryMiB'"),
    ],
)
def test_wrong_values_are_rejected_by_name(tmp_path: Path, changes: str, expected: str) -> None:
    assert expected in schema_error(tmp_path, changes)


def test_timeout_longer_than_the_interval_is_rejected(tmp_path: Path) -> None:
    expected = "monitoring.scrapeTimeout (10s) is longer than monitoring.interval (5s)"
    assert expected in schema_error(tmp_path, "monitoring: {interval: 5s}")
    assert only("pvc", "ServiceMonitor", "--set=monitoring.interval=10s")


@pytest.mark.parametrize("release", ["my.release", "2026"])
def test_release_that_cannot_name_a_service_is_rejected(release: str) -> None:
    values = (f"--values={value_file('pvc')}", OPERATOR)
    done = helm("template", release, CHART, *values)
    assert done.returncode == 1
    assert f"{release}-starlight-exporter cannot be the name of a Service" in done.stderr
    renamed = helm("template", release, CHART, *values, "--set=fullnameOverride=stego")
    assert renamed.returncode == 0, renamed.stderr
    for one in yaml.load_all(renamed.stdout, yaml.CSafeLoader):
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == release


def test_dashboards_without_labels_are_valid() -> None:
    found = objects("pvc", "ConfigMap", "--set=dashboards.labels.grafana_dashboard=null")
    assert len(found) > 1
    assert not any("grafana_dashboard" in one["metadata"]["labels"] for one in found)


def test_large_numbers_are_integers() -> None:
    job = only("gate", "Job", "--set-json=gate.deadlineSeconds=2000000")
    assert type(job["spec"]["activeDeadlineSeconds"]) is int
    worker = component("dask", "StatefulSet", "dask-worker", "--set-json=dask.memoryMiB=2000000")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert "--memory-limit=2000000MiB" in container["args"]


def test_missing_volumes_are_named() -> None:
    done = template(OPERATOR)
    assert done.returncode == 1
    assert re.search(r"^volumes\.(models|datasets) is required: a Kubernetes volume source", done.stderr, re.MULTILINE)


def test_cluster_without_the_operator_is_named() -> None:
    done = template(f"--values={value_file('pvc')}")
    assert done.returncode == 1
    assert "This cluster has no ServiceMonitor and PrometheusRule" in done.stderr
    assert "set monitoring.enabled=false" in done.stderr
    without = template(f"--values={value_file('pvc')}", "--set=monitoring.enabled=false")
    assert without.returncode == 0, without.stderr
    assert "monitoring.coreos.com" not in without.stdout


def test_documented_check_of_the_configuration_renders_it(tmp_path: Path) -> None:
    (text,) = re.findall(r"^(helm template .+?)\|$", KUBERNETES_PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "values.yaml").write_text(value_file("pvc").read_text())
    program, *words = shlex.split(text.replace("\\\n", " "))
    assert program == "helm"
    done = helm(*(word.replace("values.yaml", str(tmp_path / "values.yaml")).replace(*CHART_PATH) for word in words))
    assert done.returncode == 0, done.stderr
    (tmp_path / "starlight.yml").write_text(yaml.safe_load(done.stdout)["data"]["starlight.yml"])
    load_config(tmp_path / "starlight.yml")


def notes(name: str, folder: Path) -> str:
    """Return the notes as Helm renders them. Only `helm install` prints notes, and it needs a cluster."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text()
    wrapped = 'kind: Notes\napiVersion: v1\ntext: {{ include "notes" . | toJson }}\n'
    (chart / "templates" / "notes.yaml").write_text(f'{{{{ define "notes" }}}}{text}{{{{ end }}}}{wrapped}')
    done = template(f"--values={value_file(name)}", OPERATOR, "--show-only=templates/notes.yaml", chart=chart)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["text"])


def test_notes_have_queries_of_existing_metrics(tmp_path: Path) -> None:
    text = notes("secured", tmp_path)
    queried = set(re.findall(r"starlight_[a-z_]+", text))
    assert {"starlight_false_positive_ratio", "starlight_detection_ratio"} <= queried
    assert queried <= {family.name for family in FAMILIES}
    assert "https://127.0.0.1:9877/starlight/-/ready" in text
    assert "create job" not in text


def test_notes_name_what_is_missing(tmp_path: Path) -> None:
    text = notes("gate", tmp_path)
    assert "web.externalUrl is not set: alerts have no links." in text
    job = only("gate", "Job")["metadata"]["name"]
    assert f"logs --follow job/{job}\n" in text
    assert f"job={FULLNAME}-gate-$(date +%s)" in text, "a job that was run before has another name"
    assert f"create job --from=cronjob/{FULLNAME}-gate $job" in text


def test_notes_of_an_installation_without_the_operator() -> None:
    done = helm("install", "quality", CHART, "--dry-run=client", f"--values={value_file('image-volumes')}")
    assert done.returncode == 0, done.stderr
    assert "Scrape quality-starlight-exporter.default.svc:9877/metrics." in done.stdout


def test_release_fits_into_a_secret() -> None:
    """Helm stores chart and manifest as JSON, gzip and base64 in one Secret, which holds at most 1 MiB."""
    folders = (CHART, CHART / "templates", CHART / "files" / "rules", CHART / "files" / "dashboards")
    files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
    release = {
        "chart": {str(file.relative_to(CHART)): base64.b64encode(file.read_bytes()).decode() for file in files},
        "manifest": template(f"--values={value_file('secured')}", OPERATOR).stdout,
    }
    stored = len(base64.b64encode(gzip.compress(json.dumps(release).encode(), 9)))
    assert 0 < stored < 0.7 * 1024**2
