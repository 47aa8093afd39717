# mypy: disable-error-code="misc"
# PyTorch is optional and not type-checked, so its Module is an unknown base class.
"""Read bytes from bit planes: position of the image in the crop, rows to read, bits to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from starlight_exporter.detector.contract import CROP

SEGMENT: Final = CROP // 8
"""Bytes per segment: one row of a single plane, a third of a row of an RGB plane."""


@dataclass(frozen=True, slots=True)
class CropLayout:
    """Position of the image in the crop, as N×1 floats: first row and column, number of rows and columns.

    `above` is the number of image rows above the crop and `stride` the image width, both modulo 8; `first` is the
    image column at the first column of the crop.
    """

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    above: Tensor
    first: Tensor
    stride: Tensor

    @classmethod
    def from_format_features(cls, format_features: Tensor) -> CropLayout:
        """Compute the layout of the centre crop from the format stream (N×6): width/256 and height/256."""
        size = torch.round(format_features[:, 4:6] * CROP)
        beyond = (size - CROP).clamp(min=0.0)
        skipped = torch.round(beyond * 0.5)
        seen = size - beyond
        start = torch.floor((CROP - seen) * 0.5)
        turns = torch.fmod(torch.cat([skipped, size], dim=1), 8.0)
        left, top, width, height, first, _, _, above, stride, _ = torch.cat(
            [start, seen, skipped - start, turns], dim=1
        ).split(1, dim=1)
        return cls(left, top, width, height, above, first, stride)

    def plan_rows(self, rows: Sequence[int]) -> RowPlan:
        """Return the plan for reading these rows of the image."""
        numbers = torch.tensor(rows).float()
        # Any larger multiple of 8 keeps the difference positive.
        phase = torch.fmod((8.0 * CROP * 8.0 - self.first) - (self.above + numbers) * self.stride, 8.0)
        start = torch.arange(float(SEGMENT)) * 8.0 + (phase - self.left).unsqueeze(2)
        last = torch.where(numbers < self.height, self.width - 8.0, -1.0)
        place = (self.top + numbers).clamp(max=CROP - 1.0).to(torch.int64)
        return RowPlan(place, phase.to(torch.int64), (start >= 0.0) & (start <= last.unsqueeze(2)))


@dataclass(frozen=True, slots=True)
class RowPlan:
    """Plan for reading R rows of the crop.

    `place` is the crop row (N×R), `phase` the number of leading pixels that belong to a byte of the previous row (N×R),
    `complete` whether each following group of eight pixels is inside the image (N×R×32, booleans).
    """

    place: Tensor
    phase: Tensor
    complete: Tensor

    def first(self, count: int) -> RowPlan:
        """Return the plan of the first rows."""
        return RowPlan(self.place[:, :count], self.phase[:, :count], self.complete[:, :count])

    def gather(self, planes: Tensor, channels: Sequence[int]) -> Tensor:
        """Return these rows of these channels: N×C×256×256 → N×len(channels)×R×256."""
        batch, count = planes.shape[0], planes.shape[1]
        image = torch.arange(batch).reshape(-1, 1, 1) * (count * CROP)
        index = (self.place.unsqueeze(1) + image) + torch.tensor(channels).reshape(-1, 1) * CROP
        return planes.reshape(-1, CROP).index_select(0, index.reshape(-1)).reshape(batch, len(channels), -1, CROP)


class ByteReader(nn.Module):
    """Convert rows of bit planes (0 and 1) to bytes, LSB first. Eight pixels from 8g + phase give `channels` bytes.

    One channel: concatenated planes, N×1×R×8G → N×R×G. Three interleaved channels: N×3×R×256 → N×R×96. Each row is
    multiplied by the powers of two of its phase. Bytes that extend beyond the last group of a plane are invalid, as
    marked by `RowPlan.complete`.
    """

    powers: Tensor
    offsets: Tensor
    merging: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        # [channel, phase, column in the group, byte that starts in the previous group | byte that starts in this group]
        powers = torch.zeros(channels, 8, 8, 2 * channels)
        for phase in range(8):
            for pixel in range(8):
                for channel in range(channels):
                    byte, bit = divmod(pixel * channels + channel, 8)
                    before, column = divmod(phase + pixel, 8)
                    powers[channel, phase, column, byte + channels * (1 - before)] = 2.0**bit
        self.register_buffer("powers", powers.reshape(8 * channels, -1), persistent=False)
        self.register_buffer("offsets", 8 * torch.arange(channels).reshape(1, -1, 1), persistent=False)
        # A convolution over two adjacent groups adds the two parts of each byte.
        merging = torch.zeros(channels, 1, 4 * channels)
        for byte in range(channels):
            merging[byte, 0, [2 * channels + byte, 3 * channels + byte]] = 1.0
        self.register_buffer("merging", merging, persistent=False)

    def forward(self, rows: Tensor, plan: RowPlan) -> Tensor:
        count, channels = rows.shape[2], self.channels
        index = plan.phase if channels == 1 else plan.phase.unsqueeze(1) + self.offsets
        weights = self.powers.index_select(0, index.reshape(-1)).reshape(-1, channels, count, 8, 2 * channels)
        parts = torch.matmul(rows.reshape(-1, channels, count, rows.shape[3] // 8, 8), weights)
        parts = parts.sum(1) if channels > 1 else parts.squeeze(1)
        merged = nn.functional.conv1d(
            parts.reshape(-1, 1, rows.shape[3] // 8 * 2 * channels), self.merging, stride=2 * channels, padding=channels
        )
        if channels > 1:
            merged = merged.transpose(1, 2)
        return merged.reshape(-1, count, rows.shape[3] // 8 * channels)
