"""The containers of the chart's pods, started with Docker: user, read-only root, volumes, limits and arguments.

Needs a Docker engine; tests/containers/engine.sh starts one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from starlight_exporter.exit_codes import CHECK_FAILED
from support.config_map import MountedConfigMap
from support.helm import Object, objects, only
from support.images import write_dataset
from support.locks import locked
from support.servers import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "starlight-test/helm"
WAIT = 300.0


def docker(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def image() -> str:
    """The image of the repository. Skip without an engine."""
    if shutil.which("docker") is None or docker("info", check=False).returncode != 0:
        pytest.skip("no Docker engine answers; tests/containers/engine.sh starts one")
    if "STARLIGHT_TEST_BASE" not in os.environ:
        pytest.skip("STARLIGHT_TEST_BASE is not set; tests/containers/engine.sh creates a base image")
    # The arguments of tests/containers/debian.yml, so that its layers are used.
    arguments = {
        "BASE": os.environ["STARLIGHT_TEST_BASE"],
        "PIP_CERT": os.environ.get("PIP_CERT", ""),
        "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL", ""),
    }
    flags = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    with locked(ROOT / "Dockerfile"):
        docker("build", "--network=host", f"--tag={IMAGE}", *flags, ROOT)
    return IMAGE


class Volumes:
    """The volumes of the pods as folders: models and datasets with the images of a test, and a mounted ConfigMap."""

    def __init__(self, folder: Path) -> None:
        for name in ("production", "baseline", "candidate"):
            source = ROOT / "models" / ("baseline" if name == "baseline" else "production")
            (folder / "models" / name).mkdir(parents=True)
            shutil.copy(source / "model.onnx", folder / "models" / name)
        write_dataset(folder / "datasets" / "reference")
        self.config = yaml.safe_load(self._config_map()["data"]["starlight.yml"]) | {"latency": {"sample": 0}}
        self.mounted = MountedConfigMap(folder / "config", yaml.safe_dump(self.config))
        self.folder = folder

    @staticmethod
    def _config_map() -> Object:
        return next(one for one in objects("gate", "ConfigMap") if "starlight.yml" in one["data"])

    def source(self, volume: Object, group: int) -> Path:
        """Return the folder of a volume, writable for the group of the pod as by the kubelet."""
        folder = self.folder / str(volume["name"])
        if "emptyDir" in volume or volume["name"] == "data":
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
            if os.getuid() == 0:
                os.chown(folder, 0, group)
                folder.chmod(0o2775 if volume["name"] == "data" else 0o2777)
        return folder


def run_flags(pod: Object, volumes: Volumes) -> list[str]:
    """Return the flags of `docker run` for the only container of a pod; RuntimeDefault is Docker's seccomp profile."""
    context = pod["securityContext"]
    (container,) = pod["containers"]
    restricted, limits = container["securityContext"], container["resources"]["limits"]
    assert restricted["readOnlyRootFilesystem"]
    assert not restricted["allowPrivilegeEscalation"]
    by_name = {one["name"]: one for one in pod["volumes"]}
    flags = [
        f"--user={context['runAsUser']}:{context['runAsGroup']}",
        f"--group-add={context['fsGroup']}",
        "--read-only",
        "--security-opt=no-new-privileges",
        *(f"--cap-drop={one}" for one in restricted["capabilities"]["drop"]),
        f"--memory={limits['memory'].removesuffix('i').lower()}",
        f"--cpus={limits['cpu']}",
    ]
    for mount in container["volumeMounts"]:
        source = volumes.source(by_name[mount["name"]], context["fsGroup"])
        flags.append(f"--volume={source}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}")
    return flags


