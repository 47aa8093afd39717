"""Staged models with a larger rounding error than the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from starlight_exporter.detector.agreement import LOG_ODDS_TOLERANCE
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.shared_outputs import Outputs
from starlight_exporter.detector.staged import StagedModel
from starlight_exporter.errors import ImageError

LAST_BITS: Final = 4e-7
"""A difference of log-odds that changes a probability of 0.5 by 1e-7."""

OutputsOf = Callable[[Sequence[CompactImage]], list[Outputs | ImageError]]


def disturbed(outputs: OutputsOf, difference: float, *, seed: int) -> OutputsOf:
    """Return a replacement of `StagedModel.outputs` whose log-odds differ by `difference` in random directions."""
    rng = np.random.default_rng(seed)

    def disturb(values: NDArray[Any]) -> NDArray[Any]:
        # The log-odds of two methods differ by `difference` if each logit differs by half of it.
        size = difference * np.maximum(1.0, np.abs(values)) if values.size == 1 else difference / 2
        changed: NDArray[Any] = (values + size * rng.choice((-1.0, 1.0), values.shape)).astype(np.float32)
        return changed

    def replacement(images: Sequence[CompactImage]) -> list[Outputs | ImageError]:
        return [
            entry if isinstance(entry, ImageError) else tuple(disturb(values) for values in entry)
            for entry in outputs(images)
        ]

    return replacement


def raise_staged_log_odds(monkeypatch: pytest.MonkeyPatch, difference: float = LOG_ODDS_TOLERANCE / 2) -> None:
    """Raise the stego logit of every staged model by `difference`: by default, its verification still succeeds."""
    original = StagedModel.outputs

    def outputs(self: StagedModel, images: Sequence[CompactImage]) -> list[Outputs | ImageError]:
        return [
            entry if isinstance(entry, ImageError) else (_raised(entry[0], difference), *entry[1:])
            for entry in original(self, images)
        ]

    monkeypatch.setattr(StagedModel, "outputs", outputs)


def _raised(logit: NDArray[Any], difference: float) -> NDArray[Any]:
    return np.asarray(logit + difference * np.maximum(1.0, np.abs(logit)), np.float64)
