"""Delay from the deployment of a worse model to its notification, with the shipped intervals of the stack.

    python -m benchmarks.notification_delay --dataset datasets/reference --good models/v4/model.onnx \\
        --worse models/v3/model.onnx --swaps 3

Start scripts/up on free ports with the dataset and a copy of the good model, deploy the worse one, wait for the first
firing notification, count the notifications with new critical alerts in the following minute, swap back, wait for the
notification that all critical alerts are resolved, and so on. Print a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.native_stack import NativeStack, machine, swap, swap_options, wait

ABOUT_RATES = 'model="production",alertname!~"StarlightLatency.+|StarlightRegressionSuiteFailing"'
"""Selector of alerts caused by the swap, without those that depend on the speed of the machine."""


def main() -> None:
    """Run the benchmark and print the table."""
    options = swap_options(__doc__, "good", "worse", swaps=3)
    with tempfile.TemporaryDirectory(prefix="starlight-delay-") as name:
        rows = measure(Path(name), options)
    print(f"{machine()}\n")
    print(
        "| Swap | New value in Prometheus | Alert fires | Notification delivered | Rollback: resolved delivered "
        "| Critical alerts | Notifications |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for number, row in enumerate(rows, 1):
        times = " | ".join(f"{seconds:.0f} s" for seconds in row[:4])
        print(f"| {number} | {times} | {row.alerts} | {row.notifications} |")
    medians = [statistics.median(column) for column in zip(*(row[:4] for row in rows), strict=True)]
    print("| median | " + " | ".join(f"{value:.0f} s" for value in medians) + " | | |")


class Row(NamedTuple):
    """One swap: seconds from the rename, number of critical alerts and of their notifications.

    `resolved` is the time from the rename of the good file to the notification that all critical alerts are resolved.
    """

    value: float
    fires: float
    delivered: float
    resolved: float
    alerts: int
    notifications: int


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Swap the models; return one row per swap."""
    model = folder / "model.onnx"
    shutil.copy(options.good, model)
    with NativeStack(folder / "data", options.dataset, model) as stack:
        rows = []
        log = folder / "data" / "notifications.jsonl"
        for _ in range(options.swaps):
            before = stack.hashes()
            renamed_at = swap(options.worse, model)
            value = wait(lambda: stack.hashes() - before, "new value", 300)  # noqa: B023  # called at once
            fires = wait(lambda: stack.query(f'ALERTS{{alertstate="firing",{ABOUT_RATES}}}'), "alert", 300)
            delivered = wait(partial(delivered_since, log, renamed_at), "notification", 300)
            # Twice the group_interval, after which Alertmanager sends new alerts of the group.
            time.sleep(60)
            alerts, notifications = critical(log, renamed_at)
            rolled_back_at = swap(options.good, model)
            resolved = wait(partial(all_resolved_since, log, renamed_at, alerts), "resolved notification", 900)
            rows.append(
                Row(
                    value - renamed_at,
                    fires - renamed_at,
                    delivered - renamed_at,
                    resolved - rolled_back_at,
                    len(alerts),
                    notifications,
                )
            )
            wait(lambda: not stack.query(f"ALERTS{{{ABOUT_RATES}}}"), "all alerts resolved", 900)
        return rows


def delivered_since(log: Path, since: float) -> bool:
    """Return whether a firing alert of the production model was delivered since then."""
    return any(
        about_rates(alert, since) for notification in read_notifications(log) for alert in notification["alerts"]
    )


def critical(log: Path, since: float) -> tuple[frozenset[str], int]:
    """Return the critical alerts since then (their labels as JSON), and the number of notifications with a new one."""
    seen: frozenset[str] = frozenset()
    count = 0
    for notification in read_notifications(log):
        named = {
            labels_of(alert)
            for alert in notification["alerts"]
            if about_rates(alert, since) and alert["labels"]["severity"] == "critical"
        }
        count += bool(named - seen)
        seen |= named
    return seen, count


def all_resolved_since(log: Path, since: float, alerts: frozenset[str]) -> bool:
    """Return whether each of these alerts, which started since then, was reported as resolved."""
    resolved = {
        labels_of(alert)
        for notification in read_notifications(log)
        for alert in notification["alerts"]
        if alert["status"] == "resolved" and datetime.fromisoformat(alert["starts_at"]).timestamp() >= since
    }
    return alerts <= resolved


def labels_of(alert: dict[str, Any]) -> str:
    """Return the labels of an alert as JSON."""
    return json.dumps(alert["labels"], sort_keys=True)


def read_notifications(log: Path) -> list[dict[str, Any]]:
    """Return the content of the notification log."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def about_rates(alert: dict[str, Any], since: float) -> bool:
    """Return whether the alert started since then and is caused by the swap (see ABOUT_RATES)."""
    return (
        alert["status"] == "firing"
        and alert["labels"].get("model") == "production"
        and not alert["labels"]["alertname"].startswith(("StarlightLatency", "StarlightRegressionSuite"))
        and datetime.fromisoformat(alert["starts_at"]).timestamp() >= since
    )


if __name__ == "__main__":
    main()
