"""Training loop: AdamW, one-cycle learning rate, averaged weights, fixed seed, one log record per epoch."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.files import write_text
from training.data import Examples, batches
from training.network import PRIOR_CORRECTION, ReferenceNetwork
from training.objectives import detection_loss, hardest_negatives, initial_hard_negatives, objective_of
from training.variants import Variant


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters and seed. With the data, they determine the weights."""

    seed: int
    epochs: int
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    method_weight: float = 0.3
    averaging: float = 0.998


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the training log. Validation metrics use the averaged weights.

    Losses and accuracies are computed from the uncorrected logits; false positives and misses are those of the exported
    model under the production rule. `validation_method_accuracy` is None without stego files.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float
    validation_method_accuracy: float | None
    validation_false_positives: int
    validation_misses: int
    learning_rate: float


def train(
    variant: Variant,
    recipe: Recipe,
    training: Examples,
    validation: Examples,
    *,
    progress: Callable[[int, int], None],
    finished_epoch: Callable[[EpochRecord], None],
) -> tuple[ReferenceNetwork, tuple[EpochRecord, ...]]:
    """Train a network; return it in evaluation mode, with its log. `progress` gets finished and total batches."""
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    # No uninitialised memory is read here, and filling it is slow.
    torch.utils.deterministic.fill_uninitialized_memory = False
    generator = np.random.default_rng(recipe.seed)
    network = ReferenceNetwork(variant)
    averaged = copy.deepcopy(network).eval()
    decayed = [p for p in network.parameters() if p.ndim > 1]
    kept = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
    )
    objective = objective_of(variant, recipe.method_weight)
    hard = initial_hard_negatives(variant, training)
    steps = sum(1 for _ in batches(len(training) + len(hard), recipe.batch, np.random.default_rng(0)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=steps * recipe.epochs, pct_start=0.15
    )
    records: list[EpochRecord] = []
    done = 0
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        loss_sum, correct, seen = 0.0, 0, 0
        rate = float(schedule.get_last_lr()[0])
        rows_of_epoch = np.concatenate([np.arange(len(training)), hard])
        for places in batches(len(rows_of_epoch), recipe.batch, generator):
            rows = rows_of_epoch[places]
            batch = training.batch(rows, variant)
            loss, logits = objective(network, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            # The averaging window grows with the number of steps, so that the initial weights are forgotten.
            _average(averaged, network, min(recipe.averaging, (1.0 + done) / (10.0 + done)))
            loss_sum += float(loss.detach()) * len(rows)
            correct += int(((logits > 0) == (batch[1] > 0.5)).sum())
            seen += len(rows)
            progress(done, steps * recipe.epochs)
        record = EpochRecord(
            epoch=epoch,
            train_loss=round(loss_sum / seen, 6),
            train_accuracy=round(correct / seen, 6),
            learning_rate=round(rate, 8),
            **validation_metrics(averaged, validation, recipe),
        )
        records.append(record)
        if len(hard):
            hard = hardest_negatives(predict(averaged, training)[0].numpy(), training.stego, len(hard))
        finished_epoch(record)
    return averaged, tuple(records)


def predict(network: ReferenceNetwork, examples: Examples, *, size: int = 128) -> tuple[Tensor, Tensor]:
    """Return the stego logits (N,), without prior correction, and the method logits (N×5) of all examples."""
    network.eval()
    logits, methods = [], []
    with torch.no_grad():
        for rows in batches(len(examples), size, None):
            stego, method, _ = network.classify(examples.batch(rows, network.variant)[0])
            logits.append(stego[:, 0])
            methods.append(method)
    return torch.cat(logits), torch.cat(methods)


def verdicts(logits: Tensor, methods: Tensor) -> NDArray[np.bool_]:
    """Return the verdicts of the production rule for outputs of `predict`, with prior correction."""
    thresholds = np.array(PRODUCTION.thresholds)[methods.argmax(1).numpy()]
    return np.asarray(torch.sigmoid(logits - PRIOR_CORRECTION).numpy() > thresholds)


def validation_metrics(network: ReferenceNetwork, validation: Examples, recipe: Recipe) -> dict[str, Any]:
    """Return the validation fields of an EpochRecord."""
    logits, methods = predict(network, validation)
    stego = torch.from_numpy(validation.stego).float().unsqueeze(1)
    loss = detection_loss(
        logits.unsqueeze(1), methods, stego, torch.from_numpy(validation.method), recipe.method_weight
    )
    verdict = verdicts(logits, methods)
    is_stego = validation.stego == 1
    named = methods.argmax(1).numpy()[is_stego] == validation.method[is_stego]
    return {
        "validation_loss": round(float(loss), 6),
        "validation_accuracy": round(float(((logits > 0).numpy() == is_stego).mean()), 6),
        "validation_method_accuracy": round(float(named.mean()), 6) if named.size else None,
        "validation_false_positives": int((verdict & ~is_stego).sum()),
        "validation_misses": int((~verdict & is_stego).sum()),
    }


def write_log(path: Path, records: tuple[EpochRecord, ...]) -> None:
    """Write the training log: one JSON object per epoch and line."""
    write_text(path, "".join(json.dumps(asdict(record)) + "\n" for record in records))


def _average(averaged: ReferenceNetwork, network: ReferenceNetwork, keep: float) -> None:
    with torch.no_grad():
        for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1.0 - keep)
        for mean, value in zip(averaged.buffers(), network.buffers(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1.0 - keep)
