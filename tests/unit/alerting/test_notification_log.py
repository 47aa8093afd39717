"""The receiver that keeps notifications: what it accepts, what is on disk afterwards, how it fails."""

from __future__ import annotations

import copy
import json
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.notification_file import NotificationFile
from stack.notification_server import MAX_BODY_BYTES
from stack.webhook import Notification, readable, record
from starlight_exporter.errors import StorageError
from support.alertmanager import REPOSITORY, NotificationLog

SCRIPT = REPOSITORY / "scripts" / "notification_log.py"
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
    return Notification.model_validate_json(json.dumps(payload))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    payload = copy.deepcopy(PAYLOAD)
    change(payload)
    return payload


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotificationLog]:
    folder = tmp_path_factory.mktemp("notifications")
    with NotificationLog(folder / "data" / "notifications.jsonl", log=folder / "log.txt") as server:
        yield server


def post(log: NotificationLog, content: bytes | str, content_type: str = "application/json") -> httpx.Response:
    return httpx.post(log.notification_url, content=content, headers={"content-type": content_type}, timeout=10.0)


# --- one notification as text


def test_the_record_holds_all_with_utc_times_and_no_end_while_firing() -> None:
    line = record(parsed(PAYLOAD), received_at=RECEIVED_AT)
    assert line.endswith("}\n")
    kept = json.loads(line)
    assert kept["received_at"] == "2026-11-24T04:33:10.123Z"
    assert (kept["status"], kept["receiver"], kept["truncated_alerts"]) == ("firing", "critical", 0)
    assert kept["group_key"] == PAYLOAD["groupKey"]
    assert kept["group_labels"] == PAYLOAD["groupLabels"]
    assert kept["common_labels"] == PAYLOAD["commonLabels"]
    assert kept["common_annotations"] == {}
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


def test_each_alert_has_a_line_to_read() -> None:
    assert readable(parsed(PAYLOAD), received_at=RECEIVED_AT) == (
        "04:33:10 FIRING critical StarlightDetectionBelowFloor [production/reference lsb]: "
        "41.25% of 400 lsb images are detected. (since 2026-11-24 04:33:00 UTC)",
        "04:33:10 RESOLVED critical StarlightLatencyAboveLimit [production]: "
        "Too slow. (2026-11-24 04:00:00 to 04:30:00 UTC)",
    )


def test_an_alert_that_lacks_everything_is_still_readable() -> None:
    def strip(payload: dict[str, Any]) -> None:
        payload["alerts"][0] |= {"labels": {}, "annotations": {}}

    line = readable(parsed(changed(strip)), received_at=RECEIVED_AT)[0]
    assert line == "04:33:10 FIRING no severity (no name): (no description) (since 2026-11-24 04:33:00 UTC)"


@given(text=st.text())
def test_no_text_in_an_alert_breaks_a_line_or_reaches_the_terminal_as_control(text: str) -> None:
    def poison(payload: dict[str, Any]) -> None:
        payload["alerts"][0]["labels"] |= {"alertname": text, "model": text}
        payload["alerts"][0]["annotations"]["description"] = text

    try:
        notification = parsed(changed(poison))
    except ValidationError:
        # Lone surrogates are not text; Alertmanager cannot send them either.
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    line = record(notification, received_at=RECEIVED_AT)
    assert line.isascii()
    assert line.splitlines() == [line.rstrip("\n")]
    assert json.loads(line)["alerts"][0]["annotations"]["description"] == text
    assert all(shown.isprintable() for shown in readable(notification, received_at=RECEIVED_AT))


@given(body=st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_anything_else_is_refused_and_nothing_else_happens(body: bytes | str) -> None:
    with pytest.raises(ValidationError):
        Notification.model_validate_json(body)


@given(
    moment=st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-24T04:33:10", "yesterday", "", 12.5, None]
    )
)
def test_a_time_that_is_none_is_refused_with_its_place(moment: object) -> None:
    if isinstance(moment, float):
        # Seconds since 1970: unusual, but a time.
        return
    with pytest.raises(ValidationError, match=r"alerts\.0\.starts_?[aA]t"):
        parsed(changed(lambda payload: payload["alerts"][0].update(startsAt=moment)))


