# mypy: disable-error-code="misc"
# PyTorch is optional and not type-checked, so its Module is an unknown base class.
"""Reference network: fixed front end that reads bytes, small learned encoders, one fusion head.

All five methods embed text. One shared text reader scores the bytes of each plane, in both bit orders and over several
windows; the other encoders describe the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from starlight_exporter.detector.contract import BIT_ORDER_INPUT, META_BYTES, METHODS
from training.byte_classes import CLASSES
from training.front_end import META_BLOCK, META_CLASSES, META_TAG, STATISTICS, WINDOWS, FrontEnd
from training.variants import EMBEDDING, Variant

PRIOR_CORRECTION = math.log(10.0)
"""Prior correction of the stego logit by Bayes' rule: about half of the training images are stego; the exported model
assumes odds that are ten times lower."""
READER_OUTPUTS = 24
PLANE_WIDTH = 32


class TextReader(nn.Module):
    """Byte statistics (N×P×W×2×classes, N×P×W×STATISTICS) → N×P×`W*READER_OUTPUTS`.

    Takes the maximum over both bit orders per window.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.class_shares = nn.Linear(len(CLASSES), hidden)
        self.statistics = nn.Linear(STATISTICS, hidden)
        self.out = nn.Linear(hidden, READER_OUTPUTS)

    def forward(self, class_shares: Tensor, statistics: Tensor) -> Tensor:
        hidden = torch.relu(self.class_shares(class_shares) + self.statistics(statistics).unsqueeze(3))
        return torch.relu(self.out(hidden)).amax(3).flatten(2)


class PlaneEncoders(nn.Module):
    """N×P×`inputs` → N×`P*width`, with separate weights per plane, as one matrix product."""

    def __init__(self, planes: int, inputs: int, width: int) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, width) for _ in range(planes)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, read: Tensor) -> Tensor:
        return torch.relu(torch.matmul(read.unsqueeze(2), self.weight).squeeze(2) + self.bias).flatten(1)


class MetaEncoder(nn.Module):
    """Class shares per block (N×META_CLASSES×64) and UserComment features (N×META_TAG) → N×`width`."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv1d(META_CLASSES, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1)
        )
        parts = META_BYTES // META_BLOCK // 8
        self.out = nn.Sequential(nn.Linear(channels * (parts + 2) + META_TAG, width), nn.ReLU())

    def forward(self, blocks: Tensor, tag: Tensor) -> Tensor:
        features = torch.relu(self.blocks(blocks))
        places = features.reshape(features.shape[0], features.shape[1], -1, 8).mean(3)
        return self.out(torch.cat([places.flatten(1), features.mean(2), features.amax(2), tag], dim=1))


class PaletteEncoder(nn.Module):
    """Palette bytes (N×768, /255) → N×`width`, independent of the order of the entries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.entries = nn.Sequential(nn.Linear(3, width), nn.ReLU())

    def forward(self, palette: Tensor) -> Tensor:
        return self.entries(palette.reshape(-1, 256, 3)).mean(1)


def _dense(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


class ReferenceNetwork(nn.Module):
    """Inputs of the variant, in order → stego_logits N×1, method_logits N×5, method_probs N×5, embedding N×64."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.front = FrontEnd(variant)
        self.reader = TextReader(variant.reader_width)
        planes = self.front.planes
        self.plane_encoders = PlaneEncoders(len(planes), len(WINDOWS) * READER_OUTPUTS, PLANE_WIDTH)
        self.meta_encoder = MetaEncoder(32, 64)
        factories: dict[str, tuple[Callable[[], nn.Module], int]] = {
            "pixel_tensor": (lambda: nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten()), 128),
            "alpha": (lambda: nn.Sequential(nn.Conv2d(1, 8, 4, stride=4), nn.ReLU(), nn.Flatten()), 128),
            "palette": (lambda: PaletteEncoder(16), 16),
            "format_features": (lambda: _dense(6, 16), 16),
            "content_features": (lambda: _dense(6, 16), 16),
            BIT_ORDER_INPUT: (lambda: nn.Linear(3, 4), 4),
        }
        self.encoders = nn.ModuleDict({name: make() for name, (make, _) in factories.items() if name in variant.inputs})
        total = 64 + PLANE_WIDTH * len(planes) + sum(factories[name][1] for name in self.encoders)
        if self.front.reads_indices:
            self.balance_encoder = _dense(len(WINDOWS) * 16, 32)
            total += 32
        self.fusion = nn.Sequential(nn.Linear(total, 128), nn.ReLU(), nn.Linear(128, EMBEDDING))
        self.stego = nn.Linear(EMBEDDING, 1)
        self.method = nn.Linear(EMBEDDING, len(METHODS))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        given = dict(zip(self.variant.inputs, inputs, strict=True))
        stego, methods, embedding = self.classify(self.front(given))
        return stego - PRIOR_CORRECTION, methods, torch.softmax(methods, dim=1), embedding

    def classify(self, ready: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs of FrontEnd → stego logits without prior correction, method logits, embedding."""
        features = [self.plane_encoders(self.reader(ready["class_shares"], ready["statistics"]))]
        features.append(self.meta_encoder(ready["meta"], ready["comment_tag"]))
        features += [encoder(ready[name]) for name, encoder in self.encoders.items()]
        if self.front.reads_indices:
            features.append(self.balance_encoder(ready["balance"].flatten(1)))
        embedding = self.fusion(torch.cat(features, dim=1))
        shared = torch.relu(embedding)
        return self.stego(shared), self.method(shared), embedding
