"""Chooses how images are scored in bulk: by stages where that gives what the whole model gives, else by the whole."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.compact import CompactImage, compact_image
from starlight_exporter.detector.contract import CROP, META_BYTES, PALETTE_BYTES
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.graph_cut import NoCut
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.staged import StagedModel, stage
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.reading import ImageSource
from starlight_exporter.evaluation.request import RunLimits

SAMPLE_IMAGES: Final = 12
"""Files of the dataset on which the staged model is compared with the whole one, besides drawn images."""
_LARGEST_SAMPLE: Final = 1024 * 1024


def staged(
    detector: Detector,
    decision: DecisionRule,
    root: Path,
    files: Sequence[LabelledFile],
    *,
    limits: RunLimits,
    seed: int,
) -> StagedModel | NoCut:
    """The detector in stages, compared with the whole one on files of this dataset; NoCut says why it runs whole."""
    small = [file for file in files if file.problem is None and file.size_bytes <= _LARGEST_SAMPLE]
    chosen = random.Random(seed).sample(small, min(SAMPLE_IMAGES, len(small)))
    source = ImageSource(root, limits)
    samples = list(drawn_images())
    for file in chosen:
        try:
            samples.append(source.image(file))
        except ImageError:
            # The bulk pass will tell.
            continue
    return stage(detector, samples, decision)


def drawn_images() -> tuple[CompactImage, ...]:
    """An image with nothing but zeros in every stream, and one with noise in every one."""
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return rng.integers(0, 256, shape, dtype=np.uint8)

    zeros = compact_image(
        image_format="other",
        width=CROP,
        height=CROP,
        rgb=np.zeros((3, CROP, CROP), np.uint8),
        alpha=None,
        luma_bits=None,
        palette=b"",
        meta=b"",
        features=np.zeros(12, np.float32),
    )
    full = compact_image(
        image_format="other",
        width=CROP,
        height=CROP,
        rgb=noise(3, CROP, CROP),
        alpha=noise(CROP, CROP),
        luma_bits=noise(CROP * CROP // 8),
        palette=noise(PALETTE_BYTES).tobytes(),
        meta=noise(META_BYTES).tobytes(),
        features=rng.random(12, dtype=np.float32),
    )
    return zeros, full
