#!/usr/bin/env python3
"""Takes one stream at a time away from a model and measures what that costs, on the same images.

Exit code 0: measured; 2: it could not be measured, or a mistake on the command line, told in one line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.analysis.stream_effects import MODES
from starlight_exporter.cli.arguments import decision, model_name, progress_bar, whole
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.files import write_text

ROOT = Path(__file__).resolve().parent.parent


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--dataset", type=Path, required=True, help="folder with clean/, stego/ and negatives/")
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="zero",
        help="what takes the stream's place: zeros, its mean, or that of another image (default: zero)",
    )
    parser.add_argument("--stream", action="append", default=[], help="one of the eight; repeat (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "ablation.json", help="every figure")
    parser.add_argument(
        "--document",
        type=Path,
        default=ROOT / "docs" / "grok" / "stream_ablation.md",
        help="the document to write (default: docs/grok/stream_ablation.md)",
    )
    parser.add_argument(
        "--decision",
        type=decision,
        default=PRODUCTION,
        help="production (thresholds per predicted method), plain (0.5) or a threshold (default: production)",
    )
    parser.add_argument("--threads", type=whole(1), default=available_cores(), help="default: one per core")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the order of images and shuffling (default: 0)")
    return parser.parse_args(arguments)


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    # Late: a mistake on the command line is told without loading the ONNX runtime.
    from starlight_exporter.analysis.ablation import streams_named
    from starlight_exporter.analysis.study import study
    from starlight_exporter.publish.ablation_report import ablation_json, ablation_table
    from starlight_exporter.publish.documents.stream_ablation import document

    try:
        streams = streams_named(options.stream)
        request = RunRequest(
            model=model_name(options.model),
            role="research",
            model_path=options.model,
            decision=options.decision,
            dataset=options.dataset.resolve().name,
            dataset_root=options.dataset,
            trigger="command",
            seed=options.seed,
            threads=options.threads,
        )
        with progress_bar("ablating") as progress:
            result = study(request, mode=options.mode, streams=streams, progress=progress)
        write_text(options.output, ablation_json(result))
        write_text(options.document, document(result))
    except StarlightError as error:
        print(f"ablation_study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablation_study: interrupted", file=sys.stderr)
        return 130
    Console().print(ablation_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
