"""Alertmanager's webhook payload: validation, the stored record, and lines for a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_SHOWN_LABELS = ("method", "format", "category", "class", "reason", "store", "section")


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        # Pydantic turns a ValueError into a message with the field's name; an OverflowError would escape it.
        raise ValueError("is outside the years 1 to 9999 in UTC") from error


_UtcTime = Annotated[AwareDatetime, AfterValidator(_utc)]


class _Payload(BaseModel):
    # Unknown keys are ignored: newer Alertmanagers add some without a new payload version.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Alert(_Payload):
    """One alert of a notification; `ends_at` is meaningful only once the alert is resolved."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: _UtcTime
    ends_at: _UtcTime
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str


class Notification(_Payload):
    """Body of Alertmanager's webhook, version "4".

    Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    """

    version: Literal["4"]
    status: Literal["firing", "resolved"]
    receiver: str
    group_key: str
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = Field(default="", alias="externalURL")
    truncated_alerts: int = Field(default=0, ge=0)
    alerts: tuple[Alert, ...] = Field(min_length=1)


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(notification: Notification, *, received_at: datetime) -> str:
    """Return the notification as one line of JSON; times are UTC, `ends_at` is null while an alert fires.

    Without the common labels and annotations, which every alert repeats.
    """
    line = {
        "received_at": _instant(received_at),
        "status": notification.status,
        "receiver": notification.receiver,
        "group_key": notification.group_key,
        "group_labels": notification.group_labels,
        "external_url": notification.external_url,
        "truncated_alerts": notification.truncated_alerts,
        "alerts": [
            {
                "status": alert.status,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "starts_at": _instant(alert.starts_at),
                "ends_at": _instant(alert.ends_at) if alert.status == "resolved" else None,
                "generator_url": alert.generator_url,
                "fingerprint": alert.fingerprint,
            }
            for alert in notification.alerts
        ],
    }
    # ASCII only: some readers also split lines at U+2028 or U+0085.
    return json.dumps(line) + "\n"


def readable(notification: Notification, *, received_at: datetime) -> tuple[str, ...]:
    """Return one terminal line per alert: time, status, severity, name, labels, description, start."""
    return tuple(_readable_alert(alert, received_at) for alert in notification.alerts)


def summary(notification: Notification, *, received_at: datetime) -> tuple[str, ...]:
    """Return one line with the number of alerts, for a log: the alerts themselves are in the file."""
    statuses = [alert.status for alert in notification.alerts]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in ("firing", "resolved") if status in statuses)
    return (printable(f"{received_at:%H:%M:%S} stored: {counts} (receiver {notification.receiver})"),)


def _readable_alert(alert: Alert, received_at: datetime) -> str:
    labels = alert.labels
    where = "/".join(labels[key] for key in ("model", "dataset") if labels.get(key))
    where = " ".join([where, *(labels[key] for key in _SHOWN_LABELS if labels.get(key))]).strip()
    what = alert.annotations.get("description") or alert.annotations.get("summary") or "(no description)"
    if alert.status == "resolved":
        times = f"{alert.starts_at:%Y-%m-%d %H:%M:%S} to {alert.ends_at:%H:%M:%S} UTC"
    else:
        times = f"since {alert.starts_at:%Y-%m-%d %H:%M:%S} UTC"
    line = (
        f"{received_at:%H:%M:%S} {alert.status.upper()} {labels.get('severity', 'no severity')} "
        f"{labels.get('alertname', '(no name)')}{f' [{where}]' if where else ''}: {what} ({times})"
    )
    return printable(line)


def printable(line: str) -> str:
    """Replace control characters: labels and annotations must not send escape sequences to the terminal."""
    return " ".join("".join(character if character.isprintable() else " " for character in line).split())
