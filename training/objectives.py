"""Training objectives: verdict and method, and the additional losses of the research variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data import Examples
from training.network import ReferenceNetwork
from training.variants import Objective, Variant

Batch = tuple[dict[str, Tensor], Tensor, Tensor]
"""Front-end tensors by name, stego (N×1 floats), method (N class ids or −1)."""
LossFunction = Callable[[ReferenceNetwork, Batch], tuple[Tensor, Tensor]]
"""Network and batch → loss, and stego logits (N×1, without gradient) of the unmodified images."""

TRIPLET_WEIGHT: Final = 0.5
TRIPLET_MARGIN: Final = 0.4
ADVERSARIAL_STEP: Final = 0.03
"""Step size for each front-end value; shares and their roots are between 0 and 1."""
ATTACKED: Final[tuple[str, ...]] = ("class_shares", "statistics", "balance", "meta")
HARD_SHARE: Final = 0.1
"""Share of the non-stego images that are repeated in the next epoch as hard negatives."""


def objective_of(variant: Variant, method_weight: float) -> LossFunction:
    """Return the loss function of a variant."""

    def plain(network: ReferenceNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        ready, stego, method = batch
        logits, methods, _ = network.classify(ready)
        return detection_loss(logits, methods, stego, method, method_weight), logits.detach()

    def triplet(network: ReferenceNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        ready, stego, method = batch
        logits, methods, embedding = network.classify(ready)
        loss = detection_loss(logits, methods, stego, method, method_weight)
        return loss + TRIPLET_WEIGHT * triplet_loss(embedding, method, TRIPLET_MARGIN), logits.detach()

    def adversarial(network: ReferenceNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        _, stego, method = batch
        loss, logits = plain(network, batch)
        attacked = fgsm_attack(network, batch, method_weight)
        hit, methods, _ = network.classify(attacked)
        return 0.5 * (loss + detection_loss(hit, methods, stego, method, method_weight)), logits

    losses: dict[Objective, LossFunction] = {"verdict": plain, "triplet": triplet, "adversarial": adversarial}
    return losses[variant.objective]


def detection_loss(logits: Tensor, methods: Tensor, stego: Tensor, method: Tensor, method_weight: float) -> Tensor:
    """Return the binary cross-entropy of all images plus the weighted cross-entropy of the method of stego images."""
    binary = nn.functional.binary_cross_entropy_with_logits(logits, stego)
    labelled = method >= 0
    # A weighted sum has a deterministic gradient on all devices, unlike row selection.
    per_image = nn.functional.cross_entropy(methods, method.clamp(min=0), reduction="none")
    named = (per_image * labelled).sum() / labelled.sum().clamp(min=1)
    return binary + method_weight * named


def triplet_loss(embedding: Tensor, label: Tensor, margin: float) -> Tensor:
    """Return the batch-hard triplet loss (Hermans et al. 2017) over cosine distances of N×64 embeddings.

    The farthest image of the same class should be closer than the nearest image of another class, by `margin`. `label`
    contains N class indices. Images without another one of their class are ignored; a batch of one class has loss 0.
    """
    direction = nn.functional.normalize(embedding, dim=1)
    distance = 1.0 - direction @ direction.T
    same = label.unsqueeze(0) == label.unsqueeze(1)
    others = same & ~torch.eye(len(label), dtype=torch.bool)
    farthest = (distance * others).amax(1)
    nearest = (distance + 4.0 * same).amin(1)
    counts = (others.any(1) & (~same).any(1)).float()
    return (torch.relu(farthest - nearest + margin) * counts).sum() / counts.sum().clamp(min=1.0)


def fgsm_attack(network: ReferenceNetwork, batch: Batch, method_weight: float) -> dict[str, Tensor]:
    """Return the batch after one step of the fast gradient sign method (Goodfellow et al. 2015).

    The step changes the front-end outputs, not the pixels, because the front end has no useful gradient.
    """
    ready, stego, method = batch
    moved: dict[str, Tensor] = {name: ready[name].clone().requires_grad_() for name in ATTACKED if name in ready}
    logits, methods, _ = network.classify({**ready, **moved})
    gradients = torch.autograd.grad(detection_loss(logits, methods, stego, method, method_weight), list(moved.values()))
    attacked: dict[str, Tensor] = {
        name: (value + ADVERSARIAL_STEP * gradient.sign()).detach()
        for (name, value), gradient in zip(moved.items(), gradients, strict=True)
    }
    return {**ready, **attacked}


def initial_hard_negatives(variant: Variant, training: Examples) -> NDArray[np.int64]:
    """Return the rows to repeat in the first epoch, before hard negatives are known; none for other objectives."""
    negatives = np.flatnonzero(training.stego == 0)
    return negatives[: int(HARD_SHARE * len(negatives))] if variant.objective == "adversarial" else negatives[:0]


def hardest_negatives(logits: NDArray[np.float32], stego: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the `count` non-stego rows with the highest logits."""
    negatives = np.flatnonzero(stego == 0)
    return negatives[np.argsort(-logits[negatives], kind="stable")[:count]]
