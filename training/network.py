# mypy: disable-error-code="misc"
# PyTorch is not looked into (it is optional), so its Module is an unknown base class.
"""The reference network: one small encoder per input, one branch that reads palette indices, one fusion head.

Hidden text is what all five methods have in common: seven-bit characters in a plane of lowest bits (eight pixels of an
RGB plane hold exactly three bytes, eight of a single plane one byte) or in the metadata bytes. So planes are read in
patches along rows, never in two-dimensional neighbourhoods.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exporter.detector.contract import BIT_ORDER_INPUT, CROP, METHODS
from training.variants import EMBEDDING, Variant

PATCH = 32
POOLED = 4

# A linear hash of a colour into a table that is large enough for 256 colours to rarely meet, and small enough to be
# cheap. Its whole numbers stay below 2**24, hence they are the same in every runtime once rounded.
HASH_WEIGHTS = (25.0, 29.0, 459.0)
HASH_SLOTS = 131_072
NO_ENTRY = 256.0


class TextDetector(nn.Module):
    """A plane of bits as ±1, 0 where there is none (N×C×256×256) → N×512×`2*channels`: what each 128 pixels look like.

    Patches are 32 pixels of one row: three whole bytes (eleven of an RGB plane), wherever in the patch a byte starts.
    """

    def __init__(self, planes: int, channels: int) -> None:
        super().__init__()
        self.planes = planes
        self.count = CROP * CROP // PATCH
        self.patches = nn.Linear(PATCH * planes, channels)
        self.segments = nn.Sequential(nn.Linear(2 * channels, 2 * channels), nn.ReLU())

    def forward(self, plane: Tensor) -> Tensor:
        patches = plane.reshape(-1, self.planes, self.count, PATCH)
        if self.planes > 1:
            patches = patches.transpose(1, 2)
        hidden = torch.relu(self.patches(patches.reshape(-1, self.count, self.planes * PATCH)))
        groups = hidden.reshape(-1, self.count // POOLED, POOLED, hidden.shape[2])
        # Text repeats some bits of every byte, patterns repeat all: the mean alone could not tell them apart.
        return self.segments(torch.cat([groups.mean(2), groups.amax(2)], dim=2))


class PlaneSummary(nn.Module):
    """Segments of a plane (N×512×C) → N×`width`: the best segment, the best four rows, and the mean."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Sequential(nn.Linear(features, features), nn.ReLU())
        self.out = nn.Sequential(nn.Linear(3 * features, width), nn.ReLU())

    def forward(self, segments: Tensor) -> Tensor:
        rows = self.rows(segments.reshape(-1, segments.shape[1] // 8, 8, segments.shape[2]).mean(2))
        return self.out(torch.cat([segments.amax(1), rows.amax(1), rows.mean(1)], dim=1))


class PlaneEncoder(nn.Module):
    """A plane of bits as 0 and 1 (N×C×256×256) → N×`width`."""

    def __init__(self, planes: int, channels: int, width: int) -> None:
        super().__init__()
        self.text = TextDetector(planes, channels)
        self.summary = PlaneSummary(2 * channels, width)
        with torch.no_grad():
            # As if the bits were −1 and 1; computing that for every pixel would cost more than the layer does.
            weight = self.text.patches.weight
            self.text.patches.bias.sub_(weight.sum(1))
            weight.mul_(2.0)

    def forward(self, plane: Tensor) -> Tensor:
        return self.summary(self.text(plane))


class CoarseAlpha(nn.Module):
    """Every eighth alpha value of every eighth row: N×1×32×32 → N×`width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, width), nn.ReLU()
        )

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


class PixelEncoder(nn.Module):
    """Coarse look of the picture, every fourth pixel of every fourth row: N×3×64×64 → N×`width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU())
        self.out = nn.Sequential(nn.Linear(64, width), nn.ReLU())

    def forward(self, pixel: Tensor) -> Tensor:
        features = self.layers(pixel)
        return self.out(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1))


class IndexParity(nn.Module):
    """Pixels and palette → the lowest bit of each pixel's palette index, as −1 (even), +1 (odd), 0 (no such colour).

    Nothing is learned: palette colours go into a hash table, pixels look themselves up. Where a colour stands twice in
    the palette, its first place counts, so the zero padding behind a short palette does not disturb black.
    """

    weights: Tensor
    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([HASH_WEIGHTS]) * 255.0, persistent=False)
        self.register_buffer("places", torch.arange(256.0).reshape(1, 256), persistent=False)

    def forward(self, pixel: Tensor, palette: Tensor) -> Tensor:
        batch = palette.shape[0]
        slots = self._slots(palette.reshape(-1, 256, 3).transpose(1, 2))
        pixel_slots = self._slots(pixel.reshape(-1, 3, CROP * CROP))
        places = torch.full((batch, HASH_SLOTS), NO_ENTRY).scatter_reduce(
            1, slots, self.places.expand(batch, 256), reduce="amin"
        )
        half = torch.gather(places, 1, slots) * 0.5
        has_palette = (palette.amax(1, keepdim=True) > 0.0).to(pixel.dtype)
        signs = (4.0 * (half - torch.floor(half)) - 1.0) * has_palette
        # Entries of one colour now carry one sign, so the order in which they are written does not matter.
        table = torch.zeros((batch, HASH_SLOTS)).scatter(1, slots, signs)
        return torch.gather(table, 1, pixel_slots).reshape(-1, 1, CROP, CROP)

    def _slots(self, colours: Tensor) -> Tensor:
        """N×3×K colours /255 → N×K slots."""
        return (torch.matmul(self.weights, colours) + 0.5).to(torch.int64).squeeze(1)


class MetaEncoder(nn.Module):
    """Metadata bytes (N×2048, /255) → N×`width`: their bits, what kind each is, then wide kernels along the bytes.

    The first kernel spans twelve bytes at even places: one whole entry of an EXIF directory.
    """

    powers: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("powers", 0.5 ** torch.arange(1.0, 9.0).reshape(1, 8, 1), persistent=False)
        self.layers = nn.Sequential(
            nn.Conv1d(8, 16, 1),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Conv1d(16, 32, 12, stride=2, padding=5),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Conv1d(32, 32, 8, stride=4, padding=2),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Conv1d(32, 48, 5, stride=2, padding=2),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.Conv1d(48, 48, 5, padding=4, dilation=2),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.Conv1d(48, 48, 5, padding=8, dilation=4),
            nn.BatchNorm1d(48),
            nn.ReLU(),
        )
        self.out = nn.Sequential(nn.Linear(48 * 10, width), nn.ReLU())

    def forward(self, meta: Tensor) -> Tensor:
        # Bit k of a byte b is whether the fraction of b / 2**(k+1) is at least a half.
        shares = torch.floor(meta * 255.0 + 0.5).unsqueeze(1) * self.powers
        bits = torch.floor((shares - torch.floor(shares)) * 2.0)
        features = self.layers(bits * 2.0 - 1.0)
        places = features.reshape(-1, 48, 8, 16).mean(3).flatten(1)
        return self.out(torch.cat([places, features.mean(2), features.amax(2)], dim=1))


def _dense(inputs: int, hidden: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.ReLU())


class FrontEnd(nn.Module):
    """The part with nothing to learn: declared inputs → planes and thumbnails; training computes it once per image."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.reads_indices = {"pixel_tensor", "palette"} <= set(variant.inputs)
        self.parity = IndexParity()

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        ready = dict(given)
        alpha = ready.pop("alpha")
        ready["alpha_values"] = alpha[:, 0:1, ::8, ::8]
        if self.variant.alpha_planes == 1:
            levels = torch.floor(alpha * 255.0 + 0.5)
            ready["alpha_bits"] = levels - 2.0 * torch.floor(levels * 0.5)
        else:
            ready["alpha_bits"] = alpha[:, 1:2]
        if "pixel_tensor" in given:
            ready["pixel_tensor"] = given["pixel_tensor"][:, :, ::4, ::4]
        if self.reads_indices:
            ready["parity"] = self.parity(given["pixel_tensor"], given["palette"])
        return ready


class ReferenceNetwork(nn.Module):
    """The variant's inputs, in its order → stego_logits N×1, method_logits N×5, method_probs N×5, embedding N×64."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.front = FrontEnd(variant)
        channels = variant.plane_channels
        makers: dict[str, tuple[Callable[[], nn.Module], int]] = {
            "pixel_tensor": (lambda: PixelEncoder(16), 16),
            "meta": (lambda: MetaEncoder(64), 64),
            "alpha": (lambda: CoarseAlpha(8), 8),
            "lsb": (lambda: PlaneEncoder(3, channels, 48), 48),
            "palette": (lambda: _dense(768, 32, 16), 16),
            "palette_lsb": (lambda: PlaneEncoder(1, 8, 16), 16),
            "format_features": (lambda: _dense(6, 16, 16), 16),
            "content_features": (lambda: _dense(6, 16, 16), 16),
            BIT_ORDER_INPUT: (lambda: nn.Linear(3, 4), 4),
        }
        self.encoders = nn.ModuleDict({name: makers[name][0]() for name in variant.inputs})
        total = sum(makers[name][1] for name in variant.inputs)
        # Alpha and palette indices are single planes that hold the same texts: what is learned on one serves the other.
        self.single = TextDetector(1, channels)
        self.alpha_bits = PlaneSummary(2 * channels, 48)
        total += 48
        if self.front.reads_indices:
            self.indices = PlaneSummary(2 * channels, 48)
            total += 48
        self.fusion = nn.Sequential(
            nn.Linear(total, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, EMBEDDING)
        )
        self.stego = nn.Linear(EMBEDDING, 1)
        self.method = nn.Linear(EMBEDDING, len(METHODS))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        stego, methods, embedding = self.learned(self.front(dict(zip(self.variant.inputs, inputs, strict=True))))
        return stego, methods, torch.softmax(methods, dim=1), embedding

    def learned(self, ready: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What FrontEnd made ready → stego logits, method logits, embedding."""
        features = []
        for name in self.variant.inputs:
            source = "alpha_values" if name == "alpha" else name
            features.append(self.encoders[name](ready[source]))
        features.append(self.alpha_bits(self.single(ready["alpha_bits"] * 2.0 - 1.0)))
        if self.front.reads_indices:
            features.append(self.indices(self.single(ready["parity"])))
        embedding = self.fusion(torch.cat(features, dim=1))
        shared = torch.relu(embedding)
        return self.stego(shared), self.method(shared), embedding
