# mypy: disable-error-code="misc"
# PyTorch is not looked into (it is optional), so its Module is an unknown base class.
"""Where the picture lies in the crop, which of its rows are read, and which bytes their bits spell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from starlight_exporter.detector.contract import CROP

SEGMENT: Final = CROP // 8
"""Bytes are looked at in segments of 32: one row of a single plane, a third of a row of an RGB plane."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the picture lies in the crop, N×1 floats: its first row and column there, the rows and columns it fills.

    `above`: how many of its rows are above the crop, `stride`: its width, both modulo 8; `first`: the column of the
    picture at the crop's first.
    """

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    above: Tensor
    first: Tensor
    stride: Tensor

    @classmethod
    def of(cls, format_features: Tensor) -> Layout:
        """From the width and height over 256 that the format stream carries (N×6), by the contract's centre crop."""
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

    def read(self, rows: Sequence[int]) -> Rows:
        """The plan for reading these rows of the picture."""
        numbers = torch.tensor(rows).float()
        # Any larger multiple of 8 keeps the difference positive.
        phase = torch.fmod((8.0 * CROP * 8.0 - self.first) - (self.above + numbers) * self.stride, 8.0)
        start = torch.arange(float(SEGMENT)) * 8.0 + (phase - self.left).unsqueeze(2)
        last = torch.where(numbers < self.height, self.width - 8.0, -1.0)
        place = (self.top + numbers).clamp(max=CROP - 1.0).to(torch.int64)
        return Rows(place, phase.to(torch.int64), (start >= 0.0) & (start <= last.unsqueeze(2)))


@dataclass(frozen=True, slots=True)
class Rows:
    """R rows of the crop to read: their places (N×R), how many pixels of each belong to a byte begun before its first
    (N×R), and which groups of eight pixels from there on lie in the picture (N×R×32, booleans).
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
        image = torch.arange(batch).reshape(-1, 1, 1) * (count * CROP)
        index = (self.place.unsqueeze(1) + image) + torch.tensor(channels).reshape(-1, 1) * CROP
        return planes.reshape(-1, CROP).index_select(0, index.reshape(-1)).reshape(batch, len(channels), -1, CROP)


class ByteReader(nn.Module):
    """Rows of bit planes (0 and 1) → bytes, lowest bit first; eight pixels from 8g + phase on make `channels` bytes.

    One channel: planes side by side, N×1×R×8G → N×R×G. Three, which share their bytes: N×3×R×256 → N×R×96. Each row is
    multiplied with the powers of two at its own phase. What a byte gets from behind a plane's last group is of no use;
    `Rows.whole` says that it is not there.
    """

    powers: Tensor
    offsets: Tensor
    joining: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        # [channel, phase, column in the group, byte that began in the group before | byte that begins in this group]
        powers = torch.zeros(channels, 8, 8, 2 * channels)
        for phase in range(8):
            for pixel in range(8):
                for channel in range(channels):
                    byte, bit = divmod(pixel * channels + channel, 8)
                    before, column = divmod(phase + pixel, 8)
                    powers[channel, phase, column, byte + channels * (1 - before)] = 2.0**bit
        self.register_buffer("powers", powers.reshape(8 * channels, -1), persistent=False)
        self.register_buffer("offsets", 8 * torch.arange(channels).reshape(1, -1, 1), persistent=False)
        # A window over a group's parts and those of the next adds the two parts of each byte.
        joining = torch.zeros(channels, 1, 4 * channels)
        for byte in range(channels):
            joining[byte, 0, [2 * channels + byte, 3 * channels + byte]] = 1.0
        self.register_buffer("joining", joining, persistent=False)

    def forward(self, rows: Tensor, plan: Rows) -> Tensor:
        count, channels = rows.shape[2], self.channels
        index = plan.phase if channels == 1 else plan.phase.unsqueeze(1) + self.offsets
        weights = self.powers.index_select(0, index.reshape(-1)).reshape(-1, channels, count, 8, 2 * channels)
        parts = torch.matmul(rows.reshape(-1, channels, count, rows.shape[3] // 8, 8), weights)
        parts = parts.sum(1) if channels > 1 else parts.squeeze(1)
        joined = nn.functional.conv1d(
            parts.reshape(-1, 1, rows.shape[3] // 8 * 2 * channels), self.joining, stride=2 * channels, padding=channels
        )
        if channels > 1:
            joined = joined.transpose(1, 2)
        return joined.reshape(-1, count, rows.shape[3] // 8 * channels)
