"""A fetcher that ends while a worker of the service reads a remote dataset fails that evaluation, and no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from starlight_exporter.dataset.dataset import ScannedDataset
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.errors import DatasetError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.runs import worker
from starlight_exporter.runs.attempt import Attempt, attempt
from starlight_exporter.runs.process import WorkerProcess
from starlight_exporter.runs.worker import Work
from support.http_files import http_files
from support.packed import write_dataset


def kill_fetchers() -> None:
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "starlight_exporter.dataset.sources.fetcher" in child.cmdline():
                child.kill()


@pytest.mark.slow
@pytest.mark.integration
def test_killed_fetcher_fails_one_evaluation(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "images", images=2)
    with http_files() as served:
        served.files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.*")}
        root = RemoteRoot(served.address)
        request = RunRequest(
            model="production",
            role="production",
            model_path=tmp_path / "model.onnx",
            decision=PRODUCTION,
            dataset="images",
            dataset_root=root,
            trigger="test",
        )

        def scan(interrupt: Callable[[], None]) -> Attempt:
            work = (Work(request, tmp_path / "thumbnails"),)
            return attempt(WorkerProcess(), worker.fingerprint, work, timeout=300.0, interrupt=interrupt)

        # The fetcher repeats its requests, and is killed meanwhile.
        served.failures = 1_000_000
        ended = scan(kill_fetchers)
        assert (ended.outcome, ended.reason) == ("error", f"{root}: the process that reads it has ended")
        assert isinstance(ended.error, DatasetError)
        served.failures = 0
        again = scan(lambda: None)
        assert isinstance(again.result, ScannedDataset), again.reason
