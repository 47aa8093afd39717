"""Arguments that several commands share. Imports no third-party package."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path

from starlight_exporter.config_location import CONFIG_FILE
from starlight_exporter.dataset.sources.root import DatasetRoot, parse_root, resolved_root
from starlight_exporter.detector.decision import PLAIN, PRODUCTION, DecisionRule
from starlight_exporter.detector.providers import (
    CPU,
    ExecutionProvider,
    Providers,
    duplicate_provider,
    parse_provider,
)
from starlight_exporter.errors import ConfigError, DatasetError
from starlight_exporter.evaluation.engines.settings import EngineSettings, parse_engine
from starlight_exporter.models.roles import ROLES

RESULTS = Path("results")
DATASET_HELP = (
    "folder with class folders such as clean/ and stego/, a label manifest or metadata.csv; folder of tar or Parquet"
    " shards; or URL of either"
)
DECISION_HELP = (
    "production (thresholds per predicted method, 0.5 for a model without methods), plain (0.5) or a threshold"
    " (default: production)"
)


def dataset_root(text: str) -> DatasetRoot:
    """Parse the path or URL of a dataset."""
    try:
        return parse_root(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_run_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags of commands that evaluate one model on one dataset."""
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--dataset", type=dataset_root, required=True, help=DATASET_HELP)
    parser.add_argument("--decision", type=decision, default=PRODUCTION, help=DECISION_HELP)
    add_providers(parser)
    parser.add_argument("--role", choices=ROLES, default="research", help="role of the model (default: research)")
    parser.add_argument(
        "--training-log",
        type=Path,
        help="JSONL file with losses and accuracies per epoch (default: the one next to the model)",
    )
    add_models_dir(parser, root)
    add_threads(parser)
    add_engine(parser)
    add_latency_sample(parser)
    parser.add_argument("--cache", type=Path, help="folder that keeps decoded images for later runs")
    parser.add_argument("--seed", type=integer(0), default=0, help="selects the images to time (default: 0)")


def add_config(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the configuration file of the exporter, for `locate_config`."""
    parser.add_argument("--config", type=Path, help=f"configuration of the exporter (default: {CONFIG_FILE})")
    parser.set_defaults(config_root=root)


def add_providers(parser: argparse.ArgumentParser) -> None:
    """Add the execution providers; an empty list stands for the CPU, see `providers_of`."""
    parser.add_argument(
        "--provider",
        dest="providers",
        type=_provider,
        action="append",
        default=[],
        metavar="NAME[:KEY=VALUE,...]",
        help="execution provider of ONNX Runtime, such as CUDAExecutionProvider:device_id=1; repeatable, in order of"
        " preference (default: CPUExecutionProvider)",
    )


def providers_of(options: argparse.Namespace) -> Providers:
    """Return the selected execution providers. Raises ConfigError if one is given twice."""
    chosen: list[ExecutionProvider] = options.providers
    if name := duplicate_provider(chosen):
        raise ConfigError(f"--provider {name}: given twice")
    return tuple(chosen) or CPU


def _provider(text: str) -> ExecutionProvider:
    try:
        return parse_provider(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_models_dir(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the folder that is searched for the card of a model without a card, log or manifest next to it."""
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=root / "models",
        help="folder of MODEL/card.yml, searched for a card of the same bytes if none is next to the model"
        " (default: models)",
    )


def add_document(parser: argparse.ArgumentParser, root: Path, document: Path, *, flag: str = "--output") -> None:
    """Add the output of a command that writes a document: a file in results/, the committed one with --update-docs."""
    default = RESULTS / document.name
    group = parser.add_mutually_exclusive_group()
    written = group.add_argument(
        flag, type=Path, default=root / default, metavar="FILE", help=f"document to write (default: {default})"
    )
    group.add_argument(
        "--update-docs", action="store_const", const=root / document, dest=written.dest, help=f"write {document}"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads; None stands for one per core."""
    parser.add_argument("--threads", type=integer(1), help="default: one per core")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the engine that runs the maps over images."""
    parser.add_argument(
        "--engine",
        type=engine,
        default="local",
        metavar="ENGINE",
        help="local (threads of this process), or dask+tcp://HOST:PORT or dask+tls://HOST:PORT for the workers of a"
        " Dask scheduler (default: local)",
    )


def add_latency_sample(parser: argparse.ArgumentParser) -> None:
    """Add the number of images to time."""
    parser.add_argument(
        "--latency-sample", type=integer(0), default=1000, help="images to time; 0 for none (default: 1000)"
    )


def decision(text: str) -> DecisionRule:
    """Parse `production`, `plain`, or one threshold."""
    named = {"production": PRODUCTION, "plain": PLAIN}
    try:
        return named[text] if text in named else DecisionRule.single(float(text))
    except (ValueError, ConfigError) as error:
        expected = "production, plain or a threshold from 0 to 1"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}") from error


def engine(text: str) -> EngineSettings:
    """Parse an engine."""
    try:
        return parse_engine(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def integer(minimum: int) -> Callable[[str], int]:
    """Return an argument type: an integer of at least `minimum`."""

    def parse_integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {minimum}, got {text}")
        return value

    return parse_integer


def dataset_names(folders: Sequence[DatasetRoot]) -> list[str]:
    """Return a unique name per dataset: the folder's name, with a number appended if it is taken.

    Raises DatasetError if a folder is given twice: its images would be counted twice.
    """
    names: list[str] = []
    resolved = [resolved_root(folder) for folder in folders]
    for index, folder in enumerate(resolved):
        if folder in resolved[:index]:
            raise DatasetError(f"{folders[index]}: given twice")
        numbered = (f"{folder.name}-{number}" for number in count(2))
        names.append(next(name for name in chain([folder.name], numbered) if name not in names))
    return names
