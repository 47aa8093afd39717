#!/usr/bin/env python3
"""Evaluates one model on one dataset and writes what it reached as the baseline that later models are held against.

Exit code 0: written; 2: it could not be measured, or a mistake on the command line, told in one line.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.checks.baseline import baseline_json, this_machine
from starlight_exporter.cli.arguments import add_run_arguments, measure
from starlight_exporter.errors import StarlightError
from starlight_exporter.files import write_text
from starlight_exporter.publish import report

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tests" / "regression_baselines.json"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser)
    parser.add_argument(
        "--output", type=Path, default=BASELINE, help=f"file to write (default: {BASELINE.relative_to(ROOT)})"
    )
    return parser.parse_args(arguments)


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    try:
        evaluation = measure(options).evaluation
        if not evaluation.clean.total or any(not rate.total for rate in evaluation.detections.values()):
            # A baseline without clean files or without a method would leave those checks out for good.
            print("record_baseline: the dataset lacks clean images or a method; no baseline written", file=sys.stderr)
            return 2
        command = shlex.join([f"scripts/{Path(__file__).name}", *sys.argv[1:]])
        write_text(options.output, baseline_json(evaluation, command=command, machine=this_machine()))
    except StarlightError as error:
        print(f"record_baseline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("record_baseline: interrupted", file=sys.stderr)
        return 130
    Console().print(report.figures_table(evaluation))
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
