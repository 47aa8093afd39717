# mypy: disable-error-code="misc"
# PyTorch is not looked into (it is optional), so its Module is an unknown base class.
"""The part of the network with nothing to learn: declared inputs → small tensors that say what the planes spell.

A hidden text begins at the first pixel and runs row-major, so the size of the picture tells which bit of which byte
each pixel of the crop holds. The bytes are read off the crop's first rows, and counted by kind over the first 64, 128,
… 1,024 of them: text shows at once, whereas lowest bits of pictures spell noise or patterns.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from starlight_exporter.detector.contract import BIT_ORDER_INPUT, CROP, META_BYTES
from training.byte_classes import CLASSES, NO_BYTE, both_orders, membership
from training.byte_rows import SEGMENT, ByteReader, Layout, Rows
from training.variants import Variant

SINGLE_ROWS: Final = (*range(31), *range(31, 252, 13))
"""Rows of the picture that are read in a single plane: where a palette hides the first bits, later rows may tell."""
TRIPLE_ROWS: Final = len(SINGLE_ROWS) // 3
SEGMENTS: Final = len(SINGLE_ROWS)
WINDOWS: Final = (64, 128, 256, 512, 1024)
LAGS: Final = (1, 2, 3, 7)
META_BLOCK: Final = 32
META_KINDS: Final = len(CLASSES)
META_TAG: Final = 2

# A linear hash of a colour into a table that is large enough for 256 colours to seldom meet, and small enough to stay
# in a core's own cache. Its whole numbers stay below 2**24, hence they are the same in every runtime once rounded.
HASH_WEIGHTS: Final = (25.0, 29.0, 101.0)
HASH_SLOTS: Final = 40_000
ODD: Final = 1024.0
UNKNOWN_BIT: Final = 512.0
"""Stands for a bit that cannot be told; a byte with such a bit comes out larger than any byte."""

DIGIT: Final = 64.0
DIGITS: Final = 4
"""Counters in one number: a segment counts to 32 at most, and four digits of base 64 are exact in a float."""
COUNTERS: Final = -(-2 * len(CLASSES) // DIGITS) * DIGITS
COUNTED: Final = COUNTERS + 2 + len(LAGS)
HABITS: Final = COUNTED + 2


class IndexParity(nn.Module):
    """Pixels (N×3×K) and palette (N×768) → the lowest bit of each pixel's palette index (N×K): 0, 1 or UNKNOWN_BIT.

    Palette colours go into a hash table, pixels look themselves up. A colour that stands at even and at odd places of
    the palette does not tell its index. The zero padding behind a short palette is not black.
    """

    weights: Tensor
    rounding: Tensor
    places: Tensor
    behind: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(HASH_WEIGHTS).reshape(1, 3, 1) * 255.0, persistent=False)
        self.register_buffer("rounding", torch.tensor([0.5]), persistent=False)
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
        has_black = (real - coloured).amax(1, keepdim=True)
        weights = real + (shifted - real) * (1.0 - has_black)
        # Sums of whole numbers: the order in which entries of one colour are added does not matter.
        counts = torch.zeros((palette.shape[0], HASH_SLOTS)).scatter_add(1, slots, self.places * weights)
        found = torch.gather(counts, 1, slots)
        odd = torch.floor(found / ODD)
        even = found - odd * ODD
        sign = odd.clamp(max=1.0) - even.clamp(max=1.0)
        told = torch.where(sign == 0.0, UNKNOWN_BIT, sign.clamp(min=0.0))
        bits = torch.full((palette.shape[0], HASH_SLOTS), UNKNOWN_BIT).scatter(1, slots, told)
        return torch.gather(bits, 1, self._slots(pixels))

    def _slots(self, colours: Tensor) -> Tensor:
        """N×3×K colours /255 → N×K slots."""
        return nn.functional.conv1d(colours, self.weights, self.rounding).to(torch.int64).squeeze(1)


class Spelling(nn.Module):
    """Bytes of P planes (N×P×SEGMENTS×32, whole numbers) and which of them exist → what they are over each window.

    Windows are the segments that begin within so many known bytes. N×P×W×2×len(CLASSES), per bit order: square roots of
    the shares of each class of bytes; roots spread out what is rare, for one byte in a hundred that is in no text
    matters. And N×P×W×HABITS: the same roots in a row, those of the shares of bytes that repeat the one so many places
    before, the share of bytes of which all bits are known, the logarithm of their number.
    """

    packed: Tensor
    digits: Tensor
    carries: Tensor
    lags: Tensor
    strangers: Tensor
    earlier: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        table = both_orders(membership(CLASSES)).flatten(1)
        table = nn.functional.pad(table, (0, COUNTERS - 2 * len(CLASSES), 0, SEGMENT - 1))
        worth = DIGIT ** torch.arange(float(DIGITS))
        self.register_buffer("packed", (table.reshape(-1, COUNTERS // DIGITS, DIGITS) * worth).sum(2), persistent=False)
        each = torch.eye(COUNTERS // DIGITS)
        self.register_buffer("digits", torch.kron(each, (1.0 / worth).unsqueeze(0)), persistent=False)
        carries = torch.eye(DIGITS) - DIGIT * torch.diag(torch.ones(DIGITS - 1), -1)
        self.register_buffer("carries", torch.kron(each, carries), persistent=False)
        # Every byte less the one so many places before it, as one product; equal bytes give zero.
        pairs = [(lag, place) for lag in LAGS for place in range(max(LAGS), SEGMENT)]
        lags = torch.zeros(SEGMENT, len(pairs))
        for column, (lag, place) in enumerate(pairs):
            lags[place, column], lags[place - lag, column] = 1.0, -1.0
        self.register_buffer("lags", lags, persistent=False)
        # What is no byte equals nothing else; the table has a row of zeros for each.
        self.register_buffer("strangers", NO_BYTE + torch.arange(float(SEGMENT)), persistent=False)
        self.register_buffer("earlier", torch.triu(torch.ones(SEGMENTS, SEGMENTS), 1), persistent=False)
        self.register_buffer("sizes", torch.tensor(WINDOWS).float().reshape(-1, 1), persistent=False)

    def forward(self, values: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        planes, kinds = values.shape[1], 2 * len(CLASSES)
        known = (exists & (values < NO_BYTE)).to(values.dtype)
        spelled = (values - self.strangers) * known + self.strangers
        total = known.sum(3, keepdim=True)
        index = spelled.to(torch.int32).reshape(-1)
        counters = self.packed.index_select(0, index).reshape(-1, planes, SEGMENTS, SEGMENT, COUNTERS // DIGITS).sum(3)
        # Below each digit stand those before it, which the next higher one's product takes off.
        classes = torch.matmul(torch.floor(torch.matmul(counters, self.digits)), self.carries)
        same = (torch.matmul(spelled, self.lags) == 0.0).to(values.dtype)
        repeats = same.reshape(-1, planes, SEGMENTS, len(LAGS), SEGMENT - max(LAGS)).sum(4)
        counted = torch.cat([classes, total, exists.to(values.dtype).sum(3, keepdim=True), repeats], dim=3)
        sums = torch.matmul(within(total.squeeze(3), self.earlier, self.sizes), counted)
        bytes_known, bytes_there = sums[..., COUNTERS : COUNTERS + 1], sums[..., COUNTERS + 1 : COUNTERS + 2]
        roots = torch.sqrt(sums / bytes_known.clamp(min=1.0))
        extent = [bytes_known / bytes_there.clamp(min=1.0), torch.log1p(bytes_known) * 0.125]
        by_order = roots[..., :kinds].reshape(-1, planes, len(WINDOWS), 2, len(CLASSES))
        return by_order, torch.cat([roots, *extent], dim=3)


def within(known: Tensor, earlier: Tensor, sizes: Tensor) -> Tensor:
    """Known bytes per segment (…×SEGMENTS), sizes (W×1) → …×W×SEGMENTS: 1 where a segment begins within the window."""
    return (torch.matmul(known, earlier).unsqueeze(-2) < sizes).to(known.dtype)


class BitBalance(nn.Module):
    """Single bits (N×SEGMENTS×256: 0, 1 or UNKNOWN_BIT) → N×W×16.

    Per window, here of known bits over eight, the mean sign of each bit of a byte, and how many of them are known: for
    palettes that hold colours twice, whose bytes are seldom known whole. Bit 7 of plain text is always 0.
    """

    turns: Tensor
    earlier: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        turns = torch.zeros(8, 8, 8)
        for phase in range(8):
            for column in range(8):
                turns[phase, column, (column - phase) % 8] = 1.0
        self.register_buffer("turns", turns.flatten(1), persistent=False)
        self.register_buffer("earlier", torch.triu(torch.ones(SEGMENTS, SEGMENTS), 1), persistent=False)
        self.register_buffer("sizes", torch.tensor(WINDOWS).float().reshape(-1, 1), persistent=False)

    def forward(self, bits: Tensor, plan: Rows) -> Tensor:
        groups = plan.whole.to(bits.dtype)
        seen = torch.matmul(groups.unsqueeze(2), bits.reshape(-1, SEGMENTS, SEGMENT, 8))
        unknown = torch.floor(seen / UNKNOWN_BIT)
        known = groups.sum(2, keepdim=True).unsqueeze(3) - unknown
        signs = 2.0 * (seen - UNKNOWN_BIT * unknown) - known
        turns = self.turns.index_select(0, plan.phase.reshape(-1)).reshape(-1, SEGMENTS, 8, 8)
        turned = torch.matmul(torch.cat([signs, known], dim=2), turns).flatten(2)
        sums = torch.matmul(within(known.sum((2, 3)) * 0.125, self.earlier, self.sizes), turned)
        balance, number = sums.split(8, dim=2)
        return torch.cat([balance / number.clamp(min=1.0), torch.log1p(number) * 0.125], dim=2)


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
        length = (is_tag * numbers[:, 2:]).flatten(1).amax(1, keepdim=True)
        found = is_tag.flatten(1).amax(1, keepdim=True)
        return torch.sqrt(blocks), torch.cat([found, torch.log1p(length) * 0.125], dim=1)


def planes_of(variant: Variant) -> tuple[str, ...]:
    """The planes whose bytes a variant reads, in the order of `spelling`."""
    more = (("palette_lsb", ("palette_lsb",)), ("indices", ("pixel_tensor", "palette")))
    return ("lsb", "alpha", *(name for name, needed in more if set(needed) <= set(variant.inputs)))


class FrontEnd(nn.Module):
    """The variant's inputs by name → the small tensors that ReferenceNetwork.learned takes, by name."""

    thrice: Tensor

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
        self.register_buffer("thrice", torch.arange(SEGMENT).repeat_interleave(3), persistent=False)

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        ready = {name: given[name] for name in ("palette", "format_features", "content_features")}
        if BIT_ORDER_INPUT in given:
            ready[BIT_ORDER_INPUT] = given[BIT_ORDER_INPUT]
        ready["meta"], ready["tag"] = self.meta_kinds(given["meta"])
        ready["alpha"] = given["alpha"][:, :, ::16, ::16][:, 0:1]
        single = Layout.of(given["format_features"]).read(SINGLE_ROWS)
        triple = single.first(TRIPLE_ROWS)
        rows = [self._alpha_bits(given["alpha"], single)]
        if "palette_lsb" in given:
            rows.append(single.of(given["palette_lsb"], (0,)))
        if self.reads_indices:
            ready["pixel_tensor"] = given["pixel_tensor"][:, :, ::16, ::16]
            pixels = single.of(given["pixel_tensor"], (0, 1, 2)).flatten(2)
            bits = self.parity(pixels, given["palette"]).reshape(-1, 1, SEGMENTS, CROP)
            rows.append(bits)
            ready["balance"] = self.bit_balance(bits, single)
        colour = self.triple(triple.of(given["lsb"], (0, 1, 2)), triple).reshape(-1, SEGMENTS, SEGMENT)
        others = self.single(torch.cat(rows, dim=3), single)
        values = torch.cat([colour, others], dim=2).reshape(-1, SEGMENTS, 1 + len(rows), SEGMENT).transpose(1, 2)
        # One existence per group of eight pixels, of which an RGB plane has three bytes.
        wide = triple.whole.index_select(2, self.thrice).reshape(-1, SEGMENTS, SEGMENT)
        exists = torch.stack([wide, *([single.whole] * len(rows))], dim=1)
        ready["kinds"], ready["habits"] = self.spelling(values, exists)
        return ready

    def _alpha_bits(self, alpha: Tensor, plan: Rows) -> Tensor:
        if self.variant.alpha_planes == 2:
            return plan.of(alpha, (1,))
        return torch.fmod(torch.floor(plan.of(alpha, (0,)) * 255.0 + 0.5), 2.0)
