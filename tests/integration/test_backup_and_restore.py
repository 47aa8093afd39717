"""A backup of a running exporter, restored for another one, has the same history, pages and metrics."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.documents import PRODUCTION, command
from support.exporter import Exporter, write_config
from support.models import write_constant_model

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OF_THE_PROCESS = re.compile(
    "starlight_(analysis|exporter|storage|worker)_.*|starlight_evaluation_(age_seconds|last_run_successful)"
)
"""Names of gauges about the process and its runs instead of results."""


def write_installation(root: Path, inputs: Path) -> Path:
    """Write the configuration of an exporter below `root`, with the folders of the document."""
    source = yaml.safe_load(write_config(inputs).read_text())
    source["models"][0]["file"] = str(inputs / "models" / "model.onnx")
    source["datasets"][0]["path"] = str(inputs / "images")
    # Relative, so that they are the same below another root.
    source["paths"] = {"data": "../../var/lib/starlight/data", "results": "../../var/lib/starlight/results"}
    source["paths"]["cache"] = "../../var/cache/starlight"
    file = root / "etc" / "starlight" / "starlight.yml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(source))
    return file


def run(line: str, root: Path, archive: Path) -> None:
    """Run a command of the document with another root and archive."""
    replaced = line.replace("--directory=/", f"--directory={root}").replace("starlight-backup.tar.gz", str(archive))
    assert replaced != line
    done = subprocess.run(["bash", "-c", replaced], capture_output=True, text=True, check=False)
    # 1: a file changed while it was read.
    assert done.returncode in (0, 1), done.stderr


def results(exporter: Exporter) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the gauges about results; counters and histograms begin at zero with each process."""
    text = httpx.get(f"{exporter.url}/metrics", timeout=10.0).raise_for_status().text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == "gauge" and family.name.startswith("starlight_") and not OF_THE_PROCESS.fullmatch(family.name)
        for sample in family.samples
    }


def pages(exporter: Exporter) -> dict[str, object]:
    """Return the content of the pages of all stored evaluations."""
    with httpx.Client(base_url=exporter.url, timeout=30) as client:
        listed = client.get("/evaluations.json").json()
        found: dict[str, object] = {"/evaluations": listed}
        for entry in listed["evaluations"]:
            for path in ("", "/images", "/misclassified"):
                page = f"/evaluations/{entry['id']}{path}.json"
                found[page] = client.get(page).raise_for_status().json()
        return found


def test_restored_exporter_has_history_pages_and_metrics(tmp_path: Path) -> None:
    inputs, old, new = tmp_path / "srv", tmp_path / "old", tmp_path / "new"
    inputs.mkdir()
    new.mkdir()
    archive = tmp_path / "backup.tar.gz"
    with Exporter(write_installation(old, inputs)) as running:
        running.wait_for_value(0.0, "evaluations_queued")
        running.wait_until(lambda: running.value("detections", model="production", method="lsb") == 0.0, "a result")
        # A second model, so that there is more than one evaluation.
        write_constant_model(tmp_path / "better.onnx", logit=4.0).replace(inputs / "models" / "model.onnx")
        running.wait_for_value(2.0, "detections", model="production", method="lsb")
        running.wait_for_value(0.0, "evaluations_queued")
        running.wait_until(lambda: len(pages(running)) == 7, "two stored evaluations")
        run(command(PRODUCTION, "tar --create"), old, archive)
        expected_pages, expected = pages(running), results(running)
        run(command(PRODUCTION, "tar --extract"), new, archive)
    assert not (new / "var" / "cache").exists()
    history = new / "var" / "lib" / "starlight" / "data" / "history.jsonl"
    assert len([json.loads(line) for line in history.read_text().splitlines()]) == 2
    with Exporter(new / "etc" / "starlight" / "starlight.yml") as restored:
        restored.wait_for_value(2.0, "detections", model="production", method="lsb")
        restored.wait_for_value(0.0, "evaluations_queued")
        assert pages(restored) == expected_pages
        found = results(restored)
        assert restored.total("evaluations_total", outcome="success") == 0.0, "nothing was evaluated again"
        assert {key[0] for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)} == set()
        assert len(found) > 100
    assert history.read_bytes() == (old / "var" / "lib" / "starlight" / "data" / "history.jsonl").read_bytes()
