"""Supervision: files and models that exceed limits cost themselves only, with real models and worker processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.activity import Activity, read_activity
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.evaluation import sample
from starlight_exporter.evaluation.provisional_result import ProvisionalResult, read_provisional
from starlight_exporter.evaluation.request import BaselineModel, ProvisionalRequest, RunLimits, RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.runs import worker
from starlight_exporter.runs.attempt import Attempt, cancelled_attempt
from starlight_exporter.runs.process import WorkerProcess
from starlight_exporter.runs.supervision import ModelLimitError, Supervisor
from starlight_exporter.runs.worker import Work
from support.hostile_models import write_endless_model, write_memory_model
from support.images import image_bytes
from support.models import write_constant_model
from support.run_requests import run_request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MIB = 1024 * 1024


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a dataset of twelve images, two of them with an alpha plane."""
    clean = tmp_path / "images" / "clean"
    clean.mkdir(parents=True)
    for index in range(12):
        mode = "RGBA" if index in (4, 9) else "RGB"
        (clean / f"{index:02}.png").write_bytes(image_bytes(index, mode=mode))
    return tmp_path / "images"


def request_for(model: Path, images: Path, *, image_seconds: float = 30.0) -> RunRequest:
    return run_request(
        model,
        images,
        decision=DecisionRule.single(0.5),
        limits=RunLimits(image_seconds=image_seconds),
        latency_sample=4,
        cache=CacheSettings(images.parent / "cache", 64 * MIB),
    )


def supervise(
    request: RunRequest,
    *,
    memory_bytes: int = 1536 * MIB,
    make_process: Callable[[], WorkerProcess] | None = None,
    interrupt: Callable[[], Attempt | None] = lambda: None,
) -> Attempt:
    scratch = Path(str(request.dataset_root)).parent / "scratch"
    scratch.mkdir()
    supervisor = Supervisor(
        make_process or (lambda: WorkerProcess(memory_bytes=memory_bytes)),
        scratch,
        timeout=900.0,
        interrupt=interrupt,
    )
    return supervisor.evaluate(request, scratch / "thumbnails")


def test_image_whose_thumbnail_failed_is_measured_and_has_none(tmp_path: Path, images: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=4.0)
    fault = FileFault("clean/03.png", "timeout", "clean/03.png: took more than 1s", "thumbnail")
    request = replace(request_for(model, images), faults=(fault,))
    result = worker.evaluate(Work(request, tmp_path / "thumbnails", tmp_path / "activity"))
    assert [one.path for one in result.predictions if one.verdict is None] == []
    names = {path.name for path in (tmp_path / "thumbnails").iterdir()}
    assert len(names) == len(result.predictions) - 1
    assert thumbnail_name(fault.path) not in names


def not_measured(attempt: Attempt) -> dict[str, tuple[str | None, str]]:
    assert isinstance(attempt.result, RunResult), attempt
    return {one.path: (one.not_measured, one.detail) for one in attempt.result.predictions if one.verdict is None}


def test_image_that_exceeds_the_memory_limit_is_excluded(tmp_path: Path, images: Path) -> None:
    model = write_memory_model(tmp_path / "model.onnx", "alpha")
    found = not_measured(supervise(request_for(model, images), memory_bytes=600 * MIB))
    assert found.keys() == {"clean/04.png", "clean/09.png"}
    assert {reason for reason, _ in found.values()} == {"crashed"}
    assert found["clean/04.png"][1] == (
        "clean/04.png: ended the worker in the phase score: worker exceeded its memory limit of 600.0 MiB"
    )


def test_image_on_which_the_model_does_not_end_is_excluded(tmp_path: Path, images: Path) -> None:
    model = write_endless_model(tmp_path / "model.onnx", "alpha")
    found = not_measured(supervise(request_for(model, images, image_seconds=1.0)))
    assert found.keys() == {"clean/04.png", "clean/09.png"}
    assert found["clean/09.png"] == ("timeout", "clean/09.png: took more than 1s to score")


def test_model_that_does_not_end_on_five_images_exceeds_its_limits(tmp_path: Path, images: Path) -> None:
    for index in range(5, 9):
        (images / "clean" / f"{index:02}.png").write_bytes(image_bytes(index, mode="RGBA"))
    model = write_endless_model(tmp_path / "model.onnx", "alpha")
    ended = supervise(request_for(model, images, image_seconds=0.5))
    assert isinstance(ended.error, ModelLimitError)
    assert (ended.outcome, ended.error.limit, ended.error.reason) == ("timeout", "time", "limits")
    assert "5 images exceeded its limits" in ended.reason


def test_model_that_does_not_end_while_it_is_loaded_exceeds_its_limits(tmp_path: Path, images: Path) -> None:
    model = write_endless_model(tmp_path / "model.onnx")
    ended = supervise(request_for(model, images, image_seconds=1.0))
    assert isinstance(ended.error, ModelLimitError)
    assert (ended.outcome, ended.error.limit) == ("timeout", "time")
    assert ended.reason == f"{model}: took more than 4s to load"


def test_model_that_exceeds_the_memory_limit_while_it_is_loaded(tmp_path: Path, images: Path) -> None:
    model = write_memory_model(tmp_path / "model.onnx")
    ended = supervise(request_for(model, images), memory_bytes=600 * MIB)
    assert isinstance(ended.error, ModelLimitError)
    assert (ended.outcome, ended.error.limit) == ("crashed", "memory")