def test_keys_that_newer_alertmanagers_add_are_ignored() -> None:
    def add(payload: dict[str, Any]) -> None:
        payload["newField"] = 1
        payload["alerts"][0]["newField"] = {}

    assert record(parsed(changed(add)), received_at=RECEIVED_AT) == record(parsed(PAYLOAD), received_at=RECEIVED_AT)


# --- the file


def test_a_torn_last_line_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "notifications.jsonl"
    path.write_text('{"whole": 1}\n{"torn": ')
    NotificationFile(path).append('{"next": 2}\n')
    assert path.read_text().splitlines() == ['{"whole": 1}', '{"torn": ', '{"next": 2}']


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
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


def test_a_write_that_fails_half_way_leaves_nothing_of_its_line(tmp_path: Path) -> None:
    file = NotificationFile(tmp_path / "notifications.jsonl")
    file.append("first\n")
    # The first 4 bytes of the second line still fit.
    with largest_file(10), pytest.raises(StorageError, match=r"notifications\.jsonl: cannot write: File too large"):
        file.append("second\n")
    assert file.path.read_text() == "first\n"
    file.append("second\n")
    assert file.path.read_text() == "first\nsecond\n"


def test_a_path_that_cannot_be_a_file_is_found_before_the_first_notification(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "below.jsonl"):
        with pytest.raises(StorageError, match=r"cannot write"):
            NotificationFile(path).check()


# --- over HTTP


def test_a_notification_is_kept_and_printed(log: NotificationLog) -> None:
    before = len(log.notifications())
    answer = post(log, json.dumps(PAYLOAD))
    assert (answer.status_code, answer.text) == (200, "OK\n")
    kept = log.notifications()
    assert len(kept) == before + 1
    received_at = datetime.fromisoformat(kept[-1]["received_at"])
    assert abs((datetime.now(UTC) - received_at).total_seconds()) < 30
    printed = log.log.read_text()
    assert "FIRING critical StarlightDetectionBelowFloor [production/reference lsb]" in printed
    assert "RESOLVED critical StarlightLatencyAboveLimit [production]" in printed


