"""`pin_images.py` with a registry on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from stack.pin_images import FILES, images
from stack.registry import DOCKER_HUB, ImageName
from support.scripts import run_script
from support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]


class Registry(ThreadingHTTPServer):
    """Manifests by repository and tag, behind tokens if `tokens` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manifests: dict[str, bytes] = {}
        self.tokens = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, image: str, content: str) -> str:
        """Add a list of manifests; return its digest."""
        name = ImageName.parse(image)
        body = json.dumps({"schemaVersion": 2, "manifests": [content]}).encode()
        self.manifests[f"/v2/{name.repository}/manifests/{name.tag}"] = body
        return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        repository = path.path.removeprefix("/v2/").partition("/manifests/")[0]
        if path.path == "/token":
            self.answer(200, json.dumps({"token": parse_qs(path.query)["scope"][0]}).encode())
        elif self.server.tokens and self.headers["Authorization"] != f"Bearer repository:{repository}:pull":
            challenge = f'Bearer realm="{self.server.url}/token",service="test",scope="repository:{repository}:pull"'
            self.answer(401, b"{}", challenge)
        elif path.path in self.server.manifests and "image.index" in self.headers["Accept"]:
            self.answer(200, self.server.manifests[path.path])
        else:
            self.answer(404, b"{}")

    def answer(self, status: int, body: bytes, challenge: str | None = None) -> None:
        self.send_response(status)
        if challenge is not None:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def pin(folder: Path, registry: str) -> subprocess.CompletedProcess[str]:
    return run_script("pin_images.py", f"--folder={folder}", f"--registry={registry}")


def used(folder: Path) -> list[str]:
    """Return the images that are not built here, with their tags."""
    return sorted({name for file in FILES for name in images((folder / file).read_text())})


@pytest.mark.parametrize("tokens", [False, True])
def test_adds_digests_and_replaces_older_ones(folder: Path, registry: Registry, tokens: bool) -> None:
    registry.tokens = tokens
    names = used(folder)
    assert len(names) == 5
    for content in ("old", "new"):
        digests = {name: registry.add(name, content) for name in names}
        done = pin(folder, registry.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [f"{name}@{digest}" for name, digest in digests.items()]
        assert used(folder) == names
        files = [yaml.safe_load(file.read_text()) for file in folder.glob("docker-compose*.yml")]
        found = {service["image"] for file in files for service in file["services"].values() if "image" in service}
        assert {image for image in found if "@" in image} == {
            f"{name}@{digest}" for name, digest in digests.items() if not name.startswith("python:")
        }
        assert len(found) == 5
        (python,) = (name for name in names if name.startswith("python:"))
        assert f"\nARG BASE={python}@{digests[python]}\n" in (folder / "Dockerfile").read_text()


def test_changes_nothing_if_an_image_is_missing(folder: Path, registry: Registry) -> None:
    before = [(folder / file).read_text() for file in FILES]
    for name in used(folder)[1:]:
        registry.add(name, "content")
    done = pin(folder, registry.url)
    assert done.returncode == 2
    assert "the registry responded with 404; nothing was changed" in done.stderr
    assert [(folder / file).read_text() for file in FILES] == before


def test_changes_nothing_without_a_registry(folder: Path) -> None:
    before = [(folder / file).read_text() for file in FILES]
    done = pin(folder, f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "the registry is unavailable: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [(folder / file).read_text() for file in FILES] == before


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("python:3.11", DOCKER_HUB, "library/python"),
        ("prom/prometheus:v3.5.0", DOCKER_HUB, "prom/prometheus"),
        ("quay.io/prom/prometheus:v3.5.0", "https://quay.io", "prom/prometheus"),
        ("localhost/a:1", "https://localhost", "a"),
        ("127.0.0.1:5000/a/b:1", "https://127.0.0.1:5000", "a/b"),
    ],
)
def test_names_of_images(text: str, registry: str, repository: str) -> None:
    assert ImageName.parse(text) == ImageName(registry, repository, text.rpartition(":")[2])
