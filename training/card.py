"""The model card: `card.yml` for programs, and `README.md` made from it for people. No number is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.model import Detector
from starlight_exporter.formatting import integer, percent, percent_range
from starlight_exporter.models.cards import CARD, read_card

Record = dict[str, Any]

NOTES = "README.md"


def write_card(folder: Path, card: Record) -> None:
    """Writes both forms of the card."""
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120)
    (folder / CARD).write_text(text, encoding="utf-8")
    (folder / NOTES).write_text(notes(card), encoding="utf-8")


def notes(card: Record) -> str:
    """The card as Markdown."""
    parts = [
        f"# Reference model {card['name']}",
        f"{card['title'][0].upper()}{card['title'][1:]}. {card['parameters']:,} parameters, "
        f"{card['size_bytes']:,} bytes, "
        f"SHA-256 `{card['sha256'][:12]}`, trained {card['date']}. This page is made from `{CARD}`.",
        "Inputs: " + ", ".join(f"`{name}`" for name in card["inputs"]) + ".  \n"
        "Outputs: " + ", ".join(f"`{name}`" for name in card["outputs"]) + ".  \n"
        f"Decision rule of all figures below: {card['decision']}.",
        _training(card["training"]),
    ]
    parts += [_measured(record) for record in card.get("measured", [])]
    if card.get("weaknesses"):
        parts.append(_weaknesses(card["weaknesses"]))
    if card.get("latency"):
        parts.append(_latency(card["latency"]))
    if card.get("remarks"):
        parts.append("## Remarks\n\n" + "\n".join(f"- {remark}" for remark in card["remarks"]))
    return "\n\n".join(parts) + "\n"


def quantised(card: Record, detector: Detector, images: int) -> Record:
    """The card of a model that was quantised, from that of the model it was made from: nothing is measured yet."""
    kept = {name: value for name, value in card.items() if name not in ("measured", "weaknesses", "latency", "remarks")}
    return kept | {
        "name": detector.path.parent.name,
        "variant": detector.path.parent.name,
        "title": f"{card['name']} with its text reader and plane encoders in eight bits (static, QDQ)",
        "sha256": detector.sha256,
        "size_bytes": detector.size_bytes,
        "remarks": [
            f"Made from {card['name']} (SHA-256 {card['sha256'][:12]}), whose training log this is; scales taken from "
            f"{images} images of its training data.",
            "The exact front end and the dense layers behind the text reader stay in floats.",
        ],
    }


def write_index(models: Path) -> None:
    """`README.md` of the models folder, from the cards in it."""
    found = [read_card(path.parent) for path in sorted(models.glob(f"*/{CARD}"))]
    (models / NOTES).write_text(index(found), encoding="utf-8")


def index(found: Sequence[Record]) -> str:
    """One line per card, with what the first dataset of its card gave."""
    lines = [
        "# Reference models",
        "",
        "Each folder holds `model.onnx`, its card (`card.yml`, and `README.md` made from it) and the "
        "`training_log.jsonl` that it left. `production/model.onnx` is the current model: the same bytes as `v4`. "
        "This page is made from the cards.",
        "",
        "| Model | What it is | Bytes | False positives | " + " | ".join(METHODS) + " |",
        "|---|---|---:|---:|" + "---:|" * len(METHODS),
    ]
    for card in found:
        measured = (card.get("measured") or [{}])[0]
        rates = [measured.get("false_positives"), *(measured.get("detections", {}).get(m) for m in METHODS)]
        cells = [
            f"{rate['count']:,} of {rate['total']:,}" if rate and rate["total"] else "not measured" for rate in rates
        ]
        lines.append(
            f"| [`{card['name']}`]({card['name']}/{NOTES}) | {card['title']} | {card['size_bytes']:,} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def _training(training: Record) -> str:
    last = training["last_epoch"]
    data = " and ".join(_made(made) for made in training["datasets"])
    return (
        "## Training\n\n"
        f"{training['epochs']} epochs, seed {training['seed']}; {training['images']:,} images "
        f"({data}), validated on {training['validation_images']:,} others "
        f"({_made(training['validation_dataset'])}). Last epoch: training loss {last['train_loss']}, validation loss "
        f"{last['validation_loss']}, validation accuracy {last['validation_accuracy']}. Every epoch is in "
        "`training_log.jsonl`."
    )


def _made(parameters: Record | None) -> str:
    if parameters is None:
        return "own pictures"
    covers = ", own covers" if parameters.get("covers") else ""
    return (
        f"`make_dataset.py --seed {parameters['seed']} --clean {parameters['clean']} --stego {parameters['stego']} "
        f"--negatives {parameters['negatives']}`, generator {parameters['generator']}{covers}"
    )


def _measured(record: Record) -> str:
    source = f" ({_made(record['made_with'])})" if record["made_with"] else ""
    lines = [
        f"## Measured: {record['dataset']}",
        f"{record['images']:,} images{source}, {record['not_measured']} not measured.",
    ]
    rows = [("False positives, all clean images", record["false_positives"])]
    rows += [(f"False positives, clean {name}", value) for name, value in record["false_positives_by_format"].items()]
    rows += [
        (f"False positives, negatives: {name}", value)
        for name, value in record["false_positives_among_negatives"].items()
    ]
    rows += [(f"Detections, {method}", value) for method, value in record["detections"].items()]
    lines.append(_table(rows))
    if record["roc_auc"] is not None:
        lines.append(f"ROC AUC {record['roc_auc']}, log loss {record['log_loss']}.")
    return "\n\n".join(lines)


def _weaknesses(records: list[Record]) -> str:
    lines = [
        "## What it is bad at",
        "Stego files outside of what it was trained for. A low rate here is a weakness, not an error of the "
        "measurement: "
        "the network looks for readable text that begins where the picture or the metadata begins.",
    ]
    rows = [
        (f"{record['probe']}: {method}", value) for record in records for method, value in record["detections"].items()
    ]
    lines.append(_table(rows, heading="Detections"))
    return "\n\n".join(lines)


def _latency(latency: Record) -> str:
    if not latency["images"]:
        return "## Latency\n\nNot measured: no 256×256 image."
    quantiles = ", ".join(f"{name} {value} ms" for name, value in latency["milliseconds"].items())
    stages = ", ".join(f"{name} {value}" for name, value in latency["stage_mean_milliseconds"].items())
    return (
        f"## Latency\n\nFrom a file's bytes to the verdict, one {latency['size']} image at a time, one thread, "
        f"{latency['images']:,} images: {quantiles} (means in ms: {stages}). {latency['machine']}; load average "
        f"{latency['load_before']} before and {latency['load_after']} after: above 1 means that other programs ran "
        "beside it."
    )


def _table(rows: list[tuple[str, Record]], *, heading: str = "Slice") -> str:
    lines = [f"| {heading} | count | of | rate | 95% CI |", "|---|---:|---:|---:|---|"]
    for name, value in rows:
        if not value["total"]:
            lines.append(f"| {name} | – | 0 | not measured | |")
            continue
        interval = percent_range(value["lower"], value["upper"])
        lines.append(
            f"| {name} | {integer(value['count'])} | {integer(value['total'])} | {percent(value['ratio'])} "
            f"| {interval} |"
        )
    return "\n".join(lines)
