"""Each control of the Pod Security Standard "restricted", which includes "baseline".

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from support.helm import Object

VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
"""`image` since Kubernetes 1.33."""
SELINUX_TYPES = frozenset({None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    }
)


def containers(pod: Object) -> list[Object]:
    """Return the containers of a pod, of all kinds."""
    return [one for key in ("initContainers", "containers", "ephemeralContainers") for one in pod.get(key, [])]


def contexts(pod: Object) -> Iterator[Object]:
    """Yield the security context of the pod and those of its containers."""
    yield pod.get("securityContext", {})
    for container in containers(pod):
        yield container.get("securityContext", {})


def effective(pod: Object, key: str) -> list[object]:
    """Return a setting of each container, or that of the pod."""
    inherited = pod.get("securityContext", {}).get(key)
    return [one.get("securityContext", {}).get(key, inherited) for one in containers(pod)]


CONTROLS: dict[str, Callable[[Object], bool]] = {
    "host process": lambda pod: not any(c.get("windowsOptions", {}).get("hostProcess") for c in contexts(pod)),
    "host namespaces": lambda pod: not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
    "privileged": lambda pod: not any(c.get("privileged") for c in contexts(pod)),
    "capabilities": lambda pod: all(
        "ALL" in one.get("securityContext", {}).get("capabilities", {}).get("drop", [])
        and set(one["securityContext"]["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}
        for one in containers(pod)
    ),
    "volume types": lambda pod: all(set(one) - {"name"} <= VOLUMES for one in pod["volumes"]),
    "host ports": lambda pod: not any(port.get("hostPort") for one in containers(pod) for port in one.get("ports", [])),
    "host probes": lambda pod: (
        not any(
            one.get(probe, {}).get(kind, {}).get("host")
            for one in containers(pod)
            for probe in ("startupProbe", "readinessProbe", "livenessProbe")
            for kind in ("httpGet", "tcpSocket")
        )
    ),
    "AppArmor": lambda pod: all(
        c.get("appArmorProfile", {}).get("type") in {None, "RuntimeDefault", "Localhost"} for c in contexts(pod)
    ),
    "SELinux": lambda pod: all(
        c.get("seLinuxOptions", {}).get("type") in SELINUX_TYPES
        and not {"user", "role"} & set(c.get("seLinuxOptions", {}))
        for c in contexts(pod)
    ),
    "/proc mount": lambda pod: all(c.get("procMount") in {None, "Default"} for c in contexts(pod)),
    "seccomp": lambda pod: all(
        isinstance(profile, dict) and profile["type"] in {"RuntimeDefault", "Localhost"}
        for profile in effective(pod, "seccompProfile")
    ),
    "sysctls": lambda pod: {one["name"] for one in pod["securityContext"].get("sysctls", [])} <= SAFE_SYSCTLS,
    "privilege escalation": lambda pod: all(
        value is False for value in effective({**pod, "securityContext": {}}, "allowPrivilegeEscalation")
    ),
    "running as non-root": lambda pod: all(value is True for value in effective(pod, "runAsNonRoot")),
    "non-root user": lambda pod: all(c.get("runAsUser") != 0 for c in contexts(pod)),
}
"""Name of a control → whether a pod satisfies it."""
