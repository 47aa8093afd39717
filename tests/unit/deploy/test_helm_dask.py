"""The Dask cluster of the chart: commands, addresses, ports, limits and network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.helm import (
    FULLNAME,
    Object,
    component,
    exporter_container,
    exporter_pod,
    objects,
    pod_specs,
    template,
    value_file,
)

pytestmark = pytest.mark.slow

SCHEDULER = f"tls://{FULLNAME}-dask-scheduler:8786"


def container(kind: str, name: str) -> Object:
    (found,) = component("dask", kind, name)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def config() -> Any:
    (found,) = (one for one in objects("dask", "ConfigMap") if "starlight.yml" in one["data"])
    return yaml.safe_load(found["data"]["starlight.yml"])


def test_exporter_has_the_address_and_certificates_of_the_scheduler() -> None:
    service = component("dask", "Service", "dask-scheduler")
    (port,) = service["spec"]["ports"]
    assert f"tls://{service['metadata']['name']}:{port['port']}" == SCHEDULER
    engine = config()["engine"]
    assert (engine["kind"], engine["scheduler"]) == ("dask", SCHEDULER)
    mounts = {one["mountPath"] for one in exporter_container("dask")["volumeMounts"]}
    assert {str(Path(file).parent) for file in engine["tls"].values()} == {"/etc/starlight-dask"} <= mounts


def test_all_parts_have_the_image_with_dask() -> None:
    images = {one["image"] for _, pod in pod_specs("dask") for one in pod["containers"]}
    assert images == {"starlight-observability:0.2.0-cluster"}


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "dask-scheduler"), ("StatefulSet", "dask-worker")])
def test_command_line_is_accepted_by_dask(kind: str, name: str) -> None:
    program, command, *words = container(kind, name)["args"]
    assert (program, command) == ("dask", name.removeprefix("dask-"))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dask")), command, *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(word.partition("=")[0] in done.stdout for word in words if word.startswith("--"))


def test_worker_has_the_limits_of_its_container() -> None:
    worker = container("StatefulSet", "dask-worker")
    assert {f"--nthreads={worker['resources']['limits']['cpu']}", "--memory-limit=4096MiB"} <= set(worker["args"])
    assert worker["resources"]["limits"]["memory"] == f"{4096 + 256}Mi"
    ports = {f"--{one['name']}-port={one['containerPort']}" for one in worker["ports"]}
    assert ports <= set(worker["args"])


def test_worker_has_the_datasets_and_a_cache_at_the_paths_of_the_exporter() -> None:
    mounts = {
        one["mountPath"]: one.get("readOnly", False) for one in container("StatefulSet", "dask-worker")["volumeMounts"]
    }
    assert mounts["/srv/starlight/datasets"] is True
    assert mounts["/var/lib/starlight"] is False
    assert config()["paths"]["cache"].startswith("/var/lib/starlight/")
    # Models travel with the job, so their claim may be on one node.
    assert "/srv/starlight/models" not in mounts


def test_credentials_are_those_of_containers_that_read_datasets() -> None:
    assert container("StatefulSet", "dask-worker")["envFrom"] == exporter_container("dask")["envFrom"]
    assert "envFrom" not in container("Deployment", "dask-scheduler")


def test_network_policies_follow_the_connections() -> None:
    policies = {
        one["metadata"]["name"].removeprefix(f"{FULLNAME}-"): one["spec"] for one in objects("dask", "NetworkPolicy")
    }
    assert set(policies) == {"exporter", "dask-scheduler", "dask-worker"}
    labels = {name: spec["podSelector"]["matchLabels"] for name, spec in policies.items()}

    def connections(name: str, direction: str, key: str) -> set[tuple[str, int]]:
        return {
            (other, port["port"])
            for rule in policies[name][direction]
            for peer in rule.get(key, [])
            for port in rule["ports"]
            for other in labels
            if peer.get("podSelector", {}).get("matchLabels") == labels[other]
        }

    assert connections("exporter", "egress", "to") == {("dask-scheduler", 8786)}
    workers = {("dask-worker", 8789), ("dask-worker", 8790)}
    assert connections("dask-scheduler", "egress", "to") == workers
    assert connections("dask-worker", "egress", "to") == {("dask-scheduler", 8786), *workers}
    assert connections("dask-scheduler", "ingress", "from") == {("exporter", 8786), ("dask-worker", 8786)}
    assert {other for other, _ in connections("dask-worker", "ingress", "from")} == {"dask-scheduler", "dask-worker"}


def test_cluster_without_tls_has_no_certificates() -> None:
    done = template(f"--values={value_file('dask')}", "--set=dask.tlsSecret=", "--set=monitoring.enabled=false")
    assert done.returncode == 0, done.stderr
    assert "tls" not in done.stdout.lower()
    assert f"tcp://{FULLNAME}-dask-scheduler:8786" in done.stdout


def test_without_dask_there_is_no_cluster() -> None:
    assert objects("pvc", "Deployment") == []
    assert "dask" not in str(exporter_pod("pvc"))


@pytest.mark.parametrize(
    ("size", "cache", "accepted"),
    [
        ("2Gi", "2GiB", False),
        ("3G", "3GiB", False),
        ("3Gi", "3000000000", True),
        ("4Gi", "null", False),
    ],
)
def test_cache_volume_must_be_larger_than_the_limit_of_the_cache(size: str, cache: str, accepted: bool) -> None:
    flags = (
        f"--set=dask.cacheSize={size}",
        f"--set=config.limits.cache_bytes={cache}",
        "--set=monitoring.enabled=false",
    )
    done = template(f"--values={value_file('dask')}", *flags)
    assert (done.returncode == 0) is accepted, done.stderr
    assert accepted or f"dask.cacheSize ({size}) must be larger than config.limits.cache_bytes" in done.stderr
