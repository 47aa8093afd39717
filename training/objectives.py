"""What a network is trained for: the verdict and the method alone, or a further aim of a research variant."""

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
LossOf = Callable[[ReferenceNetwork, Batch], tuple[Tensor, Tensor]]
"""A network and a batch → the loss to go down, and the stego logits (N×1, no gradient) of the images as they are."""

TRIPLET_WEIGHT: Final = 0.5
TRIPLET_MARGIN: Final = 0.4
ADVERSARIAL_STEP: Final = 0.03
"""How far each number of the front end's moves; shares and their roots run from 0 to 1."""
ATTACKED: Final[tuple[str, ...]] = ("kinds", "habits", "balance", "meta")
HARD_SHARE: Final = 0.1
"""Hard negatives that are shown once more, per image without a text."""


def objective_of(variant: Variant, method_weight: float) -> LossOf:
    """The loss of a variant."""

    def plain(network: ReferenceNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        ready, stego, method = batch
        logits, methods, _ = network.learned(ready)
        return loss_of(logits, methods, stego, method, method_weight), logits.detach()

    def triplet(network: ReferenceNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        ready, stego, method = batch
        logits, methods, embedding = network.learned(ready)
        loss = loss_of(logits, methods, stego, method, method_weight)
        return loss + TRIPLET_WEIGHT * triplet_loss(embedding, method, TRIPLET_MARGIN), logits.detach()

    def adversarial(network: ReferenceNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        _, stego, method = batch
        loss, logits = plain(network, batch)
        attacked = attack(network, batch, method_weight)
        hit, methods, _ = network.learned(attacked)
        return 0.5 * (loss + loss_of(hit, methods, stego, method, method_weight)), logits

    losses: dict[Objective, LossOf] = {"verdict": plain, "triplet": triplet, "adversarial": adversarial}
    return losses[variant.objective]


def loss_of(logits: Tensor, methods: Tensor, stego: Tensor, method: Tensor, method_weight: float) -> Tensor:
    """Binary cross-entropy over all images, plus the cross-entropy of the method over stego images."""
    binary = nn.functional.binary_cross_entropy_with_logits(logits, stego)
    labelled = method >= 0
    # Selecting rows has no deterministic gradient everywhere; a weighted sum has.
    per_image = nn.functional.cross_entropy(methods, method.clamp(min=0), reduction="none")
    named = (per_image * labelled).sum() / labelled.sum().clamp(min=1)
    return binary + method_weight * named


def triplet_loss(embedding: Tensor, kind: Tensor, margin: float) -> Tensor:
    """Batch-hard triplet loss (Hermans et al. 2017) over cosine distances of N×64 embeddings; `kind`: N class ids.

    Each image is to be nearer to the farthest image of its kind than to the nearest of another, by `margin`. Images
    that have no other of their kind in the batch count nothing; a batch of one kind has loss 0.
    """
    direction = nn.functional.normalize(embedding, dim=1)
    distance = 1.0 - direction @ direction.T
    same = kind.unsqueeze(0) == kind.unsqueeze(1)
    others = same & ~torch.eye(len(kind), dtype=torch.bool)
    farthest = (distance * others).amax(1)
    nearest = (distance + 4.0 * same).amin(1)
    counts = (others.any(1) & (~same).any(1)).float()
    return (torch.relu(farthest - nearest + margin) * counts).sum() / counts.sum().clamp(min=1.0)


def attack(network: ReferenceNetwork, batch: Batch, method_weight: float) -> dict[str, Tensor]:
    """The batch as one step of the fast gradient sign method (Goodfellow et al. 2015) makes it worse for the network.

    What the learned layers get is moved, not pixels: no change of pixels reaches them otherwise than through counts.
    """
    ready, stego, method = batch
    moved: dict[str, Tensor] = {name: ready[name].clone().requires_grad_() for name in ATTACKED if name in ready}
    logits, methods, _ = network.learned({**ready, **moved})
    gradients = torch.autograd.grad(loss_of(logits, methods, stego, method, method_weight), list(moved.values()))
    attacked: dict[str, Tensor] = {
        name: (value + ADVERSARIAL_STEP * gradient.sign()).detach()
        for (name, value), gradient in zip(moved.items(), gradients, strict=True)
    }
    return {**ready, **attacked}


def first_hard_negatives(variant: Variant, training: Examples) -> NDArray[np.int64]:
    """Rows to show once more in the first epoch, before any are known to be hard: none, or some without a text."""
    without = np.flatnonzero(training.stego == 0)
    return without[: int(HARD_SHARE * len(without))] if variant.objective == "adversarial" else without[:0]


def hardest(logits: NDArray[np.float32], stego: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The `count` rows without a text that look most like stego."""
    without = np.flatnonzero(stego == 0)
    return without[np.argsort(-logits[without], kind="stable")[:count]]
