"""Study: evaluate models on datasets, and test which pairs of models are distinguished on which."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlight_exporter.activity import NO_ACTIVITY
from starlight_exporter.analysis.model_pairs import pair_tests
from starlight_exporter.analysis.study_results import Study
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.sources.root import DatasetRoot, resolved_root, root_name
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.detector.providers import CPU, Providers
from starlight_exporter.errors import ComparisonError, DatasetError, StorageError
from starlight_exporter.evaluation.inputs import load_detector, scan_dataset
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.models.names import model_name

StudyProgress = Callable[[str, int, int], None]
"""Called with the step, and the completed and total number of its images or pairs."""

_PAIRS: Final = "testing pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """Models and datasets of a study, and the parameters of all evaluations. `trigger` as in RunRequest.

    Without `cache`, decoded images are kept until all models were evaluated on their dataset.
    """

    models: tuple[Path, ...]
    datasets: tuple[DatasetRoot, ...]
    trigger: str
    decision: DecisionRule = PRODUCTION
    seed: int = 0
    threads: int = field(default_factory=available_cores)
    cache: CacheSettings | None = None
    providers: Providers = CPU


def study(request: StudyRequest, *, progress: StudyProgress | None = None) -> Study:
    """Evaluate every model on every dataset, without latencies, and test all pairs of models.

    The same models, images and seed give the same results for any number of threads, except for times and ids. Raise
    ComparisonError if two models have the same content or name or a dataset changes between evaluations, and
    DatasetError if two datasets have the same content or name; otherwise as `evaluate`.
    """
    models = _distinct_models(request.models)
    _check_names(request.datasets)
    _check_usable(request, models)
    results = []
    for dataset in request.datasets:
        with _cache(request) as cache:
            runs = [_run_request(request, model, sha256, dataset, cache) for model, sha256 in models.items()]
            results.append(
                tuple(evaluate(run, progress=_step(progress, f"{run.model} on {run.dataset}")) for run in runs)
            )
    pairs = pair_tests(results, seed=request.seed, progress=_step(progress, _PAIRS)) if len(models) > 1 else ()
    return Study(tuple(results), pairs, request.seed)


def _distinct_models(models: Sequence[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each model file."""
    if not models:
        raise ComparisonError("a study requires at least 1 model")
    contents: dict[str, Path] = {}
    for model in models:
        sha256 = model_sha256(model)
        if sha256 in contents:
            raise ComparisonError(f"{contents[sha256]} and {model} are the same model file")
        contents[sha256] = model
    name, count = Counter(map(model_name, models)).most_common(1)[0]
    if count > 1:
        raise ComparisonError(f"{count} models are called {name}; put them into folders of different names")
    return {model: content for content, model in contents.items()}


def _check_names(datasets: Sequence[DatasetRoot]) -> None:
    if not datasets:
        raise DatasetError("a study requires at least 1 dataset")
    found: dict[str, DatasetRoot] = {}
    for dataset in datasets:
        name = root_name(dataset)
        same = found.get(name)
        if same is not None:
            if resolved_root(same) == resolved_root(dataset):
                raise DatasetError(f"{dataset}: given twice")
            raise DatasetError(f"{same} and {dataset} are both called {name}; rename one of the folders")
        found[name] = dataset


def _check_usable(request: StudyRequest, models: Mapping[Path, str]) -> None:
    """Load every model and scan every dataset, so that none of them fails after minutes of evaluation."""
    for model, sha256 in models.items():
        load_detector(_run_request(request, model, sha256, request.datasets[0], None))
    contents: dict[str, DatasetRoot] = {}
    model, sha256 = next(iter(models.items()))
    for dataset in request.datasets:
        fingerprint = scan_dataset(_run_request(request, model, sha256, dataset, None), NO_ACTIVITY).fingerprint
        if fingerprint in contents:
            raise DatasetError(f"{contents[fingerprint]} and {dataset} have the same content")
        contents[fingerprint] = dataset


@contextmanager
def _cache(request: StudyRequest) -> Iterator[CacheSettings | None]:
    """Yield the cache of the request, or one that is deleted at the end if several models decode the same images."""
    if request.cache is not None or len(request.models) == 1:
        yield request.cache
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="starlight-study-")
    except OSError as error:
        raise StorageError(f"{tempfile.gettempdir()}: cannot be written: {error.strerror or error}") from error
    with folder as name:
        yield CacheSettings(Path(name))


def _run_request(
    request: StudyRequest, model: Path, sha256: str, dataset: DatasetRoot, cache: CacheSettings | None
) -> RunRequest:
    return RunRequest(
        model=model_name(model),
        role="research",
        model_path=model,
        decision=request.decision,
        dataset=root_name(dataset),
        dataset_root=dataset,
        trigger=request.trigger,
        latency_sample=0,
        seed=request.seed,
        threads=request.threads,
        # The same content on all datasets.
        expected_sha256=sha256,
        cache=cache,
        providers=request.providers,
    )


def _step(progress: StudyProgress | None, step: str) -> Progress | None:
    return None if progress is None else lambda done, total: progress(step, done, total)
