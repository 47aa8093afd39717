"""Columns of predictions that are computed from others: dense codes of covers and contents, and the order of a page."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.evaluation.prediction_arrays import MISSING, ArrayBuilder

COVER: Final = "coalesce(nullif(cover, ''), path)"
CODES: Final[Mapping[str, str]] = {
    "cover": f"SELECT dense_rank() OVER (ORDER BY {COVER}) - 1, number FROM predictions",
    "content": "SELECT dense_rank() OVER (ORDER BY sha256) - 1, number FROM predictions WHERE sha256 != x''",
}
"""Columns of dense codes: files of one cover, and files of one content, have the same code."""


def confidence_order(probability: ArrayBuilder, verdict: ArrayBuilder) -> NDArray[np.int32]:
    """Return the numbers of the images, ordered by the probability of their verdict, the highest first."""
    p, v = probability.values(), verdict.values()
    confidence = np.where(v == 1, p, 1 - p)
    confidence[v == MISSING] = np.nan
    # NaN is last in both; stable, so that equal images keep their order.
    return np.argsort(-confidence, kind="stable").astype("<i4")


def dense_codes(database: sqlite3.Connection, query: str, images: int) -> NDArray[np.int32]:
    """Return the codes of a query for (code, number), MISSING without one."""
    codes = np.full(images, MISSING, "<i4")
    pairs = np.fromiter(database.execute(query), np.dtype((np.int32, 2)))
    codes[pairs[:, 1]] = pairs[:, 0]
    return codes
