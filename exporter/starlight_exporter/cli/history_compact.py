"""Thin out old results of the history: keep the first of each day and the first after each change.

The service does this itself with the key history.compact_after. Stop it before, because a history has one writer; with
--dry-run, nothing is changed. Results are kept until the uptime of the machine confirms their age.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from starlight_exporter.cli.history_export import add_config
from starlight_exporter.config_location import locate_config
from starlight_exporter.durations import parse_duration
from starlight_exporter.errors import ConfigError, StorageError
from starlight_exporter.exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.set_defaults(config_root=root)
    add_config(parser)
    parser.add_argument(
        "--older-than", type=_age, metavar="DURATION", help="at least 1d (default: history.compact_after)"
    )
    parser.add_argument(
        "--trust-dates",
        action="store_true",
        help="the system clock was never wrong: remove old results whose age is not confirmed, too",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, and change nothing")


def run(options: argparse.Namespace) -> int:
    """Compact the history, and print the number of removed results of each model and dataset."""
    from starlight_exporter.config import load_config
    from starlight_exporter.formatting import integer, utc
    from starlight_exporter.publish.compaction import FilePlan
    from starlight_exporter.publish.history import History

    file = locate_config(options.config_file, options.config_root)
    config = load_config(file)
    age = options.older_than or config.history.compact_after
    if age is None:
        raise ConfigError(f"{file}: history.compact_after: not configured; pass --older-than")
    history = History(config.paths.data / "history.jsonl")
    if not history.files():
        raise StorageError(f"{config.paths.data / 'history.jsonl'}: no such history")
    done: list[FilePlan] = []
    try:
        if options.dry_run:
            plan = history.plan_compaction(age, trust_dates=options.trust_dates)
            done.extend(plan.files)
        else:
            plan = history.compact(age, trust_dates=options.trust_dates, removed=done.append)
    finally:
        # Also if a later file could not be rewritten.
        pairs = Counter(record.pair for one in done for record in one.removed if record.pair is not None)
        for (model, dataset), count in sorted(pairs.items()):
            print(f"{model} on {dataset}: {integer(count)}")
    what = "would be removed" if options.dry_run else "removed"
    print(f"{integer(plan.records)} results ({integer(plan.bytes)} bytes) from before {utc(plan.before)} {what}")
    if plan.unconfirmed:
        print(f"{integer(plan.unconfirmed)} older by their dates are kept: {plan.reason}; see --trust-dates")
    if plan.future:
        print(f"{integer(plan.future)} with dates in the future are kept: {plan.future_reason}")
    return OK


def _age(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text}") from error
    if seconds < parse_duration("1d"):
        raise argparse.ArgumentTypeError(f"expected at least 1d, got {text}")
    return seconds
