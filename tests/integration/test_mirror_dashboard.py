"""The markdown mirror over a real Prometheus: full, empty, with half a day of data, with a gap, and gone."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from starlight_exporter.markdown.document import STALE, UPDATED
from starlight_exporter.markdown.reading import read
from starlight_exporter.publish.charts import NAMESPACE
from starlight_exporter.publish.snapshot import RunState, Snapshot
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.sample_sizes import compare_with_limit
from support.backfill import SCRAPE_LABELS, backfill
from support.servers import Prometheus, free_port
from support.snapshots import full_evaluation, full_snapshot, run_state

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "mirror_dashboard.py"
CONFIG = """
global:
  scrape_interval: 15s
  external_labels: {exporter_url: "http://exporter.test", runbook_base: "http://exporter.test/runbooks"}
"""
MINUTE, HOUR = 60.0, 3600.0
OLD, NEW = "0" * 64, "f" * 64
NOW = 0.0
"""Set for each test: Prometheus takes nothing for current that is five minutes old, and the suite runs longer."""
"""One instant for all data of this file."""


def scrape(at: float, *, sha256: str = OLD, false_positives: int = 3) -> tuple[float, Snapshot]:
    """What a scrape finds just after an evaluation."""
    result = full_evaluation(finished_at=at, model_sha256=sha256, false_positives=false_positives)
    run = run_state(result, interval_seconds=600.0)
    snapshot = replace(full_snapshot(), runs={("production", "reference"): run, ("v3", "reference"): RunState()})
    model = replace(snapshot.models["production"], sha256=sha256, file_sha256=sha256)
    return at, snapshot.with_model(model)


def scrapes(start: float, end: float, **changes: object) -> Iterable[tuple[float, Snapshot]]:
    """One scrape and evaluation every ten minutes."""
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
    """A Prometheus that scrapes nothing and holds this past."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG)
    backfill(folder / "tsdb", data, more=more)
    with Prometheus(config, folder / "tsdb", log=folder / "prometheus.log") as server:
        yield server


def mirror(prometheus: str, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), f"--prometheus={prometheus}", f"--output={output}", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def body(text: str, section: str) -> str:
    return text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def table(text: str, section: str) -> list[list[str]]:
    """The cells of the first table of a section, its header first."""
    lines = body(text, section).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    return [row for row in rows if row[0] != "---"]


def picture(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def elements(root: ElementTree.Element, tag: str, css: str) -> list[ElementTree.Element]:
    return [one for one in root.iter(f"{{{NAMESPACE}}}{tag}") if one.get("class") == css]


def test_every_section_is_read_back_from_a_week_of_data(tmp_path: Path) -> None:
    alert = {"alertname": "StarlightFalsePositiveTargetMissed", "severity": "info", "model": "production"}
    begun = NOW - 5 * HOUR
    fired = [(begun + i * MINUTE, 1.0) for i in range(90)]
    past = (
        *(("ALERTS", {**alert, "alertstate": "firing"}, at, value) for at, value in fired),
        *(("ALERTS_FOR_STATE", alert, at, begun) for at, _ in fired),
    )
    data = (
        *scrapes(NOW - 70 * HOUR, NOW - 11 * HOUR, sha256=OLD, false_positives=3),
        *scrapes(NOW - 10 * HOUR, NOW - 10, sha256=NEW, false_positives=1),
        scrape(NOW - 5, sha256=NEW, false_positives=1),
    )
    output = tmp_path / "out" / "performance_dashboard.md"
    with prometheus_with(tmp_path, data, past) as prometheus:
        done = mirror(prometheus.url, output)
        assert done.returncode == 0, done.stderr
        text = output.read_text(encoding="utf-8")
        status = table(text, "Status")[1]
        assert status[:3] == [
            "[`production`](http://exporter.test/evaluations/latest?model=production&dataset=reference)",
            "`models/production/model.onnx`",
            f"`{NEW[:12]}`",
        ]
        figures = {row[0].split("]")[0].strip("["): row[1:] for row in table(text, "Current metrics")[1:]}
        value = prometheus.value('starlight_false_positive_ratio{model="production"}', at=NOW - 5)
        assert value == 1 / 4000
        assert figures["False positive rate, clean images"][0] == "0.025%"
        assert figures["False positive rate, clean images"][2:4] == ["1 of 4,000", "< 0.05%"]
        more = compare_with_limit(proportion(1, 4000), 0.0005, "below").more_images
        expected = f"pass, inconclusive: about {more:,} more images are needed"
        assert expected in figures["False positive rate, clean images"][4]
        assert figures["False positive rate, clean bmp"][0] == "not measured"
        assert figures["Detection rate, alpha"][:1] == ["100.00%"]
        assert "fail" in figures["Detection rate, eoi"][4]
        speeds = {row[0]: row for row in table(text, "Inference performance")[1:]}
        assert speeds["p95"][1:3] == ["3.40 ms", "3.30–3.60 ms"]
        assert "pass" in speeds["p95"][5]
        assert "2.322 of at most 2.322 bits" in text
        others = table(text, "Baseline and research models")[1]
        assert others[0] == "`v3`"
        assert others[4:] == ["not measured"] * 4
        name, severity, about, start, end, state = table(text, "Alerts of the last day")[1]
        assert name == "[StarlightFalsePositiveTargetMissed](http://exporter.test/runbooks/" + (
            "StarlightFalsePositiveTargetMissed.md)"
        )
        assert (severity, about, state) == ("info", "model=production", "resolved")
        assert start == time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(begun))
        # The samples stop; Prometheus goes on answering with the last one for five minutes.
        lasted = time.mktime(time.strptime(end, "%Y-%m-%d %H:%M:%S UTC")) - time.mktime(
            time.strptime(start, "%Y-%m-%d %H:%M:%S UTC")
        )
        assert 89 * MINUTE <= lasted <= 96 * MINUTE
        beside = output.with_name("performance_dashboard_production_reference_false_positives.svg")
        drawn = picture(beside)
        assert [mark.text for mark in elements(drawn, "text", "mark-text")] == [NEW[:7]]
        assert len(elements(drawn, "polygon", "band fill-0")) >= 1
        assert len(elements(drawn, "line", "limit")) == 1
        methods = picture(output.with_name("performance_dashboard_production_reference_detections.svg"))
        assert len(elements(methods, "line", "limit")) == 5
        latency = picture(output.with_name("performance_dashboard_production_reference_latency.svg"))
        labels = [one.text for one in latency.iter(f"{{{NAMESPACE}}}text")]
        assert {"p50 2.10 ms", "p95 3.40 ms", "p99 4.70 ms"} <= set(labels)
        for reference in (beside.name, "…"):
            assert (f"]({reference})" in text) is (reference != "…")


