"""Class labels of Hugging Face: numbers whose names are in the metadata of a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def label_names(schema: Any) -> Mapping[str, Sequence[str]]:
    """Return the names of the class labels by column, from the metadata that Hugging Face writes."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}


def named(names: Sequence[str] | None, value: object) -> object:
    """Return the name of a class label; the value itself if it has none."""
    if isinstance(names, list) and type(value) is int and 0 <= value < len(names):
        return names[value]
    return value