def test_many_at_once_are_all_kept_whole(log: NotificationLog) -> None:
    before = len(log.notifications())
    keys = [f"key {number}" for number in range(40)]
    bodies = [json.dumps(PAYLOAD | {"groupKey": key}) for key in keys]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: post(log, body).status_code, bodies))
    assert answers == [200] * len(keys)
    assert sorted(entry["group_key"] for entry in log.notifications()[before:]) == sorted(keys)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Invalid JSON: EOF while parsing"),
        (b"{", "Invalid JSON: EOF while parsing"),
        (b"[]", "Input should be an object"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON: recursion limit exceeded"),
        (json.dumps(PAYLOAD | {"version": "3"}), "version: Input should be '4'"),
        (json.dumps(PAYLOAD | {"status": "odd"}), "status: Input should be 'firing' or 'resolved'"),
        (json.dumps(PAYLOAD | {"alerts": []}), "alerts: Tuple should have at least 1 item"),
        (json.dumps(PAYLOAD | {"groupLabels": {"a": 1}}), "groupLabels.a: Input should be a valid string"),
        (
            json.dumps({"version": "4"}),
            "status: Field required; receiver: Field required; groupKey: Field required; and 4 more",
        ),
    ],
)
def test_what_is_no_notification_is_refused_with_the_reason(
    log: NotificationLog, body: bytes | str, reason: str
) -> None:
    before = log.notifications()
    answer = post(log, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(f"not a webhook notification of Alertmanager: {reason}")
    assert answer.text.count("\n") == 1
    assert log.notifications() == before
    assert reason in log.log.read_text()


def test_no_key_of_what_is_refused_reaches_the_terminal_as_control(log: NotificationLog) -> None:
    assert post(log, json.dumps(PAYLOAD | {"groupLabels": {"here\x1b[2J\nforged": 1}})).status_code == 400
    (line,) = (line for line in log.log.read_text().split("\n") if "here" in line)
    assert line.isprintable()
    assert "here [2J forged" in line


def test_a_body_over_the_bound_is_refused_whether_its_length_is_told_or_not(log: NotificationLog) -> None:
    before = log.notifications()
    body = b" " * (MAX_BODY_BYTES + 1)
    assert post(log, body).status_code == 413

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    try:
        answer = httpx.post(log.notification_url, content=chunks(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
    except httpx.TransportError:
        # The server may close while the rest is still being sent.
        pass
    assert post(log, json.dumps(PAYLOAD)).status_code == 200
    assert len(log.notifications()) == len(before) + 1


def test_a_body_of_the_bound_itself_is_accepted(log: NotificationLog) -> None:
    body = json.dumps(PAYLOAD)
    assert post(log, body + " " * (MAX_BODY_BYTES - len(body))).status_code == 200


def test_a_web_page_cannot_post_without_being_asked_for_permission(log: NotificationLog) -> None:
    before = log.notifications()
    for simple in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert post(log, json.dumps(PAYLOAD), content_type=simple).status_code == 415
    assert log.notifications() == before
    assert post(log, json.dumps(PAYLOAD), content_type="Application/JSON; charset=utf-8").status_code == 200


def test_wrong_verbs_and_wrong_paths(log: NotificationLog) -> None:
    for verb in ("GET", "PUT", "DELETE", "PATCH"):
        answer = httpx.request(verb, log.notification_url)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert httpx.post(f"{log.url}/-/healthy").status_code == 405
    assert httpx.get(log.url).status_code == 404
    assert httpx.get(f"{log.url}/-/healthy").text == "OK\n"


def test_a_full_disk_is_a_503_so_that_alertmanager_sends_again(tmp_path: Path) -> None:
    with NotificationLog(Path("/dev/full"), log=tmp_path / "log.txt") as log:
        answer = post(log, json.dumps(PAYLOAD))
        assert (answer.status_code, answer.text) == (503, "/dev/full: cannot write: No space left on device\n")
        assert httpx.get(f"{log.url}/-/healthy").status_code == 200
        assert "refused with 503" in log.log.read_text()
        assert "FIRING" not in log.log.read_text()


# --- the process


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_asked_to_stop_is_no_failure(tmp_path: Path, number: signal.Signals) -> None:
    with NotificationLog(tmp_path / "n.jsonl", log=tmp_path / "log.txt") as log:
        assert post(log, json.dumps(PAYLOAD)).status_code == 200
        # A request that never ends must not keep it.
        with socket.create_connection(("127.0.0.1", log.port)) as hanging:
            head = (
                "POST /notifications HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                "Content-Length: 10\r\n\r\n"
            )
            hanging.sendall(head.encode() + b"{")
            time.sleep(0.3)
            log.process.send_signal(number)
            assert log.process.wait(15) == 0
    assert "Traceback" not in log.log.read_text()
    assert len(log.notifications()) == 1


def test_a_reader_that_goes_away_costs_no_notification(tmp_path: Path) -> None:
    output = tmp_path / "n.jsonl"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--web.listen-address=127.0.0.1:0", f"--output={output}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[2]
        process.stdout.close()
        for expected in (1, 2):
            answer = httpx.post(url, json=PAYLOAD, timeout=10.0)
            assert answer.status_code == 200
            assert len(output.read_text().splitlines()) == expected
        process.terminate()
        assert process.wait(15) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_a_port_in_use_is_one_line_and_exit_code_2(log: NotificationLog, tmp_path: Path) -> None:
    done = run_script(f"--web.listen-address=127.0.0.1:{log.port}", f"--output={tmp_path / 'n.jsonl'}")
    assert done.returncode == 2
    assert done.stderr == f"notification_log: cannot listen on 127.0.0.1:{log.port}: Address already in use\n"


def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run_script("--web.listen-address=127.0.0.1:0", f"--output={tmp_path}")
    assert (done.returncode, done.stderr) == (2, f"notification_log: {tmp_path}: cannot write: Is a directory\n")


def test_a_wrong_address_is_a_wrong_flag(tmp_path: Path) -> None:
    done = run_script("--web.listen-address=127.0.0.1", f"--output={tmp_path / 'n.jsonl'}")
    assert done.returncode == 2
    assert "'127.0.0.1': expected host:port, such as 127.0.0.1:9877" in done.stderr
