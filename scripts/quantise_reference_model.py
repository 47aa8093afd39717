#!/usr/bin/env python3
"""Quantises a finished reference model statically to eight bits, and writes the card of the result.

Needs the `onnx` package (in the `train` and `test` extras), no PyTorch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import StarlightError
from starlight_exporter.models.training_files import MANIFEST_NAME


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of the model to quantise, such as models/v4")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result, such as models/v4_int8")
    parser.add_argument("--calibration", type=Path, required=True, help="dataset that the scales are taken from")
    parser.add_argument("--images", type=int, default=200, help="how many of its images (default: 200)")
    options = parser.parse_args(arguments)
    if options.images < 1:
        parser.error("--images must be at least 1")
    return options


def main() -> int:
    """Exit code 0: model and card are written; 2: a mistake, told in one line."""
    options = parse()
    try:
        from starlight_exporter.models.cards import read_card
        from training import card as cards
        from training.quantise import quantise
    except ModuleNotFoundError as error:
        print(f'quantise_reference_model: {error.name} is not installed: pip install -e ".[train]"', file=sys.stderr)
        return 2
    try:
        card = read_card(options.model)
        count = quantise(
            options.model / card["file"], options.out / card["file"], options.calibration, images=options.images
        )
        for name in (card["training"]["log"], MANIFEST_NAME):
            shutil.copyfile(options.model / name, options.out / name)
        cards.write_card(options.out, cards.quantised(card, Detector.load(options.out / card["file"]), count))
        cards.write_index(options.out.parent)
    except StarlightError as error:
        print(f"quantise_reference_model: {error}", file=sys.stderr)
        return 2
    print(f"{options.out / card['file']}: calibrated on {count} images", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