def test_it_is_written_only_when_something_changed_and_marked_when_prometheus_is_gone(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, [scrape(NOW - 20 * MINUTE), scrape(NOW - 5)]) as prometheus:
        assert mirror(prometheus.url, output).returncode == 0
        first = {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in tmp_path.glob("performance*")}
        time.sleep(1.1)
        again = mirror(prometheus.url, output)
        assert "unchanged" in again.stdout
        assert {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in tmp_path.glob("performance*")} == (
            first
        )
        # Anything else that differs is put right.
        output.write_text(output.read_text().replace("4000", "4001"))
        assert "written" in mirror(prometheus.url, output).stdout
        kept = output.read_text()
    gone = mirror(prometheus.url, output)
    assert gone.returncode == 2
    assert "Prometheus gives no answer" in gone.stderr
    assert "Traceback" not in gone.stderr
    stale = output.read_text()
    marks = [line for line in stale.splitlines() if line.startswith(STALE)]
    assert len(marks) == 1
    assert [line for line in stale.splitlines() if line not in (marks[0], "")] == [
        line for line in kept.splitlines() if line
    ]
    assert mirror(prometheus.url, output).returncode == 2
    assert output.read_text() == stale


def test_a_prometheus_without_data_gives_a_document_without_numbers(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, []) as prometheus:
        assert mirror(prometheus.url, output).returncode == 0
    text = output.read_text()
    for section in ("Status", "Current metrics", "Inference performance", "Dataset quality", "Trends"):
        assert "Not measured" in body(text, section), section
        assert not any(digit in body(text, section) for digit in "0123456789"), section
    assert "is the exporter up, and scraped?" in text
    assert [path.name for path in tmp_path.glob("*.svg")] == []


def test_old_values_are_not_shown_as_current_and_the_last_time_is_told(tmp_path: Path) -> None:
    """Half a day of data that ended two hours ago."""
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, scrapes(NOW - 14 * HOUR, NOW - 2 * HOUR)) as prometheus:
        assert mirror(prometheus.url, output).returncode == 0
    text = output.read_text()
    assert "0.075%" not in text
    last = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(NOW - 2 * HOUR))
    assert f"The last evaluation that it knows of `production` on `reference` ended {last}." in text
    drawn = picture(output.with_name("performance_dashboard_production_reference_false_positives.svg"))
    (line,) = elements(drawn, "polyline", "line series-0")
    xs = [float(point.split(",")[0]) for point in (line.get("points") or "").split()]
    assert min(xs) > 74
    assert max(xs) < 764 * 0.95


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    data = (*scrapes(NOW - 12 * HOUR, NOW - 8 * HOUR), *scrapes(NOW - 4 * HOUR, NOW - 5), scrape(NOW - 5))
    with prometheus_with(tmp_path, data) as prometheus:
        reading = read(prometheus.url, None, now=NOW)
        assert mirror(prometheus.url, tmp_path / "performance_dashboard.md").returncode == 0
    (trend,) = reading.trends
    times = [at for at, _ in trend.history.false_positives.value]
    longest = max(after - before for before, after in itertools.pairwise(times))
    assert 3.5 * HOUR < longest < 4.5 * HOUR
    drawn = picture(tmp_path / "performance_dashboard_production_reference_false_positives.svg")
    assert len(elements(drawn, "polyline", "line series-0")) == 2
    assert len(elements(drawn, "polygon", "band fill-0")) == 2


def test_an_alertmanager_that_is_gone_costs_a_remark_and_no_document(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, [scrape(NOW - 5)]) as prometheus:
        done = mirror(prometheus.url, output, f"--alertmanager=http://127.0.0.1:{free_port()}")
        assert done.returncode == 0, done.stderr
    assert "Alertmanager gives no answer" in output.read_text()


def test_two_exporters_are_told_apart(tmp_path: Path) -> None:
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
        board = read(prometheus.url, None, now=NOW).dashboard
    assert [(one.labels["instance"], one.evaluated_at) for one in board.subjects] == [
        ("exporter:9877", NOW - 5),
        ("other:9877", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--prometheus=localhost:9090",), "expected an address such as http://127.0.0.1:9090"),
        (("--prometheus=http://a", "--watch=30"), "expected a duration such as 30s"),
        ((), "--prometheus"),
    ],
)
def test_mistakes_on_the_command_line_are_told_in_a_line(arguments: tuple[str, ...], says: str) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr


def test_the_first_line_after_the_title_is_the_last_update(tmp_path: Path) -> None:
    output = tmp_path / "performance_dashboard.md"
    with prometheus_with(tmp_path, [scrape(NOW - 5)]) as prometheus:
        assert mirror(prometheus.url, output).returncode == 0
    assert output.read_text().splitlines()[2].startswith(UPDATED)
