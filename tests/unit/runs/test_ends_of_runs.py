"""What becomes of a run's end while configuration, files and disks change under it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.runs.application import Application
from starlight_exporter.runs.runner import Ended
from support.snapshots import example_prediction, full_evaluation
from support.web import LocalServer, idle_application

PAIR = ("production", "reference")
CONFIG = """
models: [{name: production, file: model.onnx, role: production}]
datasets: [{name: reference, path: images}]
analyses: {ablate: [production]}
watch: {interval: 200ms, settle: 1s}
"""


def success() -> Ended:
    result = RunResult(full_evaluation(), (example_prediction(),), None)
    return Ended(PAIR, "start", "success", started_at=1.0, ended_at=2.0, result=result)


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """Not started, but with its configuration in force."""
    quiet = idle_application(tmp_path)
    quiet.reload()
    return quiet


@pytest.mark.parametrize(
    ("before", "after"), [("model.onnx", "other.onnx"), ("path: images", "path: others"), ("x", "x")]
)
def test_a_result_of_what_is_configured_no_more_is_not_shown(
    application: Application, tmp_path: Path, before: str, after: str
) -> None:
    assert application.request(PAIR, "start") is not None
    file = tmp_path / "starlight.yml"
    file.write_text(file.read_text().replace(before, after))
    application.reload()
    application.ended(success())
    run = application.state.snapshot.runs[PAIR]
    assert (run.evaluation is None) == (before != after)
    assert run.outcomes == {"success": 1}
    assert [one.outcome for one in application.state.runs()] == ["success"]


def test_a_run_is_recorded_though_no_evidence_can_be_read(application: Application, tmp_path: Path) -> None:
    assert application.request(PAIR, "start") is not None
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "evaluations").write_text("no folder")
    application.ended(success())
    assert [one.outcome for one in application.state.runs()] == ["success"]
    assert application.state.snapshot.runs[PAIR].evaluation is not None


def test_a_scrape_tells_how_many_wait_now(application: Application) -> None:
    with LocalServer(application) as site:
        for expected in (0, 1):
            text = httpx.get(f"{site.url}/metrics", params={"name[]": "starlight_evaluations_queued"}).text
            assert float(text.split()[-1]) == expected
            application.evaluate(None, None, "request")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Application]:
    """A whole exporter whose only model does not load."""
    (tmp_path / "starlight.yml").write_text(CONFIG)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    application = Application(tmp_path / "starlight.yml")
    application.start()
    yield application
    application.stop()


def test_an_ablation_of_a_file_that_is_being_written_is_no_evaluation_later(
    started: Application, tmp_path: Path
) -> None:
    until(started.state.runs)
    (tmp_path / "model.onnx").write_bytes(b"no model either")
    started.ended(success())
    until(lambda: len(started.state.runs()) == 3)
    assert [one.trigger for one in started.state.runs()][:1] == ["model"]
