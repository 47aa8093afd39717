"""The markdown dashboard of a real Prometheus: with data, without data, with old data, with a gap, and unavailable."""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.content import query_content
from starlight_exporter.markdown.document import STALE, UPDATED
from starlight_exporter.publish.charts import NAMESPACE
from starlight_exporter.publish.snapshot import RunState, Snapshot
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.sample_sizes import sample_for_conclusion
from support.backfill import SCRAPE_LABELS, backfill
from support.scripts import run_script
from support.servers import Prometheus, free_port
from support.snapshots import full_evaluation, full_snapshot, run_state

pytestmark = pytest.mark.integration

CONFIG = """
global:
  scrape_interval: 15s
  external_labels: {cluster: test}
"""
MINUTE, HOUR = 60.0, 3600.0
OLD, NEW = "0" * 64, "f" * 64
NOW = 0.0
"""The current time, set for each test: Prometheus does not return samples that are more than five minutes old."""


def scrape(at: float, *, sha256: str = OLD, false_positives: int = 3) -> tuple[float, Snapshot]:
    """Return the time and the snapshot of a scrape right after an evaluation."""
    result = full_evaluation(finished_at=at, model_sha256=sha256, false_positives=false_positives)
    run = run_state(result, interval_seconds=600.0)
    snapshot = replace(full_snapshot(), runs={("production", "reference"): run, ("v3", "reference"): RunState()})
    model = replace(snapshot.models["production"], sha256=sha256, file_sha256=sha256)
    return at, snapshot.with_model(model)


def scrapes(start: float, end: float, **changes: object) -> Iterable[tuple[float, Snapshot]]:
    """Yield one scrape and evaluation every ten minutes."""
    at = start
    while at <= end:
        yield scrape(at, **changes)  # type: ignore[arg-type]
        at += 10 * MINUTE


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "NOW", float(int(time.time())))


