"""Public functions of the package; import them from `starlight_exporter`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.sources.root import parse_root, root_name
from starlight_exporter.detector.contract import STREAMS, Stream
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.detector.providers import CPU, ExecutionProvider
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.models.names import model_name

if TYPE_CHECKING:
    from starlight_exporter.analysis.study_results import Study
    from starlight_exporter.evaluation.image_scores import Scoring

# ONNX Runtime and the decoders are imported by the functions that use them, not with this module.


def evaluate(
    model: str | Path,
    dataset: str | Path,
    *,
    decision: DecisionRule = PRODUCTION,
    models_dir: str | Path | None = None,
    latency_sample: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    cache: str | Path | None = None,
    providers: Sequence[ExecutionProvider] = CPU,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate an ONNX model on a folder with `clean/`, `stego/` and `negatives/`, or another layout of a dataset.

    A rule with thresholds per method is replaced by one threshold of 0.5 if the model predicts no method; then
    `replaced_decision` of the result is not None. `latency_sample` images are timed one at a time; 0 skips the latency
    run. `threads` defaults to one per core.
    `providers` of ONNX Runtime run the model, the first that supports an operator; default: the CPU.
    `cache` is a folder for decoded images. `models_dir` is searched for the card and the training log of a model with
    the same content. `progress` is called with the number of images done and the total.
    Raise ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if the run fails.
    """
    from starlight_exporter.evaluation.run import evaluate as run

    request = _request(model, dataset, decision=decision, seed=seed, threads=threads, cache=cache, providers=providers)
    models = None if models_dir is None else Path(models_dir)
    return run(replace(request, models_dir=models, latency_sample=latency_sample), progress=progress).evaluation


def compare(
    baseline: str | Path,
    candidate: str | Path,
    dataset: str | Path,
    *,
    decision: DecisionRule = PRODUCTION,
    seed: int = 0,
    threads: int | None = None,
    cache: str | Path | None = None,
    providers: Sequence[ExecutionProvider] = CPU,
    progress: Progress | None = None,
) -> Comparison:
    """Evaluate two ONNX models on the same images and compare their verdicts with exact paired tests.

    Raise ComparisonError if both are the same file or the dataset changes between the evaluations; otherwise as
    `evaluate`. `progress` is called for each evaluation in turn.
    """
    from starlight_exporter.analysis.comparison import compare as compare_results
    from starlight_exporter.analysis.comparison import require_different_files
    from starlight_exporter.evaluation.run import evaluate as run

    require_different_files(Path(baseline), Path(candidate))
    requests = (
        _request(model, dataset, decision=decision, seed=seed, threads=threads, cache=cache, providers=providers)
        for model in (baseline, candidate)
    )
    before, after = (run(request, progress=progress) for request in requests)
    return compare_results(
        before.evaluation, before.predictions, after.evaluation, after.predictions, against=before.evaluation.model
    )


def ablate(
    model: str | Path,
    dataset: str | Path,
    *,
    mode: AblationMode = "zero",
    streams: Sequence[Stream] = STREAMS,
    decision: DecisionRule = PRODUCTION,
    seed: int = 0,
    threads: int | None = None,
    cache: str | Path | None = None,
    providers: Sequence[ExecutionProvider] = CPU,
    progress: Progress | None = None,
) -> AblationStudy:
    """Measure the effect of every input stream: replace it by zeros, its mean, or that of another image.

    Raise ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if no image could be
    measured.
    """
    from starlight_exporter.analysis.ablation_study import ablation_study

    request = _request(model, dataset, decision=decision, seed=seed, threads=threads, cache=cache, providers=providers)
    return ablation_study(request, mode=mode, streams=streams, progress=progress)


def study(
    models: Sequence[str | Path],
    datasets: Sequence[str | Path],
    *,
    decision: DecisionRule = PRODUCTION,
    seed: int = 0,
    threads: int | None = None,
    cache: str | Path | None = None,
    providers: Sequence[ExecutionProvider] = CPU,
    progress: Progress | None = None,
) -> Study:
    """Evaluate ONNX models on datasets and test which pairs are distinguished on which dataset and metric.

    `Study.results` has the evaluations, `Study.pairs` the paired tests; the command `starlight study` writes them as
    tables. Raise ComparisonError if two models have the same content or name or a dataset changes between evaluations,
    DatasetError if two datasets have the same content or name; otherwise as `evaluate`. `progress` is called for each
    evaluation in turn, and then for the pairs.
    """
    from starlight_exporter.analysis.model_study import StudyRequest
    from starlight_exporter.analysis.model_study import study as run

    request = StudyRequest(
        models=tuple(Path(model) for model in models),
        datasets=tuple(Path(dataset) for dataset in datasets),
        trigger="api",
        decision=decision,
        seed=seed,
        threads=available_cores() if threads is None else threads,
        cache=None if cache is None else CacheSettings(Path(cache)),
        providers=tuple(providers),
    )
    return run(request, progress=None if progress is None else lambda _, done, total: progress(done, total))


def score(
    model: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    decision: DecisionRule = PRODUCTION,
    threads: int | None = None,
    providers: Sequence[ExecutionProvider] = CPU,
) -> Scoring:
    """Score images without labels: files, and all images below folders. Iterate over `scores` of the result, once.

    An image that cannot be measured has no verdict, but a reason.
    Raise ModelError if the model cannot be used, and DatasetError if a path does not exist or there is no image.
    """
    from starlight_exporter.evaluation.scoring import score_images

    paths = [images] if isinstance(images, str | Path) else images
    return score_images(
        Path(model),
        [Path(path) for path in paths],
        decision=decision,
        threads=available_cores() if threads is None else threads,
        providers=tuple(providers),
    )


def read_history(path: str | Path) -> Iterator[Evaluation]:
    """Yield every stored evaluation of a history file, including its rotated files, oldest first.

    Damaged lines are logged and skipped. Raise StorageError if there is no such history or it cannot be read.
    """
    from starlight_exporter.publish.history import History

    history = History(Path(path))
    if not history.files():
        raise StorageError(f"{path}: no such history")
    return history.evaluations()


def _request(
    model: str | Path,
    dataset: str | Path,
    *,
    decision: DecisionRule,
    seed: int,
    threads: int | None,
    cache: str | Path | None,
    providers: Sequence[ExecutionProvider],
) -> RunRequest:
    """Return the request of a run without latencies."""
    root = dataset if isinstance(dataset, Path) else parse_root(dataset)
    return RunRequest(
        model=model_name(Path(model)),
        role="research",
        model_path=Path(model),
        decision=decision,
        dataset=root_name(root),
        dataset_root=root,
        trigger="api",
        latency_sample=0,
        seed=seed,
        threads=available_cores() if threads is None else threads,
        cache=None if cache is None else CacheSettings(Path(cache)),
        providers=tuple(providers),
    )
