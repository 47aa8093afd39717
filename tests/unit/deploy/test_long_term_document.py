"""docs/long-term-storage.md and docker-compose.long-term.yml agree with each other and with the tested settings."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.configuration import remote_write
from stack.containers import REMOTE_WRITE, write_configurations
from starlight_exporter.asset_files import exported_files
from starlight_exporter.cli.main import build_parser
from support.dashboards import NAMES, plain, queries
from support.documents import blocks, command, commands
from support.rules import selectors
from support.victoria_metrics import DEDUPLICATION, RETENTION, VMCTL

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "long-term-storage.md"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.long-term.yml").read_text())
BASE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
STORE = COMPOSE["services"]["victoria-metrics"]
PROVISIONED = ROOT / "grafana" / "provisioning" / "datasources" / "starlight.yml"
SHIPPED: dict[str, Any] = yaml.safe_load(PROVISIONED.read_text())
FILE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "victoria-metrics" / "datasource.yml").read_text())
(SOURCE,) = FILE["datasources"]
NEW = ("victoria-metrics", "verify")
WRITE_URL = "http://victoria-metrics:8428/api/v1/write"


def test_remote_write_is_that_of_the_stack() -> None:
    (text,) = blocks(DOCUMENT, "yaml")
    (entry,) = yaml.safe_load(text)["remote_write"]
    assert entry == remote_write(entry["url"])


def test_remote_write_keeps_every_metric_of_the_dashboards() -> None:
    (rule,) = remote_write(WRITE_URL)["write_relabel_configs"]
    queried = {one.metric for name in NAMES for query in queries(name) for one in selectors(plain(query.expr))}
    assert "process_resident_memory_bytes" in queried
    assert [metric for metric in sorted(queried) if not re.fullmatch(rule["regex"], metric)] == []


def test_commands_are_valid() -> None:
    text = "\n".join(commands(DOCUMENT))
    assert subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=True).stderr == ""
    found = [shlex.split(line)[1:] for line in commands(DOCUMENT) if line.startswith("starlight ")]
    assert [words[:2] for words in found] == [["history", "export"], ["history", "verify"]]
    for words in found:
        build_parser().parse_args(words)
    build_parser().parse_args(COMPOSE["services"]["verify"]["command"][1:])


def test_flags_of_the_store_are_the_tested_ones() -> None:
    flags = command(DOCUMENT, "victoria-metrics ").split()
    assert {DEDUPLICATION, RETENTION} <= set(flags)
    assert DEDUPLICATION in STORE["command"]
    assert {*VMCTL} <= {*command(DOCUMENT, "vmctl ").split()}
    assert "-retentionPeriod=${STARLIGHT_LONG_TERM_RETENTION:-10y}" in STORE["command"]


def test_data_source_is_exported() -> None:
    assert Path("deploy/victoria-metrics/datasource.yml") in set(exported_files())
    assert SOURCE["url"] == "$STARLIGHT_LONG_TERM_URL"
    assert COMPOSE["services"]["grafana"]["environment"]["STARLIGHT_LONG_TERM_URL"] == WRITE_URL.partition("/api")[0]


def test_data_source_is_a_second_one_of_the_kind_that_dashboards_select() -> None:
    """Grafana refuses to start with two default data sources, or with a name or UID that occurs twice."""
    assert FILE["apiVersion"] == SHIPPED["apiVersion"] == 1
    prometheus, alertmanager = SHIPPED["datasources"]
    assert set(FILE) <= set(SHIPPED)
    assert set(SOURCE) == set(prometheus) - {"isDefault"}
    assert set(SOURCE["jsonData"]) <= set(prometheus["jsonData"])
    for key in ("type", "access", "editable"):
        assert SOURCE[key] == prometheus[key]
    assert re.fullmatch(r"[a-z-]{1,40}", SOURCE["uid"])
    for key in ("name", "uid"):
        assert len({one[key] for one in (SOURCE, prometheus, alertmanager)}) == 3


def test_grafana_reads_both_data_sources() -> None:
    grafana = COMPOSE["services"]["grafana"]
    folder = grafana["environment"]["GF_PATHS_PROVISIONING"]
    mounted = {target: source for source, target, _ in (volume.split(":") for volume in grafana["volumes"])}
    assert {target: (ROOT / source).resolve() for target, source in mounted.items()} == {
        f"{folder}/dashboards": ROOT / "grafana" / "provisioning" / "dashboards",
        f"{folder}/datasources/starlight.yml": PROVISIONED,
        f"{folder}/datasources/victoria-metrics.yml": ROOT / "deploy" / "victoria-metrics" / "datasource.yml",
    }


def test_setup_adds_remote_write_only_with_a_store(tmp_path: Path) -> None:
    file = tmp_path / "prometheus" / "prometheus.yml"
    assert COMPOSE["services"]["setup"]["environment"] == {REMOTE_WRITE: WRITE_URL}
    write_configurations(tmp_path, store=WRITE_URL)
    assert yaml.safe_load(file.read_text())["remote_write"] == [remote_write(WRITE_URL)]
    write_configurations(tmp_path)
    assert "remote_write" not in yaml.safe_load(file.read_text())


@pytest.mark.parametrize("name", NEW)
def test_service_is_confined(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 200
    assert service["mem_limit"]
    assert service["cpus"]
    # The store has no users.
    assert "ports" not in service
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", service["image"])


def test_each_network_connects_one_pair_of_services() -> None:
    members: dict[str, set[str]] = {network: set() for network in COMPOSE["networks"]}
    for name, service in COMPOSE["services"].items():
        for network in service.get("networks", ()):
            members[network].add(name)
    assert members == {
        f"{name}-victoria-metrics": {name, "victoria-metrics"} for name in ("grafana", "prometheus", "verify")
    }
    isolated = BASE["networks"]["prometheus-exporter"]
    assert all(network == isolated for network in COMPOSE["networks"].values())


def test_mounted_files_exist() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
                assert volume.endswith(":ro")
            else:
                assert source in {**BASE["volumes"], **COMPOSE["volumes"]}


def test_labels_of_the_verification_are_those_of_the_scraped_exporter() -> None:
    words = COMPOSE["services"]["verify"]["command"]
    jobs = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert {f"--label=job={jobs[0]['job_name']}", "--label=instance=exporter:9877"} <= set(words)
