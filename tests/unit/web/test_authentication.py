"""Basic authentication: accepted and rejected headers, and an authenticated server."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import httpx
import pytest

from starlight_exporter.web.users import Users
from support.snapshots import full_snapshot
from support.waiting import wait_until
from support.web import LocalServer, idle_application, write_users

SECRET = "hunter2-very-secret"
# A fixed salt, because test names contain the hash and must be the same in every process.
HASH = bcrypt.hashpw(SECRET.encode(), b"$2b$05$abcdefghijklmnopqrstuu").decode()


def header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_accepts_users_with_their_password() -> None:
    users = Users({"alice": HASH, "Zoë": HASH})
    valid = header("alice", SECRET)
    assert not users.cached(valid)
    assert users.accept(valid)
    assert users.cached(valid)
    assert users.accept(valid.replace("Basic", "basic"))
    assert users.accept(header("Zoë", SECRET))


@pytest.mark.parametrize(
    "invalid",
    [
        "",
        "Basic",
        "Basic ",
        header("alice", "wrong"),
        header("alice", ""),
        header("alice", SECRET + "x"),
        header("alice", SECRET + "\0"),
        header("bob", SECRET),
        header("", SECRET),
        header("alice", "x" * 1000),
        header("alice", SECRET).replace("Basic", "Bearer"),
        header("alice", SECRET) + "!",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic \xe9\xe9\xe9\xe9",
        f"Basic alice:{SECRET}",
    ],
)
def test_rejects_invalid_header(invalid: str) -> None:
    users = Users({"alice": HASH})
    assert not users.accept(invalid)
    assert not users.cached(invalid)


def test_cache_of_accepted_headers_is_bounded() -> None:
    cheap = {f"user{n}": bcrypt.hashpw(b"p", bcrypt.gensalt(4)).decode() for n in range(120)}
    users = Users(cheap)
    assert all(users.accept(header(name, "p")) for name in cheap)
    assert sum(users.cached(header(name, "p")) for name in cheap) <= 100


def test_unknown_user_costs_the_same_as_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users({"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(6)).decode()})
    costs: list[bytes] = []

    def check(_password: bytes, hashed: bytes) -> bool:
        costs.append(hashed[4:6])
        return False

    monkeypatch.setattr(bcrypt, "checkpw", check)
    assert not users.accept(header("alice", "wrong"))
    assert not users.accept(header("unknown", "wrong"))
    assert costs == [b"06", b"06"]


def server_with(folder: Path, password_hash: str) -> LocalServer:
    web_config = write_users(folder, {"alice": password_hash})
    return LocalServer(idle_application(folder, full_snapshot()), web_config=web_config)


def test_password_is_required_without_tls(tmp_path: Path) -> None:
    with server_with(tmp_path, HASH) as served:
        assert httpx.get(f"{served.url}/metrics").status_code == 401
        assert httpx.get(f"{served.url}/metrics", auth=("alice", SECRET)).status_code == 200


@pytest.mark.slow
def test_password_guesses_do_not_delay_scrapes(tmp_path: Path) -> None:
    slow = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(10)).decode()
    with (
        server_with(tmp_path, slow) as served,
        ThreadPoolExecutor(30) as guessers,
        httpx.Client(base_url=served.url, auth=("alice", SECRET)) as client,
    ):
        assert client.get("/metrics").status_code == 200
        guesses = [
            guessers.submit(httpx.get, f"{served.url}/metrics", auth=("alice", f"guess{n}"), timeout=60)
            for n in range(60)
        ]
        wait_until(lambda: any(guess.done() for guess in guesses), "first guess rejected")
        assert client.get("/metrics").status_code == 200
        assert any(not guess.done() for guess in guesses), "all guesses were rejected before the scrape"
        assert {guess.result().status_code for guess in guesses} == {401}


def test_every_endpoint_but_health_requires_the_password(tmp_path: Path) -> None:
    with server_with(tmp_path, HASH) as served, httpx.Client(base_url=served.url) as client:
        for path in ("/metrics", "/", "/nowhere", "/api/v1/evaluations", "/-/healthy/", "/static/style.css"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert client.post("/-/reload").status_code == 401
        assert client.get("/-/healthy").text == "healthy\n"
        assert client.get("/-/ready").status_code == 503
