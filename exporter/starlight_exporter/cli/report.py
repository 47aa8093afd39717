"""Write the report of a stored evaluation: one HTML file without links and requests, with the misclassified images.

EVALUATION is an id of the page Evaluations, or `latest` for the newest evaluation that --model and --dataset select.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlight_exporter.cli.arguments import add_config
from starlight_exporter.errors import StorageError
from starlight_exporter.exit_codes import OK

LATEST = "latest"


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.add_argument("evaluation", metavar="EVALUATION", help="id of a stored evaluation, or latest")
    parser.add_argument("--model", metavar="NAME", help="with latest: name of the model")
    parser.add_argument("--dataset", metavar="NAME", help="with latest: name of the dataset")
    parser.add_argument("--html", type=Path, required=True, metavar="FILE", help="file to write")
    add_config(parser, root)


def run(options: argparse.Namespace) -> int:
    """Write the report."""
    from starlight_exporter.config import load_config
    from starlight_exporter.config_location import locate_config
    from starlight_exporter.files import write_text
    from starlight_exporter.publish.evidence import Evidence
    from starlight_exporter.web.pages.report import report_html

    config = load_config(locate_config(options.config, options.config_root))
    evidence = Evidence(config.paths.results)
    if options.evaluation == LATEST:
        entry = next(iter(evidence.entries(options.model, options.dataset)), None)
    else:
        entry = evidence.find(options.evaluation)
    if entry is None:
        raise StorageError(f"{config.paths.results}: no such evaluation is stored: {options.evaluation}")
    dataset = config.dataset(entry.dataset)
    write_text(options.html, report_html(evidence, entry, alerts=dataset is None or dataset.alerts))
    print(f"{options.html}: {entry.model} on {entry.dataset}, {entry.id}")
    return OK
