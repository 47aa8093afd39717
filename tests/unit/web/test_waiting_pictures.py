"""Pictures that wait for the process that opens images keep nobody else waiting, and one too many is told so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from starlight_exporter.web.inspector import MOST_WAITING, THREADS
from support.snapshots import example_prediction, full_evaluation, full_snapshot
from support.web import LocalServer, idle_application


def openers() -> set[psutil.Process]:
    """The processes that open images."""
    return {child for child in psutil.Process().children() if "spawn_main" in command(child)}


def command(process: psutil.Process) -> str:
    """Its command line; empty for one that has ended, as those of other tests may have."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture
def of_others() -> Iterator[set[psutil.Process]]:
    """Those of other tests; this test's own are gone in the end."""
    before = openers()
    yield before
    for process in openers() - before:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("address", ["thumbnail.png", "pixel.png", ""])
def test_scrapes_and_pages_answer_while_pictures_wait(
    tmp_path: Path, of_others: set[psutil.Process], address: str
) -> None:
    application = idle_application(tmp_path, full_snapshot())
    asked = THREADS + 20
    application.evidence.store(
        full_evaluation(evaluation_id="run"), [example_prediction(f"clean/{number:03}.png") for number in range(asked)]
    )
    limits = httpx.Limits(max_connections=None)
    with (
        LocalServer(application) as site,
        httpx.Client(base_url=site.url, timeout=60.0, limits=limits) as client,
        ThreadPoolExecutor(asked) as pool,
    ):

        def get(number: int) -> str:
            answer = client.get(f"/evaluations/run/images/{number}/{address}".rstrip("/"))
            return answer.text

        get(0)
        (process,) = openers() - of_others
        process.suspend()
        answers = [pool.submit(get, number) for number in range(asked)]
        try:
            deadline = time.monotonic() + 15
            while sum("too many pictures" in one.result() for one in answers if one.done()) < asked - MOST_WAITING:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            for other in ("/metrics", "/"):
                assert client.get(other, timeout=5.0).status_code == 200
            assert sum(one.done() for one in answers) == asked - MOST_WAITING
        finally:
            process.kill()
        assert not any("too many pictures" in one.result() for one in answers if not one.done())
