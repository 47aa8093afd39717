"""The notification log over HTTP and as a process: accepted requests, errors, and exit codes."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from stack.http_server import CONNECTIONS
from stack.notification_server import MAX_BODY_BYTES
from support.alertmanager import REPOSITORY, NotificationLog
from support.scripts import run_script
from support.waiting import wait_until
from support.webhook_payload import PAYLOAD

pytestmark = pytest.mark.integration

SCRIPT = REPOSITORY / "scripts" / "notification_log.py"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotificationLog]:
    folder = tmp_path_factory.mktemp("notifications")
    with NotificationLog(folder / "data" / "notifications.jsonl", log=folder / "log.txt") as server:
        yield server


def post(log: NotificationLog, content: bytes | str, content_type: str = "application/json") -> httpx.Response:
    return httpx.post(log.notification_url, content=content, headers={"content-type": content_type}, timeout=10.0)


def test_stores_and_prints_notification(log: NotificationLog) -> None:
    before = len(log.notifications())
    answer = post(log, json.dumps(PAYLOAD))
    assert (answer.status_code, answer.text) == (200, "OK\n")
    kept = log.notifications()
    assert len(kept) == before + 1
    received_at = datetime.fromisoformat(kept[-1]["received_at"])
    assert abs((datetime.now(UTC) - received_at).total_seconds()) < 30
    # The alerts themselves are only in the file.
    assert "stored: 1 firing, 1 resolved (receiver critical)\n" in log.log.read_text()
    assert "Starlight" not in log.log.read_text()


def test_stores_concurrent_notifications(log: NotificationLog) -> None:
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
def test_rejects_invalid_notification_with_reason(log: NotificationLog, body: bytes | str, reason: str) -> None:
    before = log.notifications()
    answer = post(log, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(f"not a webhook notification of Alertmanager: {reason}")
    assert answer.text.count("\n") == 1
    assert log.notifications() == before
    assert reason in log.log.read_text()


def test_log_escapes_control_characters_of_rejected_keys(log: NotificationLog) -> None:
    assert post(log, json.dumps(PAYLOAD | {"groupLabels": {"here\x1b[2J\nforged": 1}})).status_code == 400
    (line,) = (line for line in log.log.read_text().split("\n") if "here" in line)
    assert line.isprintable()
    assert "here [2J forged" in line


def test_rejects_too_large_body_with_and_without_content_length(log: NotificationLog) -> None:
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
        # The server may close the connection while the body is being sent.
        pass
    assert post(log, json.dumps(PAYLOAD)).status_code == 200
    assert len(log.notifications()) == len(before) + 1


def test_accepts_body_of_maximum_size(log: NotificationLog) -> None:
    body = json.dumps(PAYLOAD)
    assert post(log, body + " " * (MAX_BODY_BYTES - len(body))).status_code == 200


def test_rejects_content_types_of_cross_origin_forms(log: NotificationLog) -> None:
    before = log.notifications()
    for simple in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert post(log, json.dumps(PAYLOAD), content_type=simple).status_code == 415
    assert log.notifications() == before
    assert post(log, json.dumps(PAYLOAD), content_type="Application/JSON; charset=utf-8").status_code == 200


def test_rejects_other_methods_and_paths(log: NotificationLog) -> None:
    for verb in ("GET", "PUT", "DELETE", "PATCH"):
        answer = httpx.request(verb, log.notification_url)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert httpx.post(f"{log.url}/-/healthy").status_code == 405
    assert httpx.get(log.url).status_code == 404
    assert httpx.get(f"{log.url}/-/healthy").text == "OK\n"


def test_full_disk_results_in_503(tmp_path: Path) -> None:
    with NotificationLog(Path("/dev/full"), log=tmp_path / "log.txt") as log:
        answer = post(log, json.dumps(PAYLOAD))
        assert (answer.status_code, answer.text) == (503, "/dev/full: cannot write: No space left on device\n")
        assert httpx.get(f"{log.url}/-/healthy").status_code == 200
        assert "refused with 503" in log.log.read_text()
        assert "stored: " not in log.log.read_text()


def test_slow_clients_do_not_keep_notifications_out(tmp_path: Path) -> None:
    with NotificationLog(tmp_path / "n.jsonl", log=tmp_path / "log.txt") as log, ExitStack() as opened:
        address = ("127.0.0.1", log.port)
        clients = [opened.enter_context(socket.create_connection(address)) for _ in range(3 * CONNECTIONS)]
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(b"POST /notifications HTTP/1.1\r\nHost:")
        assert post(log, json.dumps(PAYLOAD)).status_code == 200
        assert len(log.notifications()) == 1
        # The newest ones have replaced the others.
        wait_until(lambda: sum(is_closed(client) for client in clients) >= 2 * CONNECTIONS, "most clients evicted")


def is_closed(client: socket.socket) -> bool:
    """Return whether the server has closed a connection."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_rejects_requests_of_other_sites_and_for_other_hosts(log: NotificationLog) -> None:
    before = log.notifications()
    for headers, status in (({"Origin": "http://attacker.example"}, 403), ({"Host": "attacker.example"}, 421)):
        assert httpx.post(log.notification_url, json=PAYLOAD, headers=headers).status_code == status
    assert log.notifications() == before


