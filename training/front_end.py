# mypy: disable-error-code="misc"
# PyTorch is not looked into (it is optional), so its Module is an unknown base class.
"""The part of the network with nothing to learn: declared inputs → small tensors that say what the planes spell.

A hidden text begins at the first pixel and runs row-major, so the size of the picture tells which bit of which byte
each pixel of the crop holds. The bytes are read off the crop's first rows, and counted by kind over the first 64, 128,
… 1,024 of them: text shows at once, whereas lowest bits of pictures spell noise or patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from exporter.detector.contract import BIT_ORDER_INPUT, CROP, META_BYTES
from training.byte_classes import CLASSES, NO_BYTE, both_orders, membership
from training.variants import Variant

SEGMENT: Final = CROP // 8
"""Bytes are looked at in segments of 32: one row of a single plane, a third of a row of an RGB plane."""
SINGLE_ROWS: Final = (*range(31), *range(31, 255, 7))
"""Rows of the picture that are read in a single plane: where a palette hides the first bits, later rows may tell."""
TRIPLE_ROWS: Final = len(SINGLE_ROWS) // 3
SEGMENTS: Final = len(SINGLE_ROWS)
WINDOWS: Final = (64, 128, 256, 512, 1024)
LAGS: Final = (1, 2, 3, 7)
HABITS: Final = len(LAGS) + 2
META_BLOCK: Final = 32
META_KINDS: Final = len(CLASSES)
META_TAG: Final = 3

# A linear hash of a colour into a table that is large enough for 256 colours to rarely meet, and small enough to be
# cheap. Its whole numbers stay below 2**24, hence they are the same in every runtime once rounded.
HASH_WEIGHTS: Final = (25.0, 29.0, 459.0)
HASH_SLOTS: Final = 131_072
ODD: Final = 1024.0
UNKNOWN_BIT: Final = 512.0
"""Stands for a bit that cannot be told; a byte with such a bit comes out larger than any byte."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the picture lies in the crop, N×1 floats: its first row and column there, the rows and columns it fills.

    `above`: how many of its rows are above the crop, `first`: the column of the picture at the crop's first, `stride`:
    its width; above and stride modulo 8.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    above: Tensor
    first: Tensor
    stride: Tensor

    @classmethod
    def of(cls, format_features: Tensor) -> Layout:
        """From the width and height over 256 that the format stream carries (N×6), by the contract's centre crop."""
        size = torch.floor(format_features[:, 4:6] * CROP + 0.5)
        skipped = torch.round((size - CROP).clamp(min=0.0) * 0.5)
        seen = size.clamp(max=CROP)
        start = torch.floor((CROP - seen) * 0.5)
        first = skipped - start
        return cls(
            top=start[:, 1:2],
            left=start[:, 0:1],
            height=seen[:, 1:2],
            width=seen[:, 0:1],
            above=torch.fmod(skipped[:, 1:2], 8.0),
            first=first[:, 0:1],
            stride=torch.fmod(size[:, 0:1], 8.0),
        )

    def read(self, rows: Sequence[int]) -> Rows:
        """The plan for reading these rows of the picture."""
        numbers = torch.tensor(rows).float()
        first = (self.above + numbers) * self.stride + self.first
        # Any larger multiple of 8 keeps the difference positive.
        phase = torch.fmod(8.0 * CROP * 8.0 - first, 8.0)
        start = (torch.arange(float(SEGMENT)) * 8.0 + phase.unsqueeze(2)) - self.left.unsqueeze(2)
        in_row = (start >= 0.0) & (start <= self.width.unsqueeze(2) - 8.0)
        below = (numbers < self.height).unsqueeze(2)
        place = (self.top + numbers).clamp(max=CROP - 1.0).to(torch.int64)
        return Rows(place, phase.to(torch.int64), (in_row & below).to(numbers.dtype))


@dataclass(frozen=True, slots=True)
class Rows:
    """R rows of the crop to read: their places (N×R), how many pixels of each belong to a byte begun before its first
    (N×R), and which groups of eight pixels from there on lie in the picture (N×R×32, 0 and 1).
    """

    place: Tensor
    phase: Tensor
    whole: Tensor

    def first(self, count: int) -> Rows:
        """The first rows alone."""
        return Rows(self.place[:, :count], self.phase[:, :count], self.whole[:, :count])

    def of(self, planes: Tensor, channels: Sequence[int]) -> Tensor:
        """N×C×256×256 → N×len(channels)×R×256: these rows of these channels."""
        batch, count = planes.shape[0], planes.shape[1]
        offsets = torch.tensor(channels).reshape(-1, 1) * CROP + torch.arange(batch).reshape(-1, 1, 1) * (count * CROP)
        index = (self.place.unsqueeze(1) + offsets).reshape(-1)
        return planes.reshape(-1, CROP).index_select(0, index).reshape(batch, len(channels), -1, CROP)


