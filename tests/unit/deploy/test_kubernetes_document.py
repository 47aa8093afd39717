"""docs/kubernetes.md: every command is complete and valid, every value exists, and every name is that of an object."""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from starlight_exporter.cli.main import build_parser
from support.documents import blocks
from support.helm import CHART, OPERATOR, ROOT, Object, helm, value_file
from support.pod_security import CONTROLS

pytestmark = pytest.mark.slow

DOCUMENT = ROOT / "docs" / "kubernetes.md"
NAMES = r"starlight-starlight-exporter[\w-]*"
MANIFESTS, *VALUES = blocks(DOCUMENT, "yaml")
COMMANDS = [
    line for text in blocks(DOCUMENT, "sh") for line in re.sub(r"\\\n *", "", text).splitlines() if line.strip()
]


@functools.cache
def rendered() -> list[Object]:
    """Return the objects of the documented release with all optional parts."""
    words = (f"--values={value_file('pvc')}", "--set=dask.enabled=true,gate.cronJob=true", OPERATOR)
    done = helm("template", "starlight", CHART, "--namespace=starlight", *words)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]


def test_commands_are_valid_shell() -> None:
    text = "\n".join(COMMANDS)
    assert subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=True).stderr == ""


def test_commands_have_the_namespace_and_no_placeholders() -> None:
    for line in COMMANDS:
        for call in re.findall(r"\b(?:kubectl|helm (?:install|upgrade|rollback)) .*", line):
            assert "--namespace=starlight" in call or re.match(r"kubectl (create|label) namespace starlight\b", call), (
                call
            )
        assert not re.search(r"<\w+>|\b[A-Z]{4,}\b(?!=)", line), line


def test_documented_claims_and_pod_are_valid_and_allowed() -> None:
    *claims, pod = yaml.safe_load_all(MANIFESTS)
    for one in (*claims, pod):
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    assert [name for name, control in CONTROLS.items() if not control(pod["spec"])] == []
    (values,) = (yaml.safe_load(text) for text in VALUES if "volumes:" in text)
    used = {one["persistentVolumeClaim"]["claimName"] for one in values["volumes"].values()}
    assert used == {claim["metadata"]["name"] for claim in claims}
    mounted = {mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounted == {"/srv/starlight/models", "/srv/starlight/datasets"}


@pytest.mark.parametrize("text", VALUES, ids=lambda text: text.partition(":")[0])
def test_documented_values_are_accepted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    done = helm("lint", "--strict", CHART, f"--values={value_file('pvc')}", f"--values={file}")
    assert done.returncode == 0, done.stdout


def test_named_values_exist() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    names = "|".join(name for name in schema["properties"] if name != "config")
    found = re.findall(rf"`(?:--set )?((?:{names})(?:\.\w+)+)", DOCUMENT.read_text())
    assert len(set(found)) > 20
    for name in (one for one in found if not one.endswith((".yml", ".yaml"))):
        place = schema
        for part in name.split("."):
            assert part in place["properties"], name
            place = place["properties"][part]


def test_named_objects_exist() -> None:
    known = {one["metadata"]["name"] for one in rendered()}
    pods = {f"{one['metadata']['name']}-0" for one in rendered() if one["kind"] == "StatefulSet"}
    assert set(re.findall(NAMES, DOCUMENT.read_text())) <= known | pods
    (monitor,) = (one for one in rendered() if one["kind"] == "ServiceMonitor")
    instance = monitor["spec"]["endpoints"][0]["relabelings"][0]["replacement"]
    assert f"--label=instance={instance} " in DOCUMENT.read_text()


def test_commands_in_containers_are_those_of_the_product() -> None:
    found = [shlex.split(line.partition(" -- ")[2].partition(">")[0]) for line in COMMANDS if " exec " in line]
    assert [words[0] for words in found] == ["starlight", "starlight"]
    for words in found:
        build_parser().parse_args(words[1:])


def test_images_are_those_of_the_chart() -> None:
    """Without and with Dask workers."""
    (image,) = {
        container["image"]
        for one in rendered()
        if one["kind"] == "StatefulSet"
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    for tag in (image.removesuffix("-cluster"), image):
        assert f"--tag registry.example.org/{tag} .\n" in DOCUMENT.read_text()
        assert f"docker push registry.example.org/{tag}\n" in DOCUMENT.read_text()