def test_prints_each_alert_on_a_terminal(tmp_path: Path) -> None:
    terminal, standard_output = pty.openpty()
    output = tmp_path / "n.jsonl"
    words = [sys.executable, str(SCRIPT), "--web.listen-address=127.0.0.1:0", f"--output={output}"]
    with subprocess.Popen(words, stdout=standard_output) as process:
        os.close(standard_output)
        try:
            printed = os.read(terminal, 65536).decode()
            assert httpx.post(printed.split()[2], json=PAYLOAD, timeout=10.0).status_code == 200
            while "RESOLVED" not in printed:
                printed += os.read(terminal, 65536).decode()
        finally:
            process.terminate()
    os.close(terminal)
    assert "FIRING critical StarlightDetectionBelowFloor [production/reference lsb]" in printed
    assert "RESOLVED critical StarlightLatencyAboveLimit [production]" in printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    with NotificationLog(tmp_path / "n.jsonl", log=tmp_path / "log.txt") as log:
        assert post(log, json.dumps(PAYLOAD)).status_code == 200
        # An unfinished request must not delay the stop.
        with socket.create_connection(("127.0.0.1", log.port)) as hanging:
            head = (
                "POST /notifications HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
            )
            hanging.sendall(head.encode())
            # The server asks for the body once it handles the request.
            assert hanging.recv(100).startswith(b"HTTP/1.1 100")
            hanging.sendall(b"{")
            log.process.send_signal(number)
            assert log.process.wait(15) == 0
    assert "Traceback" not in log.log.read_text()
    assert len(log.notifications()) == 1


def test_closed_standard_output_loses_no_notification(tmp_path: Path) -> None:
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


def test_port_in_use_is_reported_in_one_line(log: NotificationLog, tmp_path: Path) -> None:
    done = run_script(
        "notification_log.py", f"--web.listen-address=127.0.0.1:{log.port}", f"--output={tmp_path / 'n.jsonl'}"
    )
    assert done.returncode == 2
    assert done.stderr == f"notification_log: cannot listen on 127.0.0.1:{log.port}: Address already in use\n"


def test_unwritable_output_is_reported_in_one_line(tmp_path: Path) -> None:
    done = run_script("notification_log.py", "--web.listen-address=127.0.0.1:0", f"--output={tmp_path}")
    assert (done.returncode, done.stderr) == (2, f"notification_log: {tmp_path}: cannot write: Is a directory\n")


def test_rejects_invalid_listen_address(tmp_path: Path) -> None:
    done = run_script("notification_log.py", "--web.listen-address=127.0.0.1", f"--output={tmp_path / 'n.jsonl'}")
    assert done.returncode == 2
    assert "'127.0.0.1': expected host:port, such as 127.0.0.1:9877" in done.stderr
