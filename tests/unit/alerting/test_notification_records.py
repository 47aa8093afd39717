"""Records of the notification log: contents, readable lines, and the file."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.notification_file import NotificationFile
from stack.webhook import Notification, readable, record
from starlight_exporter.errors import StorageError
from support.webhook_payload import PAYLOAD, RECEIVED_AT, changed, parsed


def test_record_has_all_fields_with_utc_times() -> None:
    line = record(parsed(PAYLOAD), received_at=RECEIVED_AT)
    assert line.endswith("}\n")
    kept = json.loads(line)
    assert kept["received_at"] == "2026-11-24T04:33:10.123Z"
    assert (kept["status"], kept["receiver"], kept["truncated_alerts"]) == ("firing", "critical", 0)
    assert kept["group_key"] == PAYLOAD["groupKey"]
    assert kept["group_labels"] == PAYLOAD["groupLabels"]
    # The common labels and annotations are those of every alert.
    assert "common" not in line
    assert kept["external_url"] == "http://127.0.0.1:9093"
    firing, resolved = kept["alerts"]
    assert firing == {
        "status": "firing",
        "labels": PAYLOAD["alerts"][0]["labels"],
        "annotations": PAYLOAD["alerts"][0]["annotations"],
        "starts_at": "2026-11-24T04:33:00.123Z",
        "ends_at": None,
        "generator_url": "http://127.0.0.1:9090/graph",
        "fingerprint": "8d6b9a1c3f0e2a47",
    }
    assert resolved["ends_at"] == "2026-11-24T04:30:00.000Z"


def test_readable_has_one_line_per_alert() -> None:
    assert readable(parsed(PAYLOAD), received_at=RECEIVED_AT) == (
        "04:33:10 FIRING critical StarlightDetectionBelowFloor [production/reference lsb]: "
        "41.25% of 400 lsb images are detected. (since 2026-11-24 04:33:00 UTC)",
        "04:33:10 RESOLVED critical StarlightLatencyAboveLimit [production]: "
        "Too slow. (2026-11-24 04:00:00 to 04:30:00 UTC)",
    )


def test_alert_without_labels_is_readable() -> None:
    def strip(payload: dict[str, Any]) -> None:
        payload["alerts"][0] |= {"labels": {}, "annotations": {}}

    line = readable(parsed(changed(strip)), received_at=RECEIVED_AT)[0]
    assert line == "04:33:10 FIRING no severity (no name): (no description) (since 2026-11-24 04:33:00 UTC)"


@settings(deadline=None)
@given(text=st.text())
def test_escapes_line_breaks_and_control_characters(text: str) -> None:
    def poison(payload: dict[str, Any]) -> None:
        payload["alerts"][0]["labels"] |= {"alertname": text, "model": text}
        payload["alerts"][0]["annotations"]["description"] = text

    try:
        notification = parsed(changed(poison))
    except ValidationError:
        # Lone surrogates are not valid text; Alertmanager cannot send them.
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    line = record(notification, received_at=RECEIVED_AT)
    assert line.isascii()
    assert line.splitlines() == [line.rstrip("\n")]
    assert json.loads(line)["alerts"][0]["annotations"]["description"] == text
    assert all(shown.isprintable() for shown in readable(notification, received_at=RECEIVED_AT))


@settings(deadline=None)
@given(body=st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_rejects_invalid_payload(body: bytes | str) -> None:
    with pytest.raises(ValidationError):
        Notification.model_validate_json(body)


@settings(deadline=None)
@given(
    moment=st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-24T04:33:10", "yesterday", "", 12.5, None]
    )
)
def test_rejects_invalid_time_with_its_location(moment: object) -> None:
    if isinstance(moment, float):
        # Seconds since 1970 are a valid time.
        return
    with pytest.raises(ValidationError, match=r"alerts\.0\.starts_?[aA]t"):
        parsed(changed(lambda payload: payload["alerts"][0].update(startsAt=moment)))


def test_ignores_unknown_keys() -> None:
    def add(payload: dict[str, Any]) -> None:
        payload["newField"] = 1
        payload["alerts"][0]["newField"] = {}

    assert record(parsed(changed(add)), received_at=RECEIVED_AT) == record(parsed(PAYLOAD), received_at=RECEIVED_AT)


def test_starts_new_line_after_truncated_record(tmp_path: Path) -> None:
    path = tmp_path / "notifications.jsonl"
    path.write_text('{"complete": 1}\n{"truncated": ')
    NotificationFile(path).append('{"next": 2}\n')
    assert path.read_text().splitlines() == ['{"complete": 1}', '{"truncated": ', '{"next": 2}']


def test_recreates_moved_file(tmp_path: Path) -> None:
    file = NotificationFile(tmp_path / "notifications.jsonl")
    file.append("1\n")
    file.path.rename(tmp_path / "old.jsonl")
    file.append("2\n")
    assert file.path.read_text() == "2\n"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_failed_write_leaves_no_partial_record(tmp_path: Path) -> None:
    file = NotificationFile(tmp_path / "notifications.jsonl")
    file.append("first\n")
    # The first 4 bytes of the second line still fit.
    with largest_file(10), pytest.raises(StorageError, match=r"notifications\.jsonl: cannot write: File too large"):
        file.append("second\n")
    assert file.path.read_text() == "first\n"
    file.append("second\n")
    assert file.path.read_text() == "first\nsecond\n"


def test_check_rejects_invalid_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "below.jsonl"):
        with pytest.raises(StorageError, match=r"cannot write"):
            NotificationFile(path).check()


def test_file_is_rotated_by_size(tmp_path: Path) -> None:
    file = NotificationFile(tmp_path / "n.jsonl", max_bytes=30, kept=2)
    for number in range(9):
        file.append(f"record {number}\n")
    contents = {path.name: path.read_text().split("\n")[:-1] for path in tmp_path.iterdir()}
    assert contents == {
        "n.jsonl": ["record 6", "record 7", "record 8"],
        "n.jsonl.1": ["record 3", "record 4", "record 5"],
        "n.jsonl.2": ["record 0", "record 1", "record 2"],
    }
    file.append("record 9\n")
    assert (tmp_path / "n.jsonl.2").read_text().startswith("record 3\n")
    assert len(list(tmp_path.iterdir())) == 3


def test_record_larger_than_the_file_is_stored(tmp_path: Path) -> None:
    file = NotificationFile(tmp_path / "n.jsonl", max_bytes=10, kept=1)
    for _ in range(3):
        file.append("a record of 30 characters ....\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.jsonl", "n.jsonl.1"]
    assert (tmp_path / "n.jsonl").read_text() == "a record of 30 characters ....\n"
