"""The golden exposition file, the families and the reference page agree.

STARLIGHT_UPDATE_GOLDEN=1 rewrites the two files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.exposition import render
from starlight_exporter.publish.families import FAMILIES
from starlight_exporter.publish.families.family import PREFIX
from starlight_exporter.publish.families.labels import LABELS
from starlight_exporter.publish.reference import metrics_reference
from support.servers import run_tool
from support.snapshots import full_snapshot, openmetrics_families

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "exposition.txt"
REFERENCE = ROOT / "docs" / "metrics.md"

TYPES = {"gauge": "gauge", "info": "gauge", "counter": "counter", "histogram": "histogram", "summary": "summary"}
PARTS = {"le"}


def rendered(accept: str | None = None) -> str:
    registry = CollectorRegistry()
    registry.register(StarlightCollector(full_snapshot))
    return render(registry, accept, [])[0].decode()


def same_as_committed(path: Path, text: str) -> None:
    if os.environ.get("STARLIGHT_UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "STARLIGHT_UPDATE_GOLDEN=1 rewrites it"


def test_golden_file_is_current() -> None:
    same_as_committed(GOLDEN, rendered())


def test_reference_page_is_current() -> None:
    same_as_committed(REFERENCE, metrics_reference())


def test_promtool_accepts_the_golden_file() -> None:
    assert run_tool(["promtool", "check", "metrics"], stdin=GOLDEN.read_text(encoding="utf-8")) == (0, "")


def test_promtool_rejects_bad_names() -> None:
    bad = "# HELP a_total X.\n# TYPE a_total gauge\na_total 1\n"
    code, output = run_tool(["promtool", "check", "metrics"], stdin=bad)
    assert code != 0
    assert "a_total" in output


def test_golden_file_has_all_families_in_order() -> None:
    typed = re.findall(r"^# TYPE (\S+) (\S+)$", GOLDEN.read_text(encoding="utf-8"), re.MULTILINE)
    assert typed == [(family.name, TYPES[family.kind]) for family in FAMILIES]


def test_samples_have_the_labels_of_their_family() -> None:
    labels = {family.name: set(family.labels) for family in FAMILIES}
    for found in text_string_to_metric_families(GOLDEN.read_text(encoding="utf-8")):
        name = found.name + "_total" if found.type == "counter" else found.name
        assert found.samples
        for sample in found.samples:
            assert set(sample.labels) - PARTS == labels[name], sample


def test_series_are_unique() -> None:
    lines = [line.rsplit(" ", 1)[0] for line in GOLDEN.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert len(lines) == len(set(lines))


def test_strict_parser_accepts_openmetrics() -> None:
    families = openmetrics_families(rendered("application/openmetrics-text;version=1.0.0"))
    assert [family.name for family in families] == [family.base_name for family in FAMILIES]
    assert all(family.type == known.kind for family, known in zip(families, FAMILIES, strict=True))


def test_families_follow_naming_conventions() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(PREFIX + "[a-z][a-z0-9_]*[a-z0-9]", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.name.endswith("_info") == (family.kind == "info"), family.name
        assert family.help.endswith("."), family.name
        assert ("quantile" in family.labels) == (family.kind == "summary"), family.name
        assert "le" not in family.labels
        for unit in ("bytes", "seconds"):
            if family.unit.split()[-1:] == [unit] and not family.unit.startswith("images"):
                assert family.name.endswith(f"_{unit}"), family.name
        if family.name.endswith("_ratio"):
            assert family.unit == "ratio", family.name


def test_labels_are_documented_and_used() -> None:
    assert {label for family in FAMILIES for label in family.labels} == set(LABELS)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_reference_page_has_a_row_for(family: object) -> None:
    name, labels = getattr(family, "name", ""), getattr(family, "labels", ())
    rows = [line for line in REFERENCE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` ")]
    assert len(rows) == 1
    assert re.findall(r"`([a-z0-9_]+)`", rows[0].split("|")[3]) == list(labels)


def test_reference_page_has_no_unknown_metric() -> None:
    mentioned = set(re.findall(r"\b(starlight_[a-z0-9_]+)", REFERENCE.read_text(encoding="utf-8")))
    assert mentioned == {family.name for family in FAMILIES}
