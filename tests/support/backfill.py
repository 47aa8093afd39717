"""Historical data for a real Prometheus: blocks with the samples that scrapes of given snapshots would have stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.exposition import label_text, number_text, openmetrics_header
from starlight_exporter.publish.families import FAMILIES
from starlight_exporter.publish.snapshot import Snapshot
from support.servers import run_tool

SCRAPE_LABELS = {"job": "starlight-exporter", "instance": "exporter:9877"}


def backfill(
    data: Path,
    scrapes: Iterable[tuple[float, Snapshot]],
    *,
    more: Iterable[tuple[str, Mapping[str, str], float, float]] = (),
) -> None:
    """Write blocks to the data folder of a stopped Prometheus; `more` are (name, labels, UTC seconds, value)."""
    by_family: defaultdict[str, list[tuple[str, float, str]]] = defaultdict(list)
    for at, snapshot in scrapes:
        for metric in StarlightCollector(lambda snapshot=snapshot: snapshot).collect():  # type: ignore[misc]
            for sample in metric.samples:
                series = f"{sample.name}{label_text({**sample.labels, **SCRAPE_LABELS})}"
                by_family[metric.name].append((series, at, number_text(sample.value)))
    lines = []
    for family in FAMILIES:
        if family.kind != "histogram" and (found := by_family.get(family.base_name)):
            lines.append(openmetrics_header(family.base_name, family.kind, family.help))
            lines += [f"{series} {value} {at:.3f}\n" for series, at, value in sorted(found)]
    others: defaultdict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for name, own_labels, at, value in more:
        others[name].append((f"{name}{label_text(dict(own_labels))}", at, value))
    for name, samples in others.items():
        lines.append(f"# TYPE {name} gauge\n")
        lines += [f"{series} {value} {at:.3f}\n" for series, at, value in sorted(samples)]
    text = data.with_name(f"{data.name}.om")
    text.write_text("".join((*lines, "# EOF\n")))
    code, output = run_tool(["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)])
    assert code == 0, output