class ByteReader(nn.Module):
    """Rows of bit planes (N×C×R×256, 0 and 1) → bytes, lowest bit first.

    Eight pixels from 8g + phase on make `channels` bytes. One channel: every plane has bytes of its own, N×C×R×32.
    Three: they share theirs, N×1×R×96. Each row is multiplied with the powers of two at its own phase.
    """

    powers: Tensor
    offsets: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        # [channel, phase, column in the group, byte that begins in this group | byte that began in the group before]
        powers = torch.zeros(channels, 8, 8, 2 * channels)
        for phase in range(8):
            for pixel in range(8):
                for channel in range(channels):
                    byte, bit = divmod(pixel * channels + channel, 8)
                    place = phase + pixel
                    powers[channel, phase, place % 8, byte + channels * (place // 8)] = 2.0**bit
        self.register_buffer("powers", powers.reshape(8 * channels, -1), persistent=False)
        self.register_buffer("offsets", 8 * torch.arange(channels).reshape(1, -1, 1), persistent=False)

    def forward(self, rows: Tensor, plan: Rows) -> Tensor:
        count, channels = rows.shape[2], self.channels
        index = (plan.phase.unsqueeze(1) + self.offsets).reshape(-1)
        weights = self.powers.index_select(0, index).reshape(-1, channels, count, 8, 2 * channels)
        parts = torch.matmul(rows.reshape(-1, rows.shape[1], count, SEGMENT, 8), weights)
        if channels > 1:
            parts = parts.sum(1, keepdim=True)
        begun, ended = parts[..., :channels], parts[..., channels:]
        return (begun + nn.functional.pad(ended[:, :, :, 1:], (0, 0, 0, 1))).flatten(3)


class IndexParity(nn.Module):
    """Pixels (N×3×K) and palette (N×768) → the lowest bit of each pixel's palette index: −1 even, +1 odd, 0 unknown.

    Palette colours go into a hash table, pixels look themselves up. A colour that stands at even and at odd places of
    the palette does not tell its index. The zero padding behind a short palette is not black.
    """

    weights: Tensor
    places: Tensor
    behind: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([HASH_WEIGHTS]) * 255.0, persistent=False)
        # Counts even places in ones and odd places in units of ODD.
        self.register_buffer("places", torch.tensor([[1.0, ODD]]).repeat(1, 128), persistent=False)
        # Row i, column j: place i is at or behind place j.
        self.register_buffer("behind", torch.tril(torch.ones(256, 256)), persistent=False)

    def forward(self, pixels: Tensor, palette: Tensor) -> Tensor:
        entries = palette.reshape(-1, 256, 3)
        slots = self._slots(entries.transpose(1, 2))
        coloured = (entries.amax(2) > 0.0).to(pixels.dtype)
        # A place belongs to the palette if it or a later one has a colour.
        real = (torch.matmul(coloured, self.behind) > 0.0).to(pixels.dtype)
        # A last black entry looks like padding; it is taken for an entry where the palette has no other black.
        shifted = torch.cat([coloured.amax(1, keepdim=True), real[:, :-1]], dim=1)
        has_black = (real * (1.0 - coloured)).amax(1, keepdim=True)
        weights = real + (shifted - real) * (1.0 - has_black)
        # Sums of whole numbers: the order in which entries of one colour are added does not matter.
        table = torch.zeros((palette.shape[0], HASH_SLOTS)).scatter_add(1, slots, self.places * weights)
        found = torch.gather(table, 1, self._slots(pixels))
        odd = torch.floor(found / ODD)
        even = found - odd * ODD
        return odd.clamp(max=1.0) - even.clamp(max=1.0)

    def _slots(self, colours: Tensor) -> Tensor:
        """N×3×K colours /255 → N×K slots."""
        return (torch.matmul(self.weights, colours) + 0.5).to(torch.int64).squeeze(1)


class Spelling(nn.Module):
    """Bytes of P planes (N×P×SEGMENTS×32, whole numbers) and which of them exist → what they are over each window.

    Windows are the segments that begin within so many known bytes. N×P×W×2×len(CLASSES), per bit order: square roots of
    the shares of each class of bytes; roots spread out what is rare, for one byte in a hundred that is in no text
    matters. And N×P×W×HABITS: shares of bytes that repeat the one so many places before, share of bytes of which all
    bits are known, logarithm of their number.
    """

    packed: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Four counters in one number: a segment counts to 32 at most, and 4 × 6 bits are exact in a float.
        table = nn.functional.pad(both_orders(membership(CLASSES)).flatten(1), (0, -2 * len(CLASSES) % 4))
        digits = table.reshape(NO_BYTE + 1, 4, -1)
        packed = (digits * (64.0 ** torch.arange(4.0)).reshape(1, 4, 1)).sum(1)
        self.register_buffer("packed", packed, persistent=False)
        self.register_buffer("sizes", torch.tensor(WINDOWS).float().reshape(-1, 1), persistent=False)

    def forward(self, values: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        planes, kinds = values.shape[1], 2 * len(CLASSES)
        known = exists * (values < NO_BYTE).to(values.dtype)
        spelled = (values - NO_BYTE) * known + NO_BYTE
        index = spelled.to(torch.int64).reshape(-1)
        counters = self.packed.index_select(0, index).reshape(-1, planes, SEGMENTS, SEGMENT, self.packed.shape[1])
        classes = _unpacked(counters.sum(3))[..., :kinds]
        total = known.sum(3)
        counted = [classes, total.unsqueeze(3), exists.sum(3, keepdim=True)]
        counted += [self._repeats(spelled, known, lag) for lag in LAGS]
        sums = torch.matmul(within(total, self.sizes), torch.cat(counted, dim=3))
        bytes_known, bytes_there = sums[..., kinds : kinds + 1], sums[..., kinds + 1 : kinds + 2]
        shares = sums / bytes_known.clamp(min=1.0)
        habits = [
            shares[..., kinds + 2 :],
            bytes_known / bytes_there.clamp(min=1.0),
            torch.log1p(bytes_known) * 0.125,
        ]
        roots = torch.sqrt(shares[..., :kinds]).reshape(-1, planes, len(WINDOWS), 2, len(CLASSES))
        return roots, torch.cat(habits, dim=3)

    @staticmethod
    def _repeats(spelled: Tensor, known: Tensor, lag: int) -> Tensor:
        same = (spelled[..., lag:] == spelled[..., :-lag]).to(spelled.dtype)
        return (same * known[..., lag:]).sum(3, keepdim=True)


def _unpacked(counters: Tensor) -> Tensor:
    """…×K numbers of four counters each → …×4K counters."""
    shifted = [torch.floor(counters / 64.0**place) for place in range(1, 4)]
    return torch.cat(
        [high - 64.0 * low for high, low in zip([counters, *shifted], [*shifted, 0.0 * counters], strict=True)], dim=-1
    )


def within(known: Tensor, sizes: Tensor) -> Tensor:
    """Known bytes per segment (…×SEGMENTS), sizes (W×1) → …×W×SEGMENTS: 1 where a segment begins within the window."""
    before = torch.cumsum(known, dim=-1) - known
    return (before.unsqueeze(-2) < sizes).to(known.dtype)


class BitBalance(nn.Module):
    """Signs of single bits (N×SEGMENTS×256: −1, 0 unknown, +1) → N×W×16.

    Per window, here of known bits over eight, the mean sign of each bit of a byte, and how many of them are known: for
    palettes that hold colours twice, whose bytes are seldom known whole. Bit 7 of plain text is always 0.
    """

    turns: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        turns = torch.zeros(8, 8, 8)
        for phase in range(8):
            for column in range(8):
                turns[phase, column, (column - phase) % 8] = 1.0
        self.register_buffer("turns", turns.flatten(1), persistent=False)
        self.register_buffer("sizes", torch.tensor(WINDOWS).float().reshape(-1, 1), persistent=False)

    def forward(self, signs: Tensor, layout: Layout, plan: Rows) -> Tensor:
        columns = torch.arange(float(CROP)) - layout.left
        inside = ((columns >= 0.0) & (columns < layout.width)).to(signs.dtype)
        seen = (signs * inside.unsqueeze(1)).reshape(-1, SEGMENTS, SEGMENT, 8)
        below = plan.whole.amax(2).reshape(-1, SEGMENTS, 1, 1)
        sums = torch.stack([seen.sum(2), seen.abs().sum(2)], dim=2) * below
        turns = self.turns.index_select(0, plan.phase.reshape(-1)).reshape(-1, SEGMENTS, 8, 8)
        bits = torch.matmul(sums, turns).flatten(2)
        balance = torch.matmul(within(bits[..., 8:].sum(2) * 0.125, self.sizes), bits)
        known = balance[..., 8:]
        return torch.cat([balance[..., :8] / known.clamp(min=1.0), torch.log1p(known) * 0.125], dim=2)


class MetaKinds(nn.Module):
    """Metadata bytes (N×2048, /255) → N×META_KINDS×64, kinds of bytes per block of 32, and N×META_TAG.

    The latter: whether an EXIF directory has an entry UserComment (tag 0x9286, type 7) in either byte order, and how
    long it says it is (EXIF 2.3, 4.6.2): the lower two bytes of its count.
    """

    classes: Tensor
    numbers: Tensor
    tags: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("classes", membership(CLASSES), persistent=False)
        # Of eight bytes: tag and type, then length, little-endian and big-endian. All stay below 2**24: exact.
        numbers = torch.zeros(4, 1, 8)
        numbers[0, 0, :3] = torch.tensor([1.0, 256.0, 65536.0])
        numbers[1, 0, :4] = torch.tensor([256.0, 1.0, 0.0, 65536.0])
        numbers[2, 0, 4:6] = torch.tensor([1.0, 256.0])
        numbers[3, 0, 6:8] = torch.tensor([256.0, 1.0])
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("tags", torch.full((1, 2, 1), float(0x079286)), persistent=False)

    def forward(self, meta: Tensor) -> tuple[Tensor, Tensor]:
        values = torch.floor(meta * 255.0 + 0.5)
        kinds = self.classes.index_select(0, values.to(torch.int64).reshape(-1))
        blocks = kinds.reshape(-1, META_BYTES // META_BLOCK, META_BLOCK, META_KINDS).mean(2).transpose(1, 2)
        numbers = nn.functional.conv1d(values.unsqueeze(1), self.numbers)
        is_tag = (numbers[:, :2] == self.tags).to(meta.dtype)
        found = is_tag.amax((1, 2)).unsqueeze(1)
        length = (is_tag * numbers[:, 2:]).amax((1, 2)).unsqueeze(1)
        return torch.sqrt(blocks), torch.cat([found, torch.log1p(length) * 0.125, length / META_BYTES], dim=1)


def planes_of(variant: Variant) -> tuple[str, ...]:
    """The planes whose bytes a variant reads, in the order of `spelling`."""
    more = (("palette_lsb", ("palette_lsb",)), ("indices", ("pixel_tensor", "palette")))
    return ("lsb", "alpha", *(name for name, needed in more if set(needed) <= set(variant.inputs)))


class FrontEnd(nn.Module):
    """The variant's inputs by name → the small tensors that ReferenceNetwork.learned takes, by name."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.planes = planes_of(variant)
        self.reads_indices = "indices" in self.planes
        self.single, self.triple = ByteReader(1), ByteReader(3)
        self.parity = IndexParity()
        self.spelling = Spelling()
        self.bit_balance = BitBalance()
        self.meta_kinds = MetaKinds()

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        ready = {name: given[name] for name in ("palette", "format_features", "content_features")}
        if BIT_ORDER_INPUT in given:
            ready[BIT_ORDER_INPUT] = given[BIT_ORDER_INPUT]
        ready["meta"], ready["tag"] = self.meta_kinds(given["meta"])
        ready["alpha"] = given["alpha"][:, :, ::16, ::16][:, 0:1]
        layout = Layout.of(given["format_features"])
        single = layout.read(SINGLE_ROWS)
        triple = single.first(TRIPLE_ROWS)
        rows = [self._alpha_bits(given["alpha"], single)]
        if "palette_lsb" in given:
            rows.append(single.of(given["palette_lsb"], (0,)))
        if self.reads_indices:
            ready["pixel_tensor"] = given["pixel_tensor"][:, :, ::16, ::16]
            pixels = single.of(given["pixel_tensor"], (0, 1, 2)).flatten(2)
            signs = self.parity(pixels, given["palette"]).reshape(-1, SEGMENTS, CROP)
            known = signs * signs
            bits = (known + signs) * 0.5 + (1.0 - known) * UNKNOWN_BIT
            rows.append(bits.unsqueeze(1))
            ready["balance"] = self.bit_balance(signs, layout, single)
        colour = self.triple(triple.of(given["lsb"], (0, 1, 2)), triple).reshape(-1, 1, SEGMENTS, SEGMENT)
        others = self.single(torch.cat(rows, dim=1), single)
        # One existence per group of eight pixels, of which an RGB plane has three bytes.
        wide = triple.whole.unsqueeze(3).expand(-1, -1, -1, 3).reshape(-1, 1, SEGMENTS, SEGMENT)
        exists = torch.cat([wide, single.whole.unsqueeze(1).expand(-1, len(rows), -1, -1)], dim=1)
        ready["kinds"], ready["habits"] = self.spelling(torch.cat([colour, others], dim=1), exists)
        return ready

    def _alpha_bits(self, alpha: Tensor, plan: Rows) -> Tensor:
        if self.variant.alpha_planes == 2:
            return plan.of(alpha, (1,))
        return torch.fmod(torch.floor(plan.of(alpha, (0,)) * 255.0 + 0.5), 2.0)
