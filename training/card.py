"""Model card: `card.yml`, and `README.md` generated from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.model import Detector
from starlight_exporter.files import write_text
from starlight_exporter.formatting import integer, percent, percent_range
from starlight_exporter.models.cards import CARD, read_card

Record = dict[str, Any]

README = "README.md"


def write_card(folder: Path, card: Record) -> None:
    """Write `card.yml` and `README.md`."""
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120)
    write_text(folder / CARD, text)
    write_text(folder / README, card_markdown(card))


def card_markdown(card: Record) -> str:
    """Return the card as Markdown."""
    parts = [
        f"# Reference model {card['name']}",
        f"{card['title'][0].upper()}{card['title'][1:]}. {card['parameters']:,} parameters, "
        f"{card['size_bytes']:,} bytes, "
        f"SHA-256 `{card['sha256'][:12]}`, trained {card['date']}. Generated from `{CARD}`.",
        "Inputs: " + ", ".join(f"`{name}`" for name in card["inputs"]) + ".  \n"
        "Outputs: " + ", ".join(f"`{name}`" for name in card["outputs"]) + ".  \n"
        f"Decision rule of all results: {card['decision']}.",
        _training(card["training"]),
    ]
    parts += [_measured(record) for record in card.get("measured", [])]
    if card.get("weaknesses"):
        parts.append(_weaknesses(card["weaknesses"]))
    if card.get("latency"):
        parts.append(_latency(card["latency"]))
    if card.get("remarks"):
        parts.append("## Notes\n\n" + "\n".join(f"- {remark}" for remark in card["remarks"]))
    return "\n\n".join(parts) + "\n"


def quantised_card(card: Record, detector: Detector, images: int) -> Record:
    """Return the card of a quantised model, derived from the card of its source. It contains no measurements yet."""
    kept = {name: value for name, value in card.items() if name not in ("measured", "weaknesses", "latency", "remarks")}
    return kept | {
        "name": detector.path.parent.name,
        "variant": detector.path.parent.name,
        "title": f"{card['name']} with text reader and plane encoders quantised to eight bits (static, QDQ)",
        "sha256": detector.sha256,
        "size_bytes": detector.size_bytes,
        "remarks": [
            f"Quantised from {card['name']} (SHA-256 {card['sha256'][:12]}), with its training log; scales calibrated "
            f"on {images} images of its training data.",
            "The exact front end and the dense layers after the text reader stay in float32.",
        ],
    }


def write_index(models: Path) -> None:
    """Write `README.md` of the models folder."""
    found = [read_card(path.parent) for path in sorted(models.glob(f"*/{CARD}"))]
    write_text(models / README, index_markdown(found))


def index_markdown(found: Sequence[Record]) -> str:
    """Return Markdown tables with one row per card: results on the first dataset of the card, then on every dataset."""
    lines = [
        "# Reference models",
        "",
        "Each folder contains `model.onnx`, its card (`card.yml`, and `README.md` generated from it) and its "
        "`training_log.jsonl`. `training_files.sha256` is the manifest of the files that the models were trained on. "
        "`production/model.onnx` is the deployed model and `baseline/model.onnx` the accepted one; both are "
        "copies of `v4`. This page is generated from the cards.",
        "",
        f"Results on {_conditions(found)}. They do not apply to other payloads, sizes and sources:",
        "",
        "| Model | Description | Bytes | False positives | " + " | ".join(METHODS) + " |",
        "|---|---|---:|---:|" + "---:|" * len(METHODS),
    ]
    for card in found:
        measured = (card.get("measured") or [{}])[0]
        rates = [measured.get("false_positives"), *(measured.get("detections", {}).get(m) for m in METHODS)]
        cells = [
            f"{rate['count']:,} of {rate['total']:,}" if rate and rate["total"] else "not measured" for rate in rates
        ]
        lines.append(
            f"| [`{card['name']}`]({card['name']}/{README}) | {card['title']} | {card['size_bytes']:,} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join([*lines, "", *_failures(found)]) + "\n"


def _conditions(found: Sequence[Record]) -> str:
    first = next(iter(found), {}).get("measured") or [{}]
    return f"{first[0].get('dataset', 'no dataset')}: readable texts of at least 120 bytes that reach the centre crop"


def _failures(found: Sequence[Record]) -> list[str]:
    """Return the section with the results on all datasets of the cards."""
    lines = [
        "## Where the models fail",
        "",
        "The models read text that is stored in the usual order. They do not detect random or compressed contents, "
        "messages of fewer than 64 bytes (with few exceptions), and messages in pixels outside of the centre crop; "
        "`v3` also misses most text in palettes. Counts by payload, content, size and source are in "
        "[benchmarks/breakdowns.md](../benchmarks/breakdowns.md).",
        "",
        "Detections of all methods, and false positives among clean files and hard negatives, on every dataset of the "
        "cards; the cards have 95% confidence intervals of every rate. [docs/datasets.md](../docs/datasets.md) "
        "describes the datasets and what rates on `adversarial` mean. Which pairs of models differ on which dataset "
        "and metric, with tests, is in [benchmarks/study/study.md](../benchmarks/study/study.md).",
        "",
    ]
    titles = list(dict.fromkeys(record["dataset"] for card in found for record in card.get("measured", [])))
    lines += ["| Dataset | Result | " + " | ".join(f"`{card['name']}`" for card in found) + " |"]
    lines += ["|---|---|" + "---:|" * len(found)]
    for title in titles:
        for name, select in (
            ("detections", _all_detections),
            ("false positives", lambda one: one["false_positives"]),
            ("false positives, hard negatives", _all_negatives),
        ):
            cells = []
            for card in found:
                records = [record for record in card.get("measured", []) if record["dataset"] == title]
                value = select(records[0]) if records else {"total": 0}
                cells.append(
                    f"{integer(value['count'])} of {integer(value['total'])}" if value["total"] else "not measured"
                )
            lines.append(f"| {title} | {name} | " + " | ".join(cells) + " |")
    return lines


def _all_detections(record: Record) -> Record:
    parts = record["detections"].values()
    return {"count": sum(part["count"] for part in parts), "total": sum(part["total"] for part in parts)}


def _all_negatives(record: Record) -> Record:
    parts = record["false_positives_among_negatives"].values()
    return {"count": sum(part["count"] for part in parts), "total": sum(part["total"] for part in parts)}


def _training(training: Record) -> str:
    last = training["last_epoch"]
    data = " and ".join(_generator_command(parameters) for parameters in training["datasets"])
    return (
        "## Training\n\n"
        f"{training['epochs']} epochs, seed {training['seed']}; {training['images']:,} images "
        f"({data}), validated on {training['validation_images']:,} others "
        f"({_generator_command(training['validation_dataset'])}). "
        f"Last epoch: training loss {last['train_loss']}, "
        f"validation loss {last['validation_loss']}, validation accuracy {last['validation_accuracy']}. "
        "Every epoch is in `training_log.jsonl`."
    )


def _generator_command(parameters: Record | None) -> str:
    if parameters is None:
        return "own images"
    covers = ", own covers" if parameters.get("covers") else ""
    if "recipe" in parameters:
        seed = f" --seed {parameters['seed']}" if "seed" in parameters else ""
        return f"`make_dataset.py --recipe {parameters['recipe']}{seed}`, generator {parameters['generator']}{covers}"
    return (
        f"`make_dataset.py --seed {parameters['seed']} --clean {parameters['clean']} --stego {parameters['stego']} "
        f"--negatives {parameters['negatives']}`, generator {parameters['generator']}{covers}"
    )


def _measured(record: Record) -> str:
    source = f" ({_generator_command(record['made_with'])})" if record["made_with"] else ""
    lines = [
        f"## Results: {record['dataset']}",
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
        "## Known limitations",
        "Detection rates on stego files unlike the training data. The network detects readable text that starts at "
        "the first pixel or byte.",
    ]
    rows = [
        (f"{record['probe']}: {method}", value) for record in records for method, value in record["detections"].items()
    ]
    lines.append(_table(rows, heading="Probe"))
    return "\n\n".join(lines)


def _latency(latency: Record) -> str:
    if not latency["images"]:
        return "## Latency\n\nNot measured: no 256×256 image."
    quantiles = ", ".join(f"{name} {value} ms" for name, value in latency["milliseconds"].items())
    stages = ", ".join(f"{name} {value}" for name, value in latency["stage_mean_milliseconds"].items())
    return (
        f"## Latency\n\nFrom file to verdict, one {latency['size']} image at a time, one thread, "
        f"{latency['images']:,} images: {quantiles} (means in ms: {stages}). {latency['machine']}; load average "
        f"{latency['load_before']} before and {latency['load_after']} after; above 1, other programs were running."
    )


def _table(rows: list[tuple[str, Record]], *, heading: str = "Slice") -> str:
    lines = [f"| {heading} | Count | Total | Rate | 95% CI |", "|---|---:|---:|---:|---|"]
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
