"""Every pod of the chart against each control of the Pod Security Standard "restricted"."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from support.helm import NAMES, Object, pod_specs, render
from support.pod_security import CONTROLS, containers

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("name", NAMES)
def test_pods_satisfy_restricted(name: str, control: str) -> None:
    pods = list(pod_specs(name))
    assert pods
    assert [workload for workload, pod in pods if not CONTROLS[control](pod)] == []


@pytest.mark.parametrize("name", NAMES)
def test_pods_have_a_read_only_root_and_no_token(name: str) -> None:
    """Not required by the standard."""
    for workload, pod in pod_specs(name):
        assert pod["automountServiceAccountToken"] is False, workload
        assert pod["enableServiceLinks"] is False, workload
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, workload
            assert {"requests", "limits"} <= set(container["resources"]), workload
    assert all("automountServiceAccountToken" in one for one in render(name) if one["kind"] == "ServiceAccount")


VIOLATIONS: dict[str, Callable[[Object], object]] = {
    "host process": lambda pod: pod["securityContext"].update(windowsOptions={"hostProcess": True}),
    "host namespaces": lambda pod: pod.update(hostPID=True),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "capabilities": lambda pod: pod["initContainers"][0]["securityContext"].update(capabilities={"drop": ["NET_RAW"]}),
    "volume types": lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    "host ports": lambda pod: pod["containers"][0]["ports"][0].update(hostPort=80),
    "host probes": lambda pod: pod["containers"][0]["livenessProbe"]["httpGet"].update(host="192.0.2.1"),
    "AppArmor": lambda pod: pod["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "SELinux": lambda pod: pod["securityContext"].update(seLinuxOptions={"role": "sysadm_r"}),
    "/proc mount": lambda pod: pod["containers"][0]["securityContext"].update(procMount="Unmasked"),
    "seccomp": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "sysctls": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "privilege escalation": lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "running as non-root": lambda pod: pod["initContainers"][0]["securityContext"].update(runAsNonRoot=False),
    "non-root user": lambda pod: pod["containers"][0]["securityContext"].update(runAsUser=0),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_violations_are_found(control: str) -> None:
    ((_, pod),) = pod_specs("init-container")
    violating = copy.deepcopy(pod)
    VIOLATIONS[control](violating)
    assert not CONTROLS[control](violating)
