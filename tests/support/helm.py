"""The Helm chart, rendered by Helm with the value files of its folder `ci`."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "starlight-exporter"
VALUE_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
NAMES = [file.name.removesuffix("-values.yaml") for file in VALUE_FILES]
FETCHED = Path(__file__).parents[1] / "kubernetes"
OPERATOR = "--api-versions=monitoring.coreos.com/v1/ServiceMonitor"
"""Stands for a cluster with the Prometheus Operator."""
RELEASE, NAMESPACE = "quality", "monitoring"
FULLNAME = "quality-starlight-exporter"

Object = dict[str, Any]


def value_file(name: str) -> Path:
    """Return one of the value files by name."""
    return CHART / "ci" / f"{name}-values.yaml"


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Helm; skip the test if it is not installed."""
    program = FETCHED / "bin" / "helm"
    if not program.exists():
        pytest.skip(f"Helm is not installed: run {FETCHED / 'fetch'}")
    command = [str(program), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def template(*arguments: object, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """Run `helm template`."""
    return helm("template", RELEASE, chart, f"--namespace={NAMESPACE}", *arguments)


@functools.cache
def render(name: str, *flags: str) -> tuple[Object, ...]:
    """Return all objects of the chart with a value file, in a cluster with the Prometheus Operator."""
    done = template(f"--values={value_file(name)}", OPERATOR, *flags)
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one is not None)


def objects(name: str, kind: str, *flags: str) -> list[Object]:
    """Return the objects of one kind."""
    return [one for one in render(name, *flags) if one["kind"] == kind]


def only(name: str, kind: str, *flags: str) -> Object:
    """Return the only object of one kind."""
    (found,) = objects(name, kind, *flags)
    return found


def pod_specs(name: str) -> Iterator[tuple[str, Object]]:
    """Yield the name of each workload with the specification of its pods."""
    for one in render(name):
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if one["kind"] in {"StatefulSet", "Deployment", "Job", "CronJob"}:
            yield f"{one['kind']}/{one['metadata']['name']}", template["spec"]


def component(name: str, kind: str, wanted: str, *flags: str) -> Object:
    """Return the object of one kind and component."""
    (found,) = (
        one for one in objects(name, kind, *flags) if one["metadata"]["labels"]["app.kubernetes.io/component"] == wanted
    )
    return found


def exporter_pod(name: str, *flags: str) -> Object:
    """Return the specification of the exporter's pod."""
    return dict(component(name, "StatefulSet", "exporter", *flags)["spec"]["template"]["spec"])


def exporter_container(name: str, *flags: str) -> Object:
    """Return the container of the exporter."""
    (container,) = exporter_pod(name, *flags)["containers"]
    return dict(container)
