"""Train a model, export it, measure it, and write its training log and card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.progress import Progress

from starlight_exporter.dataset import layout
from starlight_exporter.dataset.labelled_files import find_labelled_files
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import ModelError, StorageError
from starlight_exporter.files import write_text
from starlight_exporter.models.cards import CARD, read_card
from starlight_exporter.models.training_files import MANIFEST_NAME, manifest_text
from training import card as cards
from training.data import Examples, join, load_examples
from training.export import export
from training.fit import EpochRecord, Recipe, train, write_log
from training.measure import (
    TitledDataset,
    generator_parameters,
    measure_dataset,
    measure_probes,
    measure_single_image_latency,
)
from training.network import ReferenceNetwork
from training.variants import OUTPUTS, VARIANTS, VariantName

MODEL, LOG = "model.onnx", "training_log.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Options of one run; `measure` contains titles and folders of datasets for the card."""

    variant: VariantName
    out: Path
    train_datasets: tuple[Path, ...]
    validation_dataset: Path | None
    epochs: int
    seed: int
    threads: int
    measure: tuple[tuple[str, Path], ...]
    remarks: tuple[str, ...]
    measure_only: bool
    cache: Path | None


def run(job: Job, bar: Progress, report: Callable[[str], object]) -> None:
    """Run the job. `report` is called with one line per epoch and per measured dataset. Raise StarlightError."""
    torch.set_num_threads(job.threads)
    for _, root in job.measure:
        # An unusable folder must not be noticed only after hours of training.
        find_labelled_files(root)
    if job.measure_only:
        card = read_card(job.out)
        if card.get("sha256") != Detector.load(job.out / MODEL).sha256:
            raise ModelError(f"{job.out / CARD}: describes another model than {MODEL} next to it", reason="changed")
    else:
        card = _train(job, bar, report)
    if job.remarks:
        card["remarks"] = list(job.remarks)
    if job.measure:
        _measure(job, card, bar, report)
    cards.write_card(job.out, card)
    cards.write_index(job.out.parent)


def _train(job: Job, bar: Progress, report: Callable[[str], object]) -> cards.Record:
    assert job.validation_dataset is not None
    training = join([_load(root, job.cache, bar) for root in job.train_datasets])
    validation = _load(job.validation_dataset, job.cache, bar)
    task = bar.add_task(f"training {job.variant}", total=None)
    records: list[EpochRecord] = []

    def finished(record: EpochRecord) -> None:
        records.append(record)
        report(
            f"epoch {record.epoch}: loss {record.train_loss:.4f}, validation loss {record.validation_loss:.4f}, "
            f"accuracy "
            f"{record.validation_accuracy:.4f}, {record.validation_false_positives} false positives, "
            f"{record.validation_misses} misses"
        )

    recipe = Recipe(seed=job.seed, epochs=job.epochs)
    network, log = train(
        VARIANTS[job.variant],
        recipe,
        training,
        validation,
        progress=lambda done, total: bar.update(task, completed=done, total=total),
        finished_epoch=finished,
    )
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        export(network, job.out / MODEL)
        write_log(job.out / LOG, log)
        files = [file for root in job.train_datasets for file in layout.scan(root.name, root).files]
        shared_manifest = write_manifest(job.out, manifest_text(files))
    except OSError as error:
        raise StorageError(f"{job.out}: cannot be written: {error.strerror or error}") from error
    card = _first_card(job, recipe, network, (training, validation), log)
    return card if shared_manifest is None else card | {"training_files": shared_manifest}


def write_manifest(folder: Path, text: str) -> str | None:
    """Write the manifest of a model folder, or return the relative path of a shared one with the same content.

    The shared manifest is in the parent folder. It saves a copy for each model that was trained on the same files.
    """
    own, shared = folder / MANIFEST_NAME, folder.parent / MANIFEST_NAME
    if shared.exists() and shared.read_text(encoding="ascii") == text:
        own.unlink(missing_ok=True)
        return f"../{MANIFEST_NAME}"
    write_text(own, text)
    return None


def _load(root: Path, cache: Path | None, bar: Progress) -> Examples:
    task = bar.add_task(f"decoding {root.name}", total=None)
    return load_examples(root, cache=cache, progress=lambda done, total: bar.update(task, completed=done, total=total))


def _first_card(
    job: Job,
    recipe: Recipe,
    network: ReferenceNetwork,
    data: tuple[Examples, Examples],
    log: tuple[EpochRecord, ...],
) -> cards.Record:
    assert job.validation_dataset is not None
    variant = VARIANTS[job.variant]
    detector = Detector.load(job.out / MODEL)
    training, validation = data
    return {
        "name": job.out.name,
        "variant": job.variant,
        "title": variant.title,
        "file": MODEL,
        "sha256": detector.sha256,
        "size_bytes": detector.size_bytes,
        "parameters": sum(value.numel() for value in network.parameters()),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "inputs": list(variant.inputs),
        "streams": list(variant.streams),
        "outputs": list(OUTPUTS),
        "decision": PRODUCTION.describe(),
        "training": {
            "datasets": [generator_parameters(root) for root in job.train_datasets],
            "dataset_fingerprints": training.fingerprint.split("+"),
            "images": len(training),
            "validation_dataset": generator_parameters(job.validation_dataset),
            "validation_dataset_fingerprint": validation.fingerprint,
            "validation_images": len(validation),
            **asdict(recipe),
            "threads": job.threads,
            "torch": str(torch.__version__),
            "log": LOG,
            "last_epoch": asdict(log[-1]),
        },
    }


def _measure(job: Job, card: cards.Record, bar: Progress, report: Callable[[str], object]) -> None:
    model = job.out / MODEL
    # Before the bulk evaluations, which increase the load.
    card["latency"] = measure_single_image_latency(model, job.measure[0][1])
    measured = []
    for title, root in job.measure:
        task = bar.add_task(f"measuring: {title}", total=None)

        def show(done: int, total: int, task: object = task) -> None:
            bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

        record = measure_dataset(model, TitledDataset(title, root), show)
        measured.append(record)
        clean = record["false_positives"]
        found = ", ".join(f"{m} {p['count']}/{p['total']}" for m, p in record["detections"].items() if p["total"])
        report(
            f"{title}: {clean['count']} false positives among {clean['total']} clean images; "
            f"{found or 'no stego files'}"
        )
    card["measured"] = measured
    card["weaknesses"] = measure_probes(model)
