"""Check that Prometheus has loaded the rules, because it ignores patterns that match nothing, and Alertmanager the
receivers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import yaml

from stack.configuration import read_settings
from stack.errors import StackError
from starlight_exporter.errors import MonitoringError
from starlight_exporter.http_client import HttpClient

LOAD_SECONDS = 30.0


def require_rules(prometheus: str, folder: Path) -> None:
    """Raise StackError unless Prometheus has as many rules and groups as the files of a folder within 30 s."""
    groups = [group for file in sorted(folder.glob("*.yml")) for group in read_settings(file)["groups"]]
    _require("Prometheus", _counts(groups), lambda: _counts(_loaded_groups(prometheus)))


def require_receivers(alertmanager: str, config: Path) -> None:
    """Raise StackError unless Alertmanager has the receivers of a configuration within 30 s."""
    _require("Alertmanager", _receivers(read_settings(config)), lambda: _receivers(_loaded_settings(alertmanager)))


def _require(server: str, expected: str, loaded: Callable[[], str]) -> None:
    deadline = time.monotonic() + LOAD_SECONDS
    found = ""
    while found != expected:
        try:
            found = loaded()
        except (MonitoringError, LookupError, TypeError, yaml.YAMLError) as error:
            found = f"nothing ({error})"
        if found != expected and time.monotonic() > deadline:
            raise StackError(f"{server} has loaded {found}; the files contain {expected}")
        time.sleep(0 if found == expected else 0.2)


def _counts(groups: list[dict[str, list[object]]]) -> str:
    return f"{sum(len(group['rules']) for group in groups)} rules in {len(groups)} groups"


def _receivers(settings: dict[str, list[dict[str, str]]]) -> str:
    names = sorted(receiver["name"] for receiver in settings["receivers"])
    return f"the receivers {', '.join(names)}"


def _loaded_groups(prometheus: str) -> list[dict[str, list[object]]]:
    groups: list[dict[str, list[object]]] = HttpClient().get_json(f"{prometheus}/api/v1/rules", "Prometheus")["data"][
        "groups"
    ]
    return groups


def _loaded_settings(alertmanager: str) -> dict[str, list[dict[str, str]]]:
    status = HttpClient().get_json(f"{alertmanager}/api/v2/status", "Alertmanager")
    settings: dict[str, list[dict[str, str]]] = yaml.safe_load(status["config"]["original"])
    return settings
