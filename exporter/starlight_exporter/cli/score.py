"""Score images without labels: verdict, probability of stego, predicted method, and the eight input streams.

IMAGE is a file, or a folder, below which all images are scored. The number of a stream is the share of its values that
are not zero: 0% means that the image does not have what the stream contains, such as an alpha plane.
Exit code 2: at least one image was not measured; it is in the output with the reason. A verdict does not change the
exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.arguments import (
    DECISION_HELP,
    add_providers,
    add_threads,
    decision,
    providers_of,
)
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.exit_codes import NOT_MEASURED, OK

if TYPE_CHECKING:
    from starlight_exporter.evaluation.image_scores import ImageScore


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image, or folder of images; repeatable")
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--decision", type=decision, default=PRODUCTION, help=DECISION_HELP)
    add_providers(parser)
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="default: table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="file to write (default: standard output)")
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Score all images, write them while they are scored, print the counts on standard error."""
    from dataclasses import replace

    from starlight_exporter.cli.console import progress_bar
    from starlight_exporter.evaluation.request import available_cores
    from starlight_exporter.evaluation.scoring import score_images
    from starlight_exporter.files import open_output
    from starlight_exporter.formatting import integer
    from starlight_exporter.publish.scores import score_text

    scoring = score_images(
        options.model,
        options.images,
        decision=options.decision,
        threads=options.threads or available_cores(),
        providers=providers_of(options),
    )
    for warning in scoring.warnings:
        print(f"{options.name}: {warning}", file=sys.stderr)
    verdicts: Counter[bool | None] = Counter()

    def counted(progress: Callable[[int, int], None]) -> Iterator[ImageScore]:
        for score in scoring.scores:
            verdicts[score.verdict] += 1
            progress(verdicts.total(), scoring.images)
            yield score

    def parts(progress: Callable[[int, int], None]) -> Iterator[str]:
        return score_text(replace(scoring, scores=counted(progress)), options.format)

    if options.output is None:
        # Without a bar, which would be drawn between the lines on a terminal.
        for part in parts(lambda _done, _total: None):
            sys.stdout.write(part)
    else:
        with progress_bar("scoring") as progress, open_output(options.output) as file:
            for part in parts(progress):
                file.write(part.encode())
    stego, clean, not_measured = (verdicts[verdict] for verdict in (True, False, None))
    print(
        f"{options.name}: {integer(scoring.images)} images, {scoring.decision}: {integer(stego)} stego,"
        f" {integer(clean)} clean, {integer(not_measured)} not measured",
        file=sys.stderr,
    )
    return NOT_MEASURED if not_measured else OK
