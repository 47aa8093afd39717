"""A webhook payload of Alertmanager with a firing and a resolved alert."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stack.webhook import Notification

RECEIVED_AT = datetime(2026, 11, 24, 4, 33, 10, 123456, tzinfo=UTC)
PAYLOAD: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}/{severity="critical"}:{dataset="reference", model="production"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "critical",
    "groupLabels": {"model": "production", "dataset": "reference"},
    "commonLabels": {"model": "production", "dataset": "reference", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://127.0.0.1:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "StarlightDetectionBelowFloor",
                "severity": "critical",
                "model": "production",
                "dataset": "reference",
                "method": "lsb",
            },
            "annotations": {"summary": "A fixed sentence.", "description": "41.25% of 400 lsb images are detected."},
            "startsAt": "2026-11-24T05:33:00.123456789+01:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://127.0.0.1:9090/graph",
            "fingerprint": "8d6b9a1c3f0e2a47",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "StarlightLatencyAboveLimit", "severity": "critical", "model": "production"},
            "annotations": {"summary": "Too slow."},
            "startsAt": "2026-11-24T04:00:00Z",
            "endsAt": "2026-11-24T04:30:00Z",
            "generatorURL": "",
            "fingerprint": "1d6b9a1c3f0e2a47",
        },
    ],
}


def parsed(payload: object) -> Notification:
    """Parse a payload. Raises pydantic.ValidationError if it is invalid."""
    return Notification.model_validate_json(json.dumps(payload))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return a copy of the payload after `change`."""
    payload = copy.deepcopy(PAYLOAD)
    change(payload)
    return payload
