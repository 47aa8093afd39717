"""Requests that wait for the image worker do not delay scrapes and pages; surplus requests are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from starlight_exporter.web.image_worker import MAX_WAITING, THREADS
from support.snapshots import example_prediction, full_evaluation, full_snapshot
from support.waiting import wait_until
from support.web import LocalServer, idle_application

pytestmark = pytest.mark.slow


def image_workers() -> set[psutil.Process]:
    """Return the image worker processes."""
    return {child for child in psutil.Process().children() if "worker_main" in command(child)}


def command(process: psutil.Process) -> str:
    """Return the command line; empty for a process of another test that has exited."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture
def other_workers() -> Iterator[set[psutil.Process]]:
    """Return the processes of other tests; kill those of this test afterwards."""
    before = image_workers()
    yield before
    for process in image_workers() - before:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("address", ["thumbnail.png", "pixel.png", ""])
def test_scrapes_and_pages_respond_while_image_requests_wait(
    tmp_path: Path, other_workers: set[psutil.Process], address: str
) -> None:
    application = idle_application(tmp_path, full_snapshot())
    requests = THREADS + 20
    application.evidence.store(
        full_evaluation(evaluation_id="run"), [example_prediction(f"clean/{n:03}.png") for n in range(requests)]
    )
    limits = httpx.Limits(max_connections=None)
    with (
        LocalServer(application) as site,
        httpx.Client(base_url=site.url, timeout=60.0, limits=limits) as client,
        ThreadPoolExecutor(requests) as pool,
    ):

        def get(number: int) -> str:
            answer = client.get(f"/evaluations/run/images/{number}/{address}".rstrip("/"))
            return answer.text

        get(0)
        (process,) = image_workers() - other_workers
        process.suspend()
        answers = [pool.submit(get, number) for number in range(requests)]
        try:
            rejected = requests - MAX_WAITING
            wait_until(
                lambda: sum("too many image requests" in one.result() for one in answers if one.done()) >= rejected,
                "surplus requests rejected",
            )
            for other in ("/metrics", "/"):
                assert client.get(other, timeout=30.0).status_code == 200
            assert sum(one.done() for one in answers) == rejected
        finally:
            process.kill()
        assert not any("too many image requests" in one.result() for one in answers if not one.done())
