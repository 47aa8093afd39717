"""`scripts/up` waits for the first results, and ends if there will be none."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stack import results
from stack.errors import StackError
from starlight_exporter.publish.snapshot import RunState
from support.servers import Prometheus, free_port
from support.snapshots import full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application

pytestmark = pytest.mark.slow

UNUSED = f"http://127.0.0.1:{free_port()}"
FAILED = replace(
    model_state(),
    last_load_successful=False,
    last_failure="invalid",
    last_failure_detail="model.onnx: it is a ZIP archive",
)


def wait(status_page: str, *, seconds: float) -> None:
    results.wait_for_first(UNUSED, status_page, Console(quiet=True), seconds=seconds, check=lambda: None)


def test_model_that_does_not_load_ends_the_wait_with_the_reason(tmp_path: Path) -> None:
    snapshot = full_snapshot().with_model(FAILED).with_run("production", "reference", RunState())
    start = time.monotonic()
    with (
        LocalServer(idle_application(tmp_path, snapshot)) as served,
        pytest.raises(StackError, match=r"first evaluation failed: production on reference: .*it is a ZIP archive"),
    ):
        wait(f"{served.url}/", seconds=60)
    assert time.monotonic() - start < 30


def test_model_with_an_earlier_result_and_no_exporter_are_waited_for(tmp_path: Path) -> None:
    current = run_state(full_evaluation())
    snapshot = full_snapshot().with_model(FAILED).with_run("production", "reference", current)
    with LocalServer(idle_application(tmp_path, snapshot)) as served:
        assert results.first_failure(f"{served.url}/") is None
    assert results.first_failure(f"{UNUSED}/") is None
    with pytest.raises(StackError, match="no false positive ratio of a production model in Prometheus after 0 s"):
        wait(f"{UNUSED}/", seconds=0)


@pytest.mark.integration
def test_latency_on_a_busy_machine_has_a_remark(tmp_path: Path) -> None:
    quiet = full_evaluation()
    assert quiet.latency_ratio is not None
    busy = replace(quiet, dataset="field", latency_ratio=replace(quiet.latency_ratio, contention=0.4))
    snapshot = full_snapshot()
    for evaluation in (quiet, busy):
        snapshot = snapshot.with_run("production", evaluation.dataset, run_state(evaluation))
    config = tmp_path / "prometheus.yml"
    with LocalServer(idle_application(tmp_path, snapshot)) as served:
        config.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: starlight-exporter\n    static_configs:\n"
            f"      - targets: ['{served.url.removeprefix('http://')}']\n"
        )
        with Prometheus(config, tmp_path / "tsdb", log=tmp_path / "prometheus.log") as server:
            server.wait_for_value('starlight_latency_contention_ratio{model="production",dataset="field"}')
            output = io.StringIO()
            results.show(server.url, Console(file=output, width=200))
    rows = [re.split(r" *│ *", line)[2:4] for line in output.getvalue().splitlines() if "latency p95" in line]
    assert rows == [["field", "latency p95 (machine busy)"], ["reference", "latency p95"]]
