"""Quantise a trained reference model statically to eight bits and write the card of the result.

Needs the `onnx` package (in the `train` and `test` extras) but no PyTorch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from starlight_exporter.cli.arguments import integer
from starlight_exporter.errors import ConfigError
from starlight_exporter.exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("--model", type=Path, required=True, help="folder of the model to quantise, such as models/v4")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result, such as models/v4_int8")
    parser.add_argument("--calibration", type=Path, required=True, help="dataset for the calibration of the scales")
    parser.add_argument("--images", type=integer(1), default=200, help="number of calibration images (default: 200)")


def run(options: argparse.Namespace) -> int:
    """Quantise, copy training log and manifest, write card and index."""
    try:
        from training import card as cards
        from training.quantise import quantise
    except ModuleNotFoundError as error:
        raise ConfigError(f'{error.name} is not installed: pip install -e ".[train]"') from error
    from starlight_exporter.detector.model import Detector
    from starlight_exporter.models.cards import read_card

    card = read_card(options.model)
    count = quantise(
        options.model / card["file"], options.out / card["file"], options.calibration, images=options.images
    )
    shutil.copyfile(options.model / card["training"]["log"], options.out / card["training"]["log"])
    card = keep_manifest(card, options.model, options.out)
    cards.write_card(options.out, cards.quantised_card(card, Detector.load(options.out / card["file"]), count))
    cards.write_index(options.out.parent)
    print(f"{options.out / card['file']}: calibrated on {count} images", file=sys.stderr)
    return OK


def keep_manifest(card: dict[str, Any], source: Path, out: Path) -> dict[str, Any]:
    """Copy the manifest of the source model to the quantised one, unless its card names the same shared file.

    Return the card of the quantised model.
    """
    from starlight_exporter.models.training_files import MANIFEST_NAME

    manifest, shared = (folder / card.get("training_files", MANIFEST_NAME) for folder in (source, out))
    if shared.exists() and shared.samefile(manifest):
        return card
    shutil.copyfile(manifest, out / MANIFEST_NAME)
    return {key: value for key, value in card.items() if key != "training_files"}
