"""Read the sidecar of a stego file: `{file}.json` with the embedding and the cover."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.names import is_cover, is_source
from starlight_exporter.detector.contract import TECHNIQUES, Method
from starlight_exporter.file_access import read_content

BIT_ORDERS: Final = ("lsb-first", "msb-first")
MAX_SIDECAR_BYTES: Final = 1024 * 1024

MAX_PAYLOAD_BYTES: Final = 2**63 - 1
"""The largest integer of a stored prediction."""
_COVER_KEYS: Final = ("clean_file", "cover")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Content of a sidecar; None for what it does not state. `cover` is a file name or a key that files share.

    `source` is where the cover comes from, `reaches_crop` whether the payload reaches the centre crop.
    """

    method: Method | None = None
    bit_order: str | None = None
    payload_bytes: int | None = None
    cover: str | None = None
    source: str | None = None
    reaches_crop: bool | None = None


class SidecarError(Exception):
    """A sidecar cannot be used; the text is the reason."""


def read_sidecar(path: Path, *, root: Path) -> Sidecar:
    """Return the content of a sidecar, empty without one. `root` is that of the dataset. Raises SidecarError."""
    try:
        data = read_content(path, max_bytes=MAX_SIDECAR_BYTES, root=root).data
    except FileNotFoundError:
        return Sidecar()
    except OSError as error:
        raise SidecarError(f"sidecar cannot be read: {error.strerror or error}") from error
    return parsed_sidecar(data)


def parsed_sidecar(data: bytes) -> Sidecar:
    """Return what the content of a sidecar states. Raises SidecarError."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SidecarError(f"sidecar is not JSON: {error}") from error
    embedding = content.get("embedding") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(embedding, dict | None):
        raise SidecarError("sidecar must be an object with an object `embedding`")
    technique = None if embedding is None else embedding.get("technique")
    method = TECHNIQUES.get(technique.lower()) if isinstance(technique, str) else None
    if technique is not None and method is None:
        raise SidecarError(f"sidecar has an unknown technique: {str(technique)[:40]!r}")
    order, payload = None if embedding is None else embedding.get("bit_order"), content.get("payload_bytes")
    source, reaches_crop = content.get("source"), content.get("reaches_crop")
    return Sidecar(
        method=method,
        # Information for display, not labels: invalid values are ignored, and the file is measured.
        bit_order=order if order in BIT_ORDERS else None,
        payload_bytes=payload if type(payload) is int and 0 <= payload <= MAX_PAYLOAD_BYTES else None,
        cover=_cover(content),
        source=source if is_source(source) else None,
        reaches_crop=reaches_crop if isinstance(reaches_crop, bool) else None,
    )


def _cover(content: dict[str, object]) -> str | None:
    """Return the stated cover. A wrong one would make intervals too narrow, so it is an error."""
    stated = {key: content[key] for key in _COVER_KEYS if content.get(key) is not None}
    for key, value in stated.items():
        if not is_cover(value):
            raise SidecarError(f"sidecar key `{key}` must be a file name or null")
    if len(set(stated.values())) > 1:
        raise SidecarError("sidecar keys `clean_file` and `cover` differ")
    return next((str(value) for value in stated.values()), None)
