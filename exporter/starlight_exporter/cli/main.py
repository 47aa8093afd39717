"""Evaluate, compare and gate steganalysis models, score images; manage datasets, baselines, history and assets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import starlight_exporter
from starlight_exporter.cli import (
    ablate,
    assets_export,
    baseline_accept,
    baseline_record,
    baseline_show,
    compare,
    dashboard,
    dataset_fingerprint,
    dataset_hash,
    dataset_make,
    dataset_pack,
    evaluate,
    gate,
    history_compact,
    history_export,
    history_to_csv,
    history_to_parquet,
    history_verify,
    report,
    score,
    study,
    variants,
)
from starlight_exporter.cli.command import EPILOG, Command, command_line, configure, exit_code, run

COMMANDS: Final[Mapping[str, Command]] = {
    "evaluate": evaluate,
    "gate": gate,
    "score": score,
    "compare": compare,
    "ablate": ablate,
    "variants": variants,
    "study": study,
    "dataset make": dataset_make,
    "dataset hash": dataset_hash,
    "dataset fingerprint": dataset_fingerprint,
    "dataset pack": dataset_pack,
    "baseline record": baseline_record,
    "baseline show": baseline_show,
    "baseline accept": baseline_accept,
    "history compact": history_compact,
    "history export": history_export,
    "history to-csv": history_to_csv,
    "history to-parquet": history_to_parquet,
    "history verify": history_verify,
    "report": report,
    "dashboard": dashboard,
    "assets export": assets_export,
}
GROUPS: Final[Mapping[str, str]] = {
    "dataset": "generate, pack, hash or identify datasets",
    "baseline": "show, record or accept the baseline of the regression checks",
    "history": "export, compact or verify stored results",
    "assets": "export rules, dashboards, runbooks and templates",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run `starlight`; return the exit code."""

    def action() -> int:
        given = sys.argv[1:] if words is None else list(words)
        options = build_parser().parse_args(given)
        options.command_line = command_line(given)
        return run(options)

    return exit_code("starlight", action)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `starlight` with all subcommands; default paths are relative to the current directory."""
    parser = argparse.ArgumentParser(
        prog="starlight", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"starlight {starlight_exporter.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    groups = {}
    for words, command in COMMANDS.items():
        group, _, name = words.rpartition(" ")
        if group and group not in groups:
            subparser = commands.add_parser(group, help=GROUPS[group], description=GROUPS[group])
            groups[group] = subparser.add_subparsers(required=True, metavar="COMMAND", title="commands")
        summary = (command.__doc__ or "").partition("\n")[0]
        configure(groups.get(group, commands).add_parser(name, help=summary), command, Path())
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
