"""One evaluation from a command line: the arguments, the progress bar and the run that several scripts share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from starlight_exporter.dataset.settings import CacheSettings
from starlight_exporter.detector.decision import PLAIN, PRODUCTION, DecisionRule
from starlight_exporter.errors import ConfigError, DatasetError
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.evaluation.results import ROLES, RunResult

MODELS = Path(__file__).resolve().parent.parent / "models"


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command needs that evaluates one model on one dataset."""
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--dataset", type=Path, required=True, help="folder with clean/, stego/ and negatives/")
    parser.add_argument(
        "--decision",
        type=decision,
        default=PRODUCTION,
        help="production (thresholds per predicted method), plain (0.5) or a threshold (default: production)",
    )
    parser.add_argument("--role", choices=ROLES, default="research", help="shown with the figures (default: research)")
    parser.add_argument(
        "--training-log",
        type=Path,
        help="JSONL file with losses and accuracies per epoch (default: the one beside the model)",
    )
    add_models_dir(parser)
    parser.add_argument("--threads", type=whole(1), default=available_cores(), help="default: one per core")
    parser.add_argument(
        "--latency-sample", type=whole(0), default=1000, help="images to time; 0 for none (default: 1000)"
    )
    parser.add_argument("--cache", type=Path, help="keep decoded images in this folder, for the next run to use")
    parser.add_argument("--seed", type=whole(0), default=0, help="chooses the images to time (default: 0)")


def add_models_dir(parser: argparse.ArgumentParser) -> None:
    """Where what is known of a model is looked for that has no training log, manifest or card beside it."""
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=MODELS,
        help="folder of <model>/card.yml: tells of a model of the same bytes with no card beside it (default: models)",
    )


def decision(text: str) -> DecisionRule:
    """`production`, `plain`, or one threshold."""
    named = {"production": PRODUCTION, "plain": PLAIN}
    try:
        return named[text] if text in named else DecisionRule.single(float(text))
    except (ValueError, ConfigError) as error:
        expected = "production, plain or a threshold from 0 to 1"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}") from error


def whole(least: int) -> Callable[[str], int]:
    """An argument type: a whole number of at least `least`."""

    def parse_whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text}")
        return value

    return parse_whole


def model_name(path: Path) -> str:
    """models/production/model.onnx is called by its folder, anything/else.onnx by its own name."""
    return path.resolve().parent.name if path.stem == "model" else path.stem


def dataset_names(folders: Sequence[Path]) -> list[str]:
    """A name for each dataset: its folder's, with a number behind it from the second folder of that name on.

    DatasetError for the same folder twice: its images would count as if they were others.
    """
    names: list[str] = []
    resolved = [folder.resolve() for folder in folders]
    for index, folder in enumerate(resolved):
        if folder in resolved[:index]:
            raise DatasetError(f"{folders[index]}: given twice")
        numbered = (f"{folder.name}-{number}" for number in count(2))
        names.append(next(name for name in chain([folder.name], numbered) if name not in names))
    return names


def new_bar(console: Console) -> Progress:
    """A progress bar that is not shown yet."""
    return Progress(
        # Without markup: a folder may be called [anything].
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, and what tells it how many are done and of how many."""
    with new_bar(Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def measure(options: argparse.Namespace, *, expected_sha256: str | None = None) -> RunResult:
    """One evaluation in this process, with a progress bar; raises what `evaluate` raises.

    With `expected_sha256` a model file of another content is refused.
    """
    # Late: a mistake on the command line is told without loading the ONNX runtime.
    from starlight_exporter.evaluation.run import evaluate

    request = RunRequest(
        model=model_name(options.model),
        role=options.role,
        model_path=options.model,
        decision=options.decision,
        dataset=options.dataset.resolve().name,
        dataset_root=options.dataset,
        trigger="command",
        training_log=options.training_log,
        models_dir=options.models_dir,
        latency_sample=options.latency_sample,
        seed=options.seed,
        threads=options.threads,
        expected_sha256=expected_sha256,
        cache=None if options.cache is None else CacheSettings(options.cache),
    )
    with progress_bar("measuring") as progress:
        return evaluate(request, progress=progress)
