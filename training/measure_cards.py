"""Measure the models of a folder on more datasets, and write the results into their cards. Needs no PyTorch.

    PYTHONPATH=exporter:. .venv/bin/python -m training.measure_cards --measure "payloads=datasets/payloads"

A result replaces an earlier one with the same title.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from starlight_exporter.models.cards import CARD, read_card
from training.card import write_card, write_index
from training.measure import TitledDataset, measure_dataset

MODELS: Final = Path(__file__).resolve().parent.parent / "models"


def main() -> int:
    """Measure every model with a card on every dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measure", metavar="TITLE=DIR", action="append", required=True, help="title and folder of a dataset"
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the models (default: models)")
    options = parser.parse_args()
    for card_file in sorted(options.models.glob(f"*/{CARD}")):
        folder = card_file.parent
        card = read_card(folder)
        for text in options.measure:
            title, _, root = text.partition("=")
            record = measure_dataset(
                folder / card["file"], TitledDataset(title, Path(root)), lambda _done, _total: None
            )
            card["measured"] = [*(one for one in card["measured"] if one["dataset"] != title), record]
            print(folder.name, title, record["false_positives"], record["detections"], flush=True)
        write_card(folder, card)
    write_index(options.models)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
