"""Select how images are scored in bulk: in stages, in batches or one by one, with the results of the full model."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.detector.batched import fastest_batch, full_model
from starlight_exporter.detector.compact import CompactImage, compact_image
from starlight_exporter.detector.contract import CROP, META_BYTES, PALETTE_BYTES
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.graph_cut import NoCut
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.providers import CPU, describe_providers
from starlight_exporter.detector.staged import Scorer, stage
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.shard_job import ImageAccess

SAMPLE_IMAGES: Final = 12
"""Files of the dataset on which the staged model is compared with the full model, in addition to synthetic images."""
_LARGEST_SAMPLE_BYTES: Final = 1024 * 1024


_MAX_TRIED: Final = 4 * SAMPLE_IMAGES
"""Files that are read for the sample: some cannot be decoded."""


@dataclass(frozen=True, slots=True)
class SelectedScorer:
    """A scorer; `full_model_reason` is why it is the full model, None if it is the staged model.

    `batch` is the number of images per call of the full model, None for the staged model.
    """

    scorer: Scorer
    full_model_reason: str | None
    batch: int | None = None


def select_scorer(
    detector: Detector,
    decision: DecisionRule,
    access: ImageAccess,
    listing: Listing,
    *,
    seed: int,
    activity: Activity = NO_ACTIVITY,
) -> SelectedScorer:
    """Return the staged model if it agrees with the full model on a sample of the dataset, else the full model.

    Stages run on one image per call, which suits the CPU. With other execution providers, the full model runs on
    batches of the fastest size.
    """
    sampled = _sampled_images(access, listing, seed, activity)
    samples = [*synthetic_images(), *sampled.values()]
    with activity.during("score", *sampled):
        if detector.providers != CPU:
            batch = fastest_batch(detector, decision, samples)
            reason = f"{describe_providers(detector.providers)} runs the full model, {batch} images per call"
            return SelectedScorer(full_model(detector, decision, batch), reason, batch)
        staged = stage(detector, samples, decision)
    if isinstance(staged, NoCut):
        return SelectedScorer(full_model(detector, decision, 1), staged.reason, 1)
    return SelectedScorer(staged, None)


def _sampled_images(access: ImageAccess, listing: Listing, seed: int, activity: Activity) -> dict[str, CompactImage]:
    """Return images of the dataset by path, of files that are not large; fewer if many cannot be decoded."""
    candidates = listing.files.up_to_size(_LARGEST_SAMPLE_BYTES)
    tried = random.Random(seed).sample(range(len(candidates)), min(_MAX_TRIED, len(candidates)))
    limits = replace(access.limits, max_file_bytes=min(access.limits.max_file_bytes, _LARGEST_SAMPLE_BYTES))
    # Without the cache: a sample would make segments of its own.
    images = replace(access, limits=limits, cache=None).start(activity)
    found: dict[str, CompactImage] = {}
    try:
        for place in tried:
            for read in images.reader.files(listing.shard([int(candidates[place])])):
                # The bulk pass reports problems.
                with suppress(ImageError):
                    if read.data is not None:
                        found[read.file.path] = images.decoder.decoded(read)[0]
            if len(found) == SAMPLE_IMAGES:
                break
    finally:
        images.close()
    return found


def synthetic_images() -> tuple[CompactImage, CompactImage]:
    """Return an image with zeros in every stream, and one with noise in every stream."""
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
