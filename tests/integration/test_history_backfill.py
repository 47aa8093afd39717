"""Backfill of the exported history into Prometheus with promtool."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from starlight_exporter.publish.backfill import export_openmetrics
from starlight_exporter.publish.history import History
from support.servers import Prometheus, run_tool
from support.snapshots import full_evaluation

pytestmark = pytest.mark.integration

DAY = 86_400.0
CONFIG = "global:\n  scrape_interval: 15s\n"


def test_backfilled_samples_have_the_time_of_their_evaluation(tmp_path: Path) -> None:
    now = float(int(time.time()))
    results = [
        full_evaluation(
            evaluation_id=f"run-{days}-{model}",
            model=model,
            finished_at=now - days * DAY + 0.25,
            false_positives=days,
            model_sha256=f"{days:012}" + "0" * 52,
        )
        for days in (30, 2, 1)
        for model in ("production", "v3")
    ]
    history = History(tmp_path / "history.jsonl", max_bytes=20_000)
    for result in results:
        history.append(result)
    history.append(results[0])
    history.close()
    assert len(history.files()) > 1

    exported = tmp_path / "history.om"
    with exported.open("w", encoding="utf-8") as out:
        export_openmetrics(history.evaluations(), out, extra_labels={"job": "starlight"})
    code, output = run_tool(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(exported), str(tmp_path / "tsdb")]
    )
    assert code == 0, output

    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG)
    with Prometheus(config, tmp_path / "tsdb", log=tmp_path / "prometheus.log") as prometheus:
        for result in results:
            at = result.finished_at + 1
            series = f'{{model="{result.model}",dataset="reference"}}'
            for name, expected in (
                ("starlight_false_positives", result.clean.count),
                ("starlight_false_positive_ratio", result.clean.ratio),
                ("starlight_evaluation_timestamp_seconds", result.finished_at),
            ):
                assert prometheus.value(name + series, at=at) == pytest.approx(expected, rel=1e-12), name
            assert (
                prometheus.value(f'starlight_detection_ratio{{model="{result.model}",method="exif"}}', at=at) == 0.955
            )
            p95 = f'starlight_latency_seconds{{model="{result.model}",quantile="0.95"}}'
            assert prometheus.value(p95, at=at) == 0.0034
            info = prometheus.query(f"starlight_evaluation_info{series}", at=at)
            assert [entry["metric"]["model_sha256"] for entry in info] == [result.provenance.model_sha256[:12]]
            assert info[0]["metric"]["job"] == "starlight"
        # There is no sample an hour before the first evaluation, and each evaluation is counted once.
        assert prometheus.query("starlight_clean_images", at=now - 30 * DAY - 3600) == []
        lines = exported.read_text(encoding="utf-8").splitlines()
        series_exported = {line.rsplit(" ", 2)[0] for line in lines if not line.startswith("#")}
        assert prometheus.value('count(last_over_time({job="starlight"}[40d]))') == len(series_exported)
        counted = prometheus.value('sum(count_over_time(starlight_clean_images{job="starlight"}[40d]))')
        assert counted == len(results)
        steps = prometheus.query_range(
            'last_over_time(starlight_false_positives{model="v3"}[1h])', start=now - 31 * DAY, end=now, step=1_800
        )
        values = {float(value) for _, value in steps[0]["values"]}
        assert values == {30.0, 2.0, 1.0}
