"""Template data of notifications, and a fixture that renders templates with amtool."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.alertmanager import ALERTING
from support.servers import run_tool

FIRING_AND_RESOLVED = Path(__file__).parent / "data" / "firing_and_resolved.json"

Notification = dict[str, Any]
Render = Callable[..., str]


@pytest.fixture
def mixed() -> Notification:
    """Four firing critical alerts and a resolved one of one model and dataset; three are about the same method."""
    content: Notification = json.loads(FIRING_AND_RESOLVED.read_text())
    return content


@pytest.fixture
def make_notification(mixed: Notification) -> Callable[..., Notification]:
    """Return a function that selects alerts of `mixed` by index and changes their labels and annotations."""

    def make(
        *indices: int, labels: dict[str, str | None] | None = None, annotations: dict[str, str | None] | None = None
    ) -> Notification:
        alerts = [copy.deepcopy(mixed["alerts"][index]) for index in indices]
        for alert in alerts:
            for target, changes in (("labels", labels), ("annotations", annotations)):
                merged = alert[target] | (changes or {})
                alert[target] = {name: value for name, value in merged.items() if value is not None}
        common = {
            name: value
            for name, value in alerts[0]["labels"].items()
            if all(alert["labels"].get(name) == value for alert in alerts)
        }
        status = "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved"
        groups = {name: common[name] for name in ("model", "dataset") if name in common}
        return mixed | {"status": status, "alerts": alerts, "commonLabels": common, "groupLabels": groups}

    return make


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Return a function that renders a template with Alertmanager's engine; `html=True` escapes as in a mail."""

    def run(template: str, notification: Notification, *, html: bool = False) -> str:
        data = tmp_path / "notification.json"
        data.write_text(json.dumps(notification))
        code, output = run_tool(
            [
                "amtool",
                "template",
                "render",
                f"--template.glob={ALERTING}/templates/*.tmpl",
                f"--template.type={'html' if html else 'text'}",
                f"--template.data={data}",
                "--template.text=" + '{{ template "' + template + '" . }}',
            ]
        )
        assert code == 0, output
        return output

    return run
