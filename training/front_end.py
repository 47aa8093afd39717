# mypy: disable-error-code="misc"
# PyTorch is optional and not type-checked, so its Module is an unknown base class.
"""Fixed front end of the network: model inputs → statistics of the bytes in each bit plane.

A payload starts at the first pixel and is stored row-major, so the image size determines the byte and the bit of each
pixel of the crop. The bytes of the first rows are read and counted by class over the first 64, 128, … 1,024 bytes. The
class shares of text differ clearly from those of the LSBs of images.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from starlight_exporter.detector.contract import BIT_ORDER_INPUT, CROP, META_BYTES
from training.byte_classes import CLASSES, NO_BYTE, both_orders, membership
from training.byte_reader import SEGMENT, ByteReader, CropLayout, RowPlan
from training.variants import Variant

SINGLE_ROWS: Final = (*range(31), *range(31, 252, 13))
"""Image rows read in a single plane. Later rows help if the palette hides the first bits."""
TRIPLE_ROWS: Final = len(SINGLE_ROWS) // 3
SEGMENTS: Final = len(SINGLE_ROWS)
WINDOWS: Final = (64, 128, 256, 512, 1024)
LAGS: Final = (1, 2, 3, 7)
META_BLOCK: Final = 32
META_CLASSES: Final = len(CLASSES)
META_TAG: Final = 2

# Linear hash of a colour. The table is large enough that 256 colours rarely collide, and small enough for the L2 cache.
# All integers are below 2**24, so float32 represents them exactly in every runtime.
HASH_WEIGHTS: Final = (25.0, 29.0, 101.0)
HASH_SLOTS: Final = 40_000
ODD: Final = 1024.0
UNKNOWN_BIT: Final = 512.0
"""Marks an unknown bit; a byte with such a bit gets a value above 255."""

DIGIT: Final = 64.0
DIGITS: Final = 4
"""Counters packed into one float: a segment counts to 32 at most, and four base-64 digits are exact in float32."""
COUNTERS: Final = -(-2 * len(CLASSES) // DIGITS) * DIGITS
COUNTED: Final = COUNTERS + 2 + len(LAGS)
STATISTICS: Final = COUNTED + 2


class IndexParity(nn.Module):
    """LSB of each pixel's palette index: pixels (N×3×K) and palette (N×768) → N×K values 0, 1 or UNKNOWN_BIT.

    Pixels are looked up in a hash table of the palette colours. The bit of a colour at both even and odd indices is
    unknown. The zero padding after a short palette is not an entry.
    """

    weights: Tensor
    rounding: Tensor
    places: Tensor
    behind: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(HASH_WEIGHTS).reshape(1, 3, 1) * 255.0, persistent=False)
        self.register_buffer("rounding", torch.tensor([0.5]), persistent=False)
        # Counts even indices in units of 1 and odd indices in units of ODD.
        self.register_buffer("places", torch.tensor([[1.0, ODD]]).repeat(1, 128), persistent=False)
        # Row i, column j: index i is at or after index j.
        self.register_buffer("behind", torch.tril(torch.ones(256, 256)), persistent=False)

    def forward(self, pixels: Tensor, palette: Tensor) -> Tensor:
        entries = palette.reshape(-1, 256, 3)
        slots = self._slots(entries.transpose(1, 2))
        coloured = (entries.amax(2) > 0.0).to(pixels.dtype)
        # An index belongs to the palette if it or a later one has a colour other than black.
        real = (torch.matmul(coloured, self.behind) > 0.0).to(pixels.dtype)
        # A black last entry equals padding; it counts as an entry if the palette has no other black.
        shifted = torch.cat([coloured.amax(1, keepdim=True), real[:, :-1]], dim=1)
        has_black = (real - coloured).amax(1, keepdim=True)
        weights = real + (shifted - real) * (1.0 - has_black)
        # Sums of integers are exact, so the order of addition does not matter.
        counts = torch.zeros((palette.shape[0], HASH_SLOTS)).scatter_add(1, slots, self.places * weights)
        found = torch.gather(counts, 1, slots)
        odd = torch.floor(found / ODD)
        even = found - odd * ODD
        sign = odd.clamp(max=1.0) - even.clamp(max=1.0)
        parity = torch.where(sign == 0.0, UNKNOWN_BIT, sign.clamp(min=0.0))
        bits = torch.full((palette.shape[0], HASH_SLOTS), UNKNOWN_BIT).scatter(1, slots, parity)
        return torch.gather(bits, 1, self._slots(pixels))

    def _slots(self, colours: Tensor) -> Tensor:
        """Return the hash table slots: N×3×K colours /255 → N×K."""
        return nn.functional.conv1d(colours, self.weights, self.rounding).to(torch.int64).squeeze(1)


class ByteStatistics(nn.Module):
    """Statistics of the bytes of P planes (N×P×SEGMENTS×32 integers, and whether each exists) per window.

    A window consists of the segments that start within its number of known bytes. The first result is, per bit order,
    the square root of the share of each byte class (N×P×W×2×len(CLASSES)); the root emphasises rare classes. The second
    (N×P×W×STATISTICS) has the same roots, those of the shares of bytes that repeat an earlier one per lag, the share of
    fully known bytes, and the logarithm of their number.
    """

    packed: Tensor
    digits: Tensor
    carries: Tensor
    lags: Tensor
    missing: Tensor
    earlier: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        table = both_orders(membership(CLASSES)).flatten(1)
        table = nn.functional.pad(table, (0, COUNTERS - 2 * len(CLASSES), 0, SEGMENT - 1))
        weights = DIGIT ** torch.arange(float(DIGITS))
        self.register_buffer(
            "packed", (table.reshape(-1, COUNTERS // DIGITS, DIGITS) * weights).sum(2), persistent=False
        )
        each = torch.eye(COUNTERS // DIGITS)
        self.register_buffer("digits", torch.kron(each, (1.0 / weights).unsqueeze(0)), persistent=False)
        carries = torch.eye(DIGITS) - DIGIT * torch.diag(torch.ones(DIGITS - 1), -1)
        self.register_buffer("carries", torch.kron(each, carries), persistent=False)
        # Difference of every byte and the byte `lag` positions before, as one matrix product; equal bytes give zero.
        pairs = [(lag, place) for lag in LAGS for place in range(max(LAGS), SEGMENT)]
        lags = torch.zeros(SEGMENT, len(pairs))
        for column, (lag, place) in enumerate(pairs):
            lags[place, column], lags[place - lag, column] = 1.0, -1.0
        self.register_buffer("lags", lags, persistent=False)
        # Missing bytes get distinct values that equal nothing; the table has a zero row for each.
        self.register_buffer("missing", NO_BYTE + torch.arange(float(SEGMENT)), persistent=False)
        self.register_buffer("earlier", torch.triu(torch.ones(SEGMENTS, SEGMENTS), 1), persistent=False)
        self.register_buffer("sizes", torch.tensor(WINDOWS).float().reshape(-1, 1), persistent=False)

    def forward(self, values: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        planes, classes_of_both_orders = values.shape[1], 2 * len(CLASSES)
        known = (exists & (values < NO_BYTE)).to(values.dtype)
        filled = (values - self.missing) * known + self.missing
        total = known.sum(3, keepdim=True)
        index = filled.to(torch.int32).reshape(-1)
        counters = self.packed.index_select(0, index).reshape(-1, planes, SEGMENTS, SEGMENT, COUNTERS // DIGITS).sum(3)
        # Each quotient still contains the higher digits, which this product subtracts.
        classes = torch.matmul(torch.floor(torch.matmul(counters, self.digits)), self.carries)
        same = (torch.matmul(filled, self.lags) == 0.0).to(values.dtype)
        repeats = same.reshape(-1, planes, SEGMENTS, len(LAGS), SEGMENT - max(LAGS)).sum(4)
        counted = torch.cat([classes, total, exists.to(values.dtype).sum(3, keepdim=True), repeats], dim=3)
        sums = torch.matmul(window_mask(total.squeeze(3), self.earlier, self.sizes), counted)
        bytes_known, bytes_existing = sums[..., COUNTERS : COUNTERS + 1], sums[..., COUNTERS + 1 : COUNTERS + 2]
        roots = torch.sqrt(sums / bytes_known.clamp(min=1.0))
        extent = [bytes_known / bytes_existing.clamp(min=1.0), torch.log1p(bytes_known) * 0.125]
        by_order = roots[..., :classes_of_both_orders].reshape(-1, planes, len(WINDOWS), 2, len(CLASSES))
        return by_order, torch.cat([roots, *extent], dim=3)


def window_mask(known: Tensor, earlier: Tensor, sizes: Tensor) -> Tensor:
    """Return a mask …×W×SEGMENTS: 1 if the segment starts within the window.

    `known` is the number of known bytes per segment (…×SEGMENTS), `sizes` the window sizes (W×1).
    """
    return (torch.matmul(known, earlier).unsqueeze(-2) < sizes).to(known.dtype)


class BitBalance(nn.Module):
    """Balance of each bit position: single bits (N×SEGMENTS×256: 0, 1 or UNKNOWN_BIT) → N×W×16.

    Per window, measured in known bits / 8: the mean sign of each bit position and the logarithm of its number of known
    bits. This is for palettes with duplicate colours, whose bytes are rarely fully known. Bit 7 of ASCII is always 0.
    """

    rotations: Tensor
    earlier: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        rotations = torch.zeros(8, 8, 8)
        for phase in range(8):
            for column in range(8):
                rotations[phase, column, (column - phase) % 8] = 1.0
        self.register_buffer("rotations", rotations.flatten(1), persistent=False)
        self.register_buffer("earlier", torch.triu(torch.ones(SEGMENTS, SEGMENTS), 1), persistent=False)
        self.register_buffer("sizes", torch.tensor(WINDOWS).float().reshape(-1, 1), persistent=False)

    def forward(self, bits: Tensor, plan: RowPlan) -> Tensor:
        groups = plan.complete.to(bits.dtype)
        seen = torch.matmul(groups.unsqueeze(2), bits.reshape(-1, SEGMENTS, SEGMENT, 8))
        unknown = torch.floor(seen / UNKNOWN_BIT)
        known = groups.sum(2, keepdim=True).unsqueeze(3) - unknown
        signs = 2.0 * (seen - UNKNOWN_BIT * unknown) - known
        rotations = self.rotations.index_select(0, plan.phase.reshape(-1)).reshape(-1, SEGMENTS, 8, 8)
        rotated = torch.matmul(torch.cat([signs, known], dim=2), rotations).flatten(2)
        sums = torch.matmul(window_mask(known.sum((2, 3)) * 0.125, self.earlier, self.sizes), rotated)
        balance, number = sums.split(8, dim=2)
        return torch.cat([balance / number.clamp(min=1.0), torch.log1p(number) * 0.125], dim=2)


class MetadataFeatures(nn.Module):
    """Features of the metadata bytes (N×2048, /255): class shares per block of 32 (N×META_CLASSES×64), and N×META_TAG.

    The latter: whether an EXIF directory has a UserComment entry (tag 0x9286, type 7) in either byte order, and the
    logarithm of its length (EXIF 2.3, 4.6.2), from the lower two bytes of its count.
    """

    classes: Tensor
    numbers: Tensor
    tags: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("classes", membership(CLASSES), persistent=False)
        # From eight bytes: tag and type, then length, little-endian and big-endian. All are below 2**24, hence exact.
        numbers = torch.zeros(4, 1, 8)
        numbers[0, 0, :3] = torch.tensor([1.0, 256.0, 65536.0])
        numbers[1, 0, :4] = torch.tensor([256.0, 1.0, 0.0, 65536.0])
        numbers[2, 0, 4:6] = torch.tensor([1.0, 256.0])
        numbers[3, 0, 6:8] = torch.tensor([256.0, 1.0])
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("tags", torch.full((1, 2, 1), float(0x079286)), persistent=False)

    def forward(self, meta: Tensor) -> tuple[Tensor, Tensor]:
        values = torch.floor(meta * 255.0 + 0.5)
        one_hot = self.classes.index_select(0, values.to(torch.int64).reshape(-1))
        blocks = one_hot.reshape(-1, META_BYTES // META_BLOCK, META_BLOCK, META_CLASSES).mean(2).transpose(1, 2)
        numbers = nn.functional.conv1d(values.unsqueeze(1), self.numbers)
        is_tag = (numbers[:, :2] == self.tags).to(meta.dtype)
        length = (is_tag * numbers[:, 2:]).flatten(1).amax(1, keepdim=True)
        found = is_tag.flatten(1).amax(1, keepdim=True)
        return torch.sqrt(blocks), torch.cat([found, torch.log1p(length) * 0.125], dim=1)


def planes_of(variant: Variant) -> tuple[str, ...]:
    """Return the planes whose bytes a variant reads, in the order of `byte_statistics`."""
    optional = (("palette_lsb", ("palette_lsb",)), ("indices", ("pixel_tensor", "palette")))
    return ("lsb", "alpha", *(name for name, needed in optional if set(needed) <= set(variant.inputs)))


class FrontEnd(nn.Module):
    """Inputs of the variant by name → inputs of ReferenceNetwork.classify by name."""

    repeat_3: Tensor

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.planes = planes_of(variant)
        self.reads_indices = "indices" in self.planes
        self.single, self.triple = ByteReader(1), ByteReader(3)
        self.parity = IndexParity()
        self.byte_statistics = ByteStatistics()
        self.bit_balance = BitBalance()
        self.metadata_features = MetadataFeatures()
        self.register_buffer("repeat_3", torch.arange(SEGMENT).repeat_interleave(3), persistent=False)

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        ready = {name: given[name] for name in ("palette", "format_features", "content_features")}
        if BIT_ORDER_INPUT in given:
            ready[BIT_ORDER_INPUT] = given[BIT_ORDER_INPUT]
        ready["meta"], ready["comment_tag"] = self.metadata_features(given["meta"])
        ready["alpha"] = given["alpha"][:, :, ::16, ::16][:, 0:1]
        single = CropLayout.from_format_features(given["format_features"]).plan_rows(SINGLE_ROWS)
        triple = single.first(TRIPLE_ROWS)
        rows = [self._alpha_bits(given["alpha"], single)]
        if "palette_lsb" in given:
            rows.append(single.gather(given["palette_lsb"], (0,)))
        if self.reads_indices:
            ready["pixel_tensor"] = given["pixel_tensor"][:, :, ::16, ::16]
            pixels = single.gather(given["pixel_tensor"], (0, 1, 2)).flatten(2)
            bits = self.parity(pixels, given["palette"]).reshape(-1, 1, SEGMENTS, CROP)
            rows.append(bits)
            ready["balance"] = self.bit_balance(bits, single)
        colour = self.triple(triple.gather(given["lsb"], (0, 1, 2)), triple).reshape(-1, SEGMENTS, SEGMENT)
        others = self.single(torch.cat(rows, dim=3), single)
        values = torch.cat([colour, others], dim=2).reshape(-1, SEGMENTS, 1 + len(rows), SEGMENT).transpose(1, 2)
        # One flag per group of eight pixels, which is three bytes of an RGB plane.
        wide = triple.complete.index_select(2, self.repeat_3).reshape(-1, SEGMENTS, SEGMENT)
        exists = torch.stack([wide, *([single.complete] * len(rows))], dim=1)
        ready["class_shares"], ready["statistics"] = self.byte_statistics(values, exists)
        return ready

    def _alpha_bits(self, alpha: Tensor, plan: RowPlan) -> Tensor:
        if self.variant.alpha_planes == 2:
            return plan.gather(alpha, (1,))
        return torch.fmod(torch.floor(plan.gather(alpha, (0,)) * 255.0 + 0.5), 2.0)