def test_baseline_that_does_not_end_costs_only_the_latency_ratio(tmp_path: Path, images: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=1.0)
    endless = write_endless_model(tmp_path / "endless.onnx")
    baseline = BaselineModel(endless, DecisionRule.single(0.5))
    ended = supervise(replace(request_for(model, images, image_seconds=1.0), baseline=baseline))
    assert not_measured(ended) == {}
    assert isinstance(ended.result, RunResult)
    assert ended.result.evaluation.latency_ratio is None
    assert ended.result.evaluation.latency is not None


def test_baseline_that_does_not_end_on_an_image_costs_only_the_latency_ratio(tmp_path: Path, images: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=1.0)
    endless = write_endless_model(tmp_path / "endless.onnx", "alpha")
    baseline = BaselineModel(endless, DecisionRule.single(0.5))
    request = replace(request_for(model, images, image_seconds=1.0), baseline=baseline, latency_sample=40)
    ended = supervise(request)
    assert not_measured(ended) == {}
    assert isinstance(ended.result, RunResult)
    assert ended.result.evaluation.latency_ratio is None


def evaluate_after_small_sample(work: Work) -> RunResult:
    """Evaluate in a worker process that samples every dataset of more than ten images."""
    sample.SAMPLE_IMAGES = sample._MIN_SAMPLE_IMAGES = 10  # type: ignore[misc]
    sample.TIMED_IMAGES = 5  # type: ignore[misc]
    return worker.evaluate(work)


class SamplingWorker(WorkerProcess):
    """A real worker process with small samples."""

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        super().submit(evaluate_after_small_sample if function is worker.evaluate else function, *arguments)


def test_baseline_that_does_not_end_on_a_sample_costs_only_the_comparison(tmp_path: Path, images: Path) -> None:
    for file in (images / "clean").iterdir():
        file.write_bytes(image_bytes(int(file.stem), mode="RGBA"))
    model = write_constant_model(tmp_path / "model.onnx", logit=1.0)
    endless = write_endless_model(tmp_path / "endless.onnx", "alpha")
    request = replace(
        request_for(model, images, image_seconds=1.0),
        baseline=BaselineModel(endless, DecisionRule.single(0.5)),
        provisional=ProvisionalRequest(),
    )
    ended = supervise(request, make_process=SamplingWorker)
    assert not_measured(ended) == {}
    assert isinstance(ended.result, RunResult)
    assert ended.result.evaluation.after_provisional
    assert ended.result.evaluation.latency_ratio is None
    provisional = read_provisional(tmp_path / "scratch" / "provisional.json")
    assert isinstance(provisional, ProvisionalResult)
    assert (len(provisional.predictions), provisional.baseline) == (10, None)


def test_cancellation_while_a_file_is_searched_does_not_blame_the_model(tmp_path: Path, images: Path) -> None:
    model = write_memory_model(tmp_path / "model.onnx", "alpha")
    workers: list[WorkerProcess] = []

    def make_process() -> WorkerProcess:
        workers.append(WorkerProcess(memory_bytes=600 * MIB))
        return workers[-1]

    ended = supervise(
        request_for(model, images),
        make_process=make_process,
        interrupt=lambda: cancelled_attempt() if len(workers) > 1 else None,
    )
    assert ended.outcome == "cancelled"
    assert len(workers) == 2


def test_worker_that_is_killed_once_does_not_exclude_a_file(tmp_path: Path, images: Path) -> None:
    """Such as by the kernel, when another program uses all memory."""
    model = write_constant_model(tmp_path / "model.onnx", logit=1.0)
    killed: list[int] = []

    class KilledOnce(WorkerProcess):
        def wait(self, seconds: float) -> bool:
            activity = images.parent / "scratch" / "activity"
            if not killed and any(one.phase in ("decode", "score", "time") for one in read_activity(activity)):
                assert self._process is not None
                killed.append(self._process.pid)
                os.kill(self._process.pid, signal.SIGKILL)
            return super().wait(min(seconds, 0.001))

    ended = supervise(replace(request_for(model, images), latency_sample=400), make_process=KilledOnce)
    assert killed
    assert not_measured(ended) == {}


def test_activity_shows_what_threads_are_doing(tmp_path: Path) -> None:
    activity = Activity(tmp_path / "activity")
    entered, leave = threading.Barrier(3), threading.Event()

    def work(name: str) -> None:
        with activity.during("decode", f"clean/{name}", f"clean/é {name}"):
            entered.wait(60)
            leave.wait(60)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    entered.wait(60)
    found = read_activity(tmp_path / "activity")
    leave.set()
    for thread in threads:
        thread.join()
    assert {one.files for one in found} == {("clean/a", "clean/é a"), ("clean/b", "clean/é b")}
    assert {one.phase for one in found} == {"decode"}
    assert all(began - 60 < one.since < began + 60 for one in found)
    assert read_activity(tmp_path / "activity") == []
    with activity.during("score", *(f"clean/{'x' * 4000}{index}.png" for index in range(16))):
        (batch,) = read_activity(tmp_path / "activity")
    assert [path[-5:] for path in batch.files] == ["0.png", "1.png"]
    assert read_activity(tmp_path / "nowhere") == []