@contextmanager
def prometheus_with(
    folder: Path, data: Iterable[tuple[float, Snapshot]], more: Iterable[tuple[str, dict[str, str], float, float]] = ()
) -> Iterator[Prometheus]:
    """Start a Prometheus with backfilled data and without targets."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG)
    backfill(folder / "tsdb", data, more=more)
    with Prometheus(config, folder / "tsdb", log=folder / "prometheus.log") as server:
        yield server


def write_dashboard(prometheus: str, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run_script("mirror_dashboard.py", f"--prometheus={prometheus}", f"--output={output}", *more)


def body(text: str, section: str) -> str:
    return text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def table(text: str, section: str) -> list[list[str]]:
    """Return the cells of the first table of a section, with its header."""
    lines = body(text, section).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    return [row for row in rows if row[0] != "---"]


def read_svg(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def elements(root: ElementTree.Element, tag: str, css: str) -> list[ElementTree.Element]:
    return [one for one in root.iter(f"{{{NAMESPACE}}}{tag}") if one.get("class") == css]


def test_every_section_has_the_values_of_prometheus(tmp_path: Path) -> None:
    alert = {"alertname": "StarlightFalsePositiveTargetMissed", "severity": "info", "model": "production"}
    started = NOW - 5 * HOUR
    fired = [(started + i * MINUTE, 1.0) for i in range(90)]
    past = (
        *(("ALERTS", {**alert, "alertstate": "firing"}, at, value) for at, value in fired),
        *(("ALERTS_FOR_STATE", alert, at, started) for at, _ in fired),
    )
    data = (
        *scrapes(NOW - 70 * HOUR, NOW - 11 * HOUR, sha256=OLD, false_positives=3),
        *scrapes(NOW - 10 * HOUR, NOW - 10, sha256=NEW, false_positives=1),
        scrape(NOW - 5, sha256=NEW, false_positives=1),
    )
    output = tmp_path / "out" / "performance_dashboard.md"
    with prometheus_with(tmp_path, data, past) as prometheus:
        done = write_dashboard(prometheus.url, output)
        assert done.returncode == 0, done.stderr
        text = output.read_text(encoding="utf-8")
        status = table(text, "Status")[1]
        assert status[:3] == [
            "[`production`](https://example.org/starlight/evaluations/latest?model=production&dataset=reference)",
            "`models/production/model.onnx`",
            f"`{NEW[:12]}`",
        ]
        metrics = {row[0].split("]")[0].strip("["): row[1:] for row in table(text, "Current metrics")[1:]}
        value = prometheus.value('starlight_false_positive_ratio{model="production"}', at=NOW - 5)
        assert value == 1 / 4000
        assert metrics["False positive rate, clean images"][0] == "0.025%"
        assert metrics["False positive rate, clean images"][2:] == [
            "1 of 4,000",
            "0.32%",
            "< 0.05%",
            "🟢 pass (inconclusive)",
        ]
        sample = sample_for_conclusion(proportion(1, 4000), 0.0005)
        assert sample is not None
        assert f"{sample.images:,} (clean images)" in body(text, "Current metrics")
        assert metrics["False positive rate, clean bmp"][0] == "not measured"
        assert metrics["False positive rate, clean bmp"][-1] == "⚪ not measured: no images"
        assert metrics["Detection rate, alpha"][:1] == ["100.00%"]
        assert metrics["Detection rate, exif"][-1] == (
            "🔵 fail (significant): detection target (informational, p = 0.002)"
        )
        assert metrics["Detection rate, eoi"][-1] == "🟡 fail (not significant): detection floor"
        speeds = {row[0]: row for row in table(text, "Inference performance")[1:]}
        assert speeds["p95"][1:] == ["3.40 ms", "3.30–3.60 ms", "1,000", "3.40 ms", "< 5.00 ms", "🟢 pass"]
        assert speeds["p95 relative to the baseline"][1:] == [
            "1.03 ×",
            "≥ 0.98 × (99.5%)",
            "",
            "",
            "≤ 1.20 ×",
            "🟢 pass",
        ]
        assert "2.322 of 2.322 bits" in text
        others = table(text, "Baseline and research models")[1]
        assert others[0] == "`v3`"
        assert others[4:] == ["not measured"] * 4
        name, severity, labels, start, end, state = table(text, "Alerts of the last 24 hours")[1]
        assert name == "[StarlightFalsePositiveTargetMissed](https://example.org/starlight/runbooks/" + (
            "StarlightFalsePositiveTargetMissed.md)"
        )
        assert (severity, labels, state) == ("info", "model=production", "resolved")
        assert start == time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(started))
        # Prometheus returns the last sample for another five minutes.
        lasted = time.mktime(time.strptime(end, "%Y-%m-%d %H:%M:%S UTC")) - time.mktime(
            time.strptime(start, "%Y-%m-%d %H:%M:%S UTC")
        )
        assert 89 * MINUTE <= lasted <= 96 * MINUTE
        chart = output.with_name("performance_dashboard_production_reference_false_positives.svg")
        svg = read_svg(chart)
        assert [mark.text for mark in elements(svg, "text", "mark-text")] == [NEW[:7]]
        assert len(elements(svg, "polygon", "band fill-0")) >= 1
        assert len(elements(svg, "line", "limit")) == 1
        methods = read_svg(output.with_name("performance_dashboard_production_reference_detections.svg"))
        assert len(elements(methods, "line", "limit")) == 5
        latency = read_svg(output.with_name("performance_dashboard_production_reference_latency.svg"))
        texts = [one.text for one in latency.iter(f"{{{NAMESPACE}}}text")]
        assert {"p50 2.10 ms", "p95 3.40 ms", "p99 4.70 ms"} <= set(texts)
        assert f"]({chart.name})" in text


def test_document_is_written_only_on_change_and_marked_stale_without_prometheus(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, [scrape(NOW - 20 * MINUTE), scrape(NOW - 5)]) as prometheus:
        assert write_dashboard(prometheus.url, output).returncode == 0
        # Only the time of the update differs from what the second run would write.
        output.write_text(re.sub(r"(?<=\*\*Last update:\*\* ).*", "2000-01-01 00:00:00 UTC", output.read_text()))
        first = {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in tmp_path.glob("performance*")}
        again = write_dashboard(prometheus.url, output)
        assert "unchanged" in again.stdout
        assert {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in tmp_path.glob("performance*")} == (
            first
        )
        # A manual edit is overwritten.
        output.write_text(output.read_text().replace("4000", "4001"))
        assert "written" in write_dashboard(prometheus.url, output).stdout
        kept = output.read_text()
    unavailable = write_dashboard(prometheus.url, output)
    assert unavailable.returncode == 2
    assert "Prometheus is unavailable" in unavailable.stderr
    assert "Traceback" not in unavailable.stderr
    stale = output.read_text()
    marks = [line for line in stale.splitlines() if line.startswith(STALE)]
    assert len(marks) == 1
    assert [line for line in stale.splitlines() if line not in (marks[0], "")] == [
        line for line in kept.splitlines() if line
    ]
    assert write_dashboard(prometheus.url, output).returncode == 2
    assert output.read_text() == stale


def test_document_without_data_has_no_numbers(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, []) as prometheus:
        assert write_dashboard(prometheus.url, output).returncode == 0
    text = output.read_text()
    for section in ("Status", "Current metrics", "Inference performance", "Dataset quality", "Trends"):
        assert "Not measured" in body(text, section), section
        assert not any(digit in body(text, section) for digit in "0123456789"), section
    assert "Check that the exporter is scraped." in text
    assert [path.name for path in tmp_path.glob("*.svg")] == []


def test_old_values_are_not_shown_as_current(tmp_path: Path) -> None:
    """The data covers half a day and ends two hours ago; the document states when the last evaluation ended."""
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, scrapes(NOW - 14 * HOUR, NOW - 2 * HOUR)) as prometheus:
        assert write_dashboard(prometheus.url, output).returncode == 0
    text = output.read_text()
    assert "0.075%" not in text
    last = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(NOW - 2 * HOUR))
    assert f"The last evaluation of `production` on `reference` in Prometheus ended {last}." in text
    svg = read_svg(output.with_name("performance_dashboard_production_reference_false_positives.svg"))
    (line,) = elements(svg, "polyline", "line series-0")
    xs = [float(point.split(",")[0]) for point in (line.get("points") or "").split()]
    assert min(xs) > 74
    assert max(xs) < 764 * 0.95


def test_gap_in_the_data_is_a_gap_in_the_chart(tmp_path: Path) -> None:
    data = (*scrapes(NOW - 12 * HOUR, NOW - 8 * HOUR), *scrapes(NOW - 4 * HOUR, NOW - 5), scrape(NOW - 5))
    with prometheus_with(tmp_path, data) as prometheus:
        content = query_content(Endpoint(prometheus.url), None, now=NOW)
        assert write_dashboard(prometheus.url, tmp_path / "performance_dashboard.md").returncode == 0
    (trends,) = content.trends
    times = [at for at, _ in trends.false_positives.value]
    longest = max(after - before for before, after in itertools.pairwise(times))
    assert 3.5 * HOUR < longest < 4.5 * HOUR
    svg = read_svg(tmp_path / "performance_dashboard_production_reference_false_positives.svg")
    assert len(elements(svg, "polyline", "line series-0")) == 2
    assert len(elements(svg, "polygon", "band fill-0")) == 2


def test_unavailable_alertmanager_is_a_warning(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, [scrape(NOW - 5)]) as prometheus:
        done = write_dashboard(prometheus.url, output, f"--alertmanager=http://127.0.0.1:{free_port()}")
        assert done.returncode == 0, done.stderr
    assert "Alertmanager is unavailable" in output.read_text()


def test_instances_are_separate_entries(tmp_path: Path) -> None:
    extra = {**SCRAPE_LABELS, "instance": "other:9877"}
    more = [
        ("starlight_model_info", {**extra, "model": "production", "role": "production", "sha256": "", "file": "f",
         "decision": "d"}, NOW - 5, 1.0),
        ("starlight_evaluation_in_progress", {**extra, "model": "production", "dataset": "reference"}, NOW - 5, 1.0),
    ]  # fmt: skip
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG)
    backfill(tmp_path / "tsdb", [scrape(NOW - 5)])
    backfill(tmp_path / "tsdb", [], more=more)
    with Prometheus(config, tmp_path / "tsdb", log=tmp_path / "log") as prometheus:
        dashboard = query_content(Endpoint(prometheus.url), None, now=NOW).dashboard
    assert [(one.labels["instance"], one.evaluated_at) for one in dashboard.production] == [
        ("exporter:9877", NOW - 5),
        ("other:9877", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--prometheus=localhost:9090",), "expected an address such as http://127.0.0.1:9090"),
        (("--prometheus=http://a", "--watch=30"), "expected a duration such as 30s"),
        ((), "--prometheus"),
    ],
)
def test_usage_error_is_one_line(arguments: tuple[str, ...], expected: str) -> None:
    done = run_script("mirror_dashboard.py", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr


def test_third_line_is_the_last_update(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, [scrape(NOW - 5)]) as prometheus:
        assert write_dashboard(prometheus.url, output).returncode == 0
    assert output.read_text().splitlines()[2].startswith(UPDATED)
