"""Run every command of the runbooks in bash against a running stack.

Ports are replaced by those of the test servers. The working directory has the layout of the repository, with a small
reference dataset and logs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import promql_parser
import pytest

from stack.configuration import write_alertmanager, write_prometheus
from stack.ports import Ports
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.counts import counts_of_rates
from starlight_exporter.publish.snapshot import Snapshot
from support.accelerated_stack import accelerate, accelerated_rules
from support.alertmanager import Alertmanager
from support.checks import pairs
from support.rules import ROOT, RUNBOOKS, nodes
from support.run_cache import RunCache
from support.servers import Prometheus, free_port
from support.snapshots import basis_of, full_snapshot
from support.web import LocalServer, idle_application

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGES = sorted(RUNBOOKS.glob("*.md"))
LINKED = ("alerting", "exporter", "prometheus", "scripts", "stack", "tests", "config", "pyproject.toml")

SERVICE, LARGE_DATASET = "--web.enable-lifecycle", "--clean 10000"
"""Commands of which only the options are checked: one runs until it is stopped, one generates 11,000 images."""

COMPARING = {"==", "!=", ">", "<", ">=", "<=", "and", "unless"}


@dataclass(frozen=True)
class Workspace:
    """Working directory and server ports."""

    folder: Path
    ports: Ports

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line with the ports replaced."""
        for name, port in self.ports.by_service().items():
            line = line.replace(f"127.0.0.1:{getattr(Ports(), name)}", f"127.0.0.1:{port}")
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            # Without a terminal, `starlight baseline accept` does not replace any file.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


def snapshot_with_pairs() -> Snapshot:
    """Return the full snapshot, with the pairs of verdicts that the tests against the baseline need."""
    snapshot = full_snapshot()
    run = snapshot.runs["production", "reference"]
    assert run.evaluation is not None
    counts = {
        key: replace(one, paired=pairs(one.files, broken=one.errors))
        for key, one in counts_of_rates(run.evaluation).items()
    }
    basis = replace(basis_of(run.evaluation), counts=counts)
    checked = replace(run, basis=basis, checks=run_checks(run.evaluation, basis))
    return snapshot.with_run("production", "reference", checked)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, run_cache: RunCache) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("runbooks")
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "models", folder / "models")
    shutil.copytree(run_cache.synthetic(seed=52, clean=30, stego=50, negatives=10), folder / "datasets" / "reference")
    (folder / "data" / "logs").mkdir(parents=True)
    (folder / "data" / "logs" / "exporter.log").write_text("model loaded\n")
    (folder / "results").mkdir()

    application_folder = tmp_path_factory.mktemp("exporter")
    servers = tmp_path_factory.mktemp("servers")
    with LocalServer(idle_application(application_folder, snapshot_with_pairs()), lifecycle=True) as site:
        ports = Ports(exporter=site.port, prometheus=free_port(), alertmanager=free_port(), notifications=free_port())
        config = write_prometheus(ROOT, servers / "run", ports)
        rules = accelerated_rules(servers / "rules")
        text = accelerate(config.read_text(), r"_interval: |_timeout: ").replace("- rules/", f"- {rules}/")
        config.write_text(re.sub(r"scrape_timeout: .+", "scrape_timeout: 1s", text))
        alertmanager = write_alertmanager(ROOT, servers / "run", ports)
        with (
            Alertmanager(alertmanager, servers / "am", log=servers / "am.log", port=ports.alertmanager),
            Prometheus(config, servers / "tsdb", log=servers / "prometheus.log", port=ports.prometheus) as prometheus,
        ):
            prometheus.wait_for_value("dataset_class:starlight_dataset_images:sum{class='clean'}")
            prometheus.wait_for_value("count(alertmanager_config_last_reload_successful)")
            prometheus.wait_for_value("delta(dataset_class:starlight_dataset_images:sum{class='clean'}[1h])")
            # The rules of different windows are evaluated at different times.
            for window in ("1h", "1d"):
                prometheus.wait_for_value(
                    f'model_stage:starlight_inference_duration_seconds:p95_{window}{{model="production",stage="total"}}'
                )
            prometheus.wait_for_value("count(prometheus_config_last_reload_successful)")
            yield Workspace(folder, ports)


def _lines(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


ALL = tuple(dict.fromkeys(line for page in PAGES for line in _lines(page)))
QUERIES = tuple(line for line in ALL if line.startswith("promtool query"))
COMMANDS = tuple(line for line in ALL if line not in QUERIES)


def _filters(query: str) -> bool:
    """Return whether the query may be empty in normal operation."""
    return any(isinstance(node, promql_parser.BinaryExpr) and str(node.op) in COMPARING for node in nodes(query))


@pytest.mark.parametrize("line", QUERIES)
def test_query_returns_data(workspace: Workspace, line: str) -> None:
    done = workspace.run(line)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    query = re.findall(r"'(.*)'$", line)[0]
    assert done.stdout.strip() or _filters(query), "empty result of a query without a filter"


@pytest.mark.parametrize("line", COMMANDS)
def test_command_succeeds(workspace: Workspace, line: str) -> None:
    if SERVICE in line or LARGE_DATASET in line:
        words = line.split()
        help_text = workspace.run(" ".join([*words[: 2 if words[0].endswith("python") else 1], "--help"])).stdout
        for option in re.findall(r"--[\w.-]+", line):
            assert option in help_text
        return
    done = workspace.run(line)
    # An evaluation may report a regression or missing slices, and grep may find nothing.
    allowed = {0}
    if re.search(r"scripts/(monitor_performance|regression_tests)", line):
        allowed = {0, 1, 2}
    elif line.endswith("starlight baseline accept"):
        allowed = {0, 2}
    elif line.rsplit("|", maxsplit=1)[-1].strip().startswith("grep"):
        allowed = {0, 1}
    assert done.returncode in allowed, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "usage:" not in done.stderr
