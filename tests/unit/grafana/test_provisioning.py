"""Provisioning files for data sources and dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from support.dashboards import NAMES, load

ROOT = Path(__file__).resolve().parents[3]
PROVISIONING = ROOT / "grafana" / "provisioning"


def provisioned(kind: str, key: str) -> list[dict[str, Any]]:
    found = []
    for file in sorted((PROVISIONING / kind).glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert content["apiVersion"] == 1
        found += content[key]
    return found


def test_data_sources_have_fixed_uids_and_are_read_only() -> None:
    sources = {source["uid"]: source for source in provisioned("datasources", "datasources")}
    assert set(sources) == {"prometheus", "alertmanager"}
    assert all(source["editable"] is False for source in sources.values())
    assert all(source["access"] == "proxy" for source in sources.values())
    assert sources["alertmanager"]["jsonData"] == {
        "implementation": "prometheus",
        "handleGrafanaManagedAlerts": False,
    }


def test_time_interval_equals_scrape_interval() -> None:
    (source,) = (one for one in provisioned("datasources", "datasources") if one["uid"] == "prometheus")
    prometheus = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["global"]
    assert source["isDefault"] is True
    assert source["jsonData"]["timeInterval"] == prometheus["scrape_interval"]
    assert (source["jsonData"]["httpMethod"], source["jsonData"]["manageAlerts"]) == ("POST", True)


def test_dashboards_default_to_provisioned_data_source() -> None:
    for name in NAMES:
        (variable,) = (one for one in load(name)["templating"]["list"] if one["name"] == "datasource")
        assert (variable["type"], variable["current"]["value"]) == ("datasource", "prometheus")


def test_provider_reads_files_and_disallows_ui_updates() -> None:
    (provider,) = provisioned("dashboards", "providers")
    assert (provider["type"], provider["allowUiUpdates"], provider["disableDeletion"]) == ("file", False, True)
    assert (provider["folder"], provider["folderUid"]) == ("Starlight", "starlight")