class Exporter:
    """The running container of the StatefulSet."""

    def __init__(self, image: str, volumes: Volumes) -> None:
        self._volumes = volumes
        self.pod = only("gate", "StatefulSet")["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.port = free_port()
        (published,) = self.container["ports"]
        flags = [*run_flags(self.pod, volumes), f"--publish=127.0.0.1:{self.port}:{published['containerPort']}"]
        self.id = docker("run", "--detach", *flags, image, *self.container["args"]).stdout.strip()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10.0)

    def wait(self, path: str, text: str) -> None:
        """Wait until a request succeeds with a text in the response."""

        def answered() -> bool:
            assert self.state()["Running"], self.log()
            try:
                answer = self.get(path)
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and text in answer.text

        wait_until(answered, lambda: f"{text} in {path}\n{self.log()[-3000:]}", timeout=WAIT, interval=0.5)

    def state(self) -> dict[str, Any]:
        return dict(json.loads(docker("inspect", self.id).stdout)[0]["State"])

    def log(self) -> str:
        done = docker("logs", self.id)
        return done.stdout + done.stderr

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return docker("exec", self.id, *command, check=False)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    return Volumes(tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def exporter(image: str, volumes: Volumes) -> Iterator[Exporter]:
    started = Exporter(image, volumes)
    try:
        yield started
    finally:
        docker("rm", "--force", started.id)


def test_exporter_becomes_healthy_and_evaluates(exporter: Exporter) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        exporter.wait(exporter.container[probe]["httpGet"]["path"], "healthy")
    exporter.wait("/metrics", 'starlight_false_positive_ratio{dataset="reference",model="production"')
    exporter.wait("/-/ready", "ready")


def test_user_is_unprivileged_and_writes_only_to_its_volumes(exporter: Exporter) -> None:
    assert exporter.execute("id", "-u").stdout.strip() == str(exporter.pod["securityContext"]["runAsUser"])
    for folder in (
        "/opt/starlight",
        "/starlight",
        "/srv/starlight/models",
        "/srv/starlight/datasets",
        "/etc/starlight",
    ):
        assert exporter.execute("touch", f"{folder}/x").returncode != 0, folder
    for folder in ("/tmp", "/var/lib/starlight"):
        assert exporter.execute("touch", f"{folder}/x").returncode == 0, folder
    written = exporter.execute("ls", "/var/lib/starlight").stdout.split()
    assert {"data", "results", "cache"} <= set(written)


def test_names_of_the_service_are_allowed_and_others_are_not(exporter: Exporter) -> None:
    service = only("gate", "Service")["metadata"]["name"]
    url = f"http://127.0.0.1:{exporter.port}/metrics"
    for host, status in ((service, 200), (f"{service}.monitoring.svc", 200), ("example.org", 421)):
        answer = httpx.get(url, headers={"Host": f"{host}:9877"}, timeout=10.0)
        assert answer.status_code == status, (host, answer.text[:200])


def test_updated_config_map_is_loaded_without_a_restart(exporter: Exporter, volumes: Volumes) -> None:
    changed = {**volumes.config, "datasets": [{"name": "renamed", "path": "/srv/starlight/datasets/reference"}]}
    volumes.mounted.update(yaml.safe_dump(changed))
    exporter.wait("/metrics", 'starlight_clean_images{dataset="renamed",model="production"')
    assert exporter.state()["Running"]


def test_sigterm_ends_the_exporter_within_the_grace_period(exporter: Exporter) -> None:
    seconds = exporter.pod["terminationGracePeriodSeconds"]
    docker("stop", f"--time={seconds}", exporter.id)
    assert exporter.state()["ExitCode"] == 0, exporter.log()[-2000:]


def test_gate_reports_its_result_with_the_exit_code_of_the_policy(image: str, tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    job = only("gate", "Job")["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    done = docker("run", "--rm", "--network=none", *run_flags(pod, volumes), image, *container["args"], check=False)
    assert done.returncode == CHECK_FAILED, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode in job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert done.stdout.splitlines()[-1].startswith("FAILED ")
    assert list((tmp_path / "tmp" / "reports").glob("*.json"))
