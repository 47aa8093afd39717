"""Compact form of a decoded image: 0.25 MB from which all streams can be computed, instead of 2.3 MB of tensors.

Pixel and alpha planes stay bytes, bit planes are derived or packed, and the twelve values that depend on the full image
(size, alpha statistics) are stored. The tensors are bit-exact with those of `streams.tensors`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.arrays import ByteArray, Tensor
from starlight_exporter.detector.contract import CROP, META_BYTES, PALETTE_BYTES, STREAMS, ImageFormat, Stream
from starlight_exporter.detector.decoding import DecodedImage
from starlight_exporter.detector.features import packed_statistics
from starlight_exporter.detector.streams import (
    alpha_crop,
    fill_alpha,
    format_features,
    low_bits,
    unit_interval,
    workspace,
    zero_filled,
)

DIGEST_BYTES: Final = 16
ZEROS_DIGEST: Final = bytes(DIGEST_BYTES)
"""Digest of a stream that is all zeros."""

_FEATURES: Final[Mapping[Stream, slice]] = {"format": slice(0, 6), "content": slice(6, 12)}


@dataclass(frozen=True, slots=True, eq=False)
class CompactImage:
    """One decoded image, read-only.

    `rgb`: (3, 256, 256) bytes; `alpha`: (256, 256) bytes or None; `luma_bits`: 8,192 bytes, the packed lowest bits of
    (256, 256), or None; `features`: the streams `format` and `content`, 12 float32. `digests` identify the content of
    each stream: equal digests mean equal tensors, ZEROS_DIGEST means zeros. `mode`, `exif_bytes` and `tail_bytes` are
    those of DecodedImage, for display. `replaced` are streams that do not come from this image: zeros (None), a given
    tensor, or the stream of another image.
    """

    image_format: ImageFormat
    width: int
    height: int
    rgb: ByteArray
    alpha: ByteArray | None
    luma_bits: ByteArray | None
    palette: bytes
    meta: bytes
    features: Tensor
    digests: Mapping[Stream, bytes]
    mode: str = ""
    exif_bytes: int = 0
    tail_bytes: int = 0
    replaced: Mapping[Stream, Tensor | CompactImage | None] = field(default_factory=dict)

    def without(self, stream: Stream) -> CompactImage:
        """Return the image with one stream set to zeros."""
        return self._with(stream, None, ZEROS_DIGEST)

    def with_stream_of(self, stream: Stream, other: CompactImage) -> CompactImage:
        """Return the image with one stream of another image."""
        return self._with(stream, other, other.digests[stream])

    def with_tensor(self, stream: Stream, tensor: Tensor) -> CompactImage:
        """Return the image with one stream replaced by a tensor of shape STREAM_SHAPES[stream]."""
        return self._with(stream, tensor, _digest(tensor))

    def _with(self, stream: Stream, source: Tensor | CompactImage | None, digest: bytes) -> CompactImage:
        return replace(self, digests={**self.digests, stream: digest}, replaced={**self.replaced, stream: source})

    def tensor(self, stream: Stream, out: Tensor) -> Tensor:
        """Write a stream to `out`, of shape STREAM_SHAPES[stream], and return it."""
        if stream in self.replaced:
            source = self.replaced[stream]
            if isinstance(source, CompactImage):
                return source.tensor(stream, out)
            out[...] = 0 if source is None else source
            return out
        match stream:
            case "pixel":
                unit_interval(self.rgb, out)
            case "lsb":
                out[...] = low_bits(self.rgb)
            case "alpha":
                fill_alpha(self.alpha, out)
            case "palette_lsb":
                out[...] = 0 if self.luma_bits is None else np.unpackbits(self.luma_bits).reshape(1, CROP, CROP)
            case "palette":
                unit_interval(zero_filled(self.palette, PALETTE_BYTES), out)
            case "meta":
                unit_interval(zero_filled(self.meta, META_BYTES), out)
            case _:
                out[...] = self.features[_FEATURES[stream]]
        return out

    def tensors(
        self, streams: Collection[Stream] = STREAMS, *, out: Mapping[Stream, Tensor] | None = None
    ) -> dict[Stream, Tensor]:
        """Return several streams, in the arrays of `out` or in new ones."""
        arrays = workspace(streams) if out is None else out
        return {stream: self.tensor(stream, arrays[stream]) for stream in streams}


def compact(decoded: DecodedImage) -> CompactImage:
    """Return the compact form of a decoded image."""
    rgb_bits = np.packbits(low_bits(decoded.rgb))
    alpha = None if decoded.alpha is None else np.ascontiguousarray(alpha_crop(decoded.alpha))
    luma_bits = None if decoded.luma is None else np.packbits(low_bits(decoded.luma))
    alpha_statistics = (
        (0.0, 0.0, 0.0) if decoded.alpha is None else packed_statistics(np.packbits(low_bits(decoded.alpha)))
    )
    features = np.array((*format_features(decoded), *packed_statistics(rgb_bits), *alpha_statistics), dtype=np.float32)
    image = compact_image(
        image_format=decoded.image_format,
        width=decoded.width,
        height=decoded.height,
        rgb=decoded.rgb,
        alpha=alpha,
        luma_bits=luma_bits,
        palette=decoded.palette,
        meta=decoded.meta,
        features=features,
        rgb_bits=rgb_bits,
    )
    return replace(image, mode=decoded.mode, exif_bytes=decoded.exif_bytes, tail_bytes=decoded.tail_bytes)


def compact_image(
    *,
    image_format: ImageFormat,
    width: int,
    height: int,
    rgb: ByteArray,
    alpha: ByteArray | None,
    luma_bits: ByteArray | None,
    palette: bytes,
    meta: bytes,
    features: Tensor,
    rgb_bits: ByteArray | None = None,
) -> CompactImage:
    """Create a CompactImage and compute its digests. `rgb_bits` are the packed lowest bits of `rgb`, if available."""
    contents: dict[Stream, NDArray[Any] | bytes | None] = {
        "pixel": rgb,
        "meta": meta,
        "alpha": alpha,
        "lsb": np.packbits(low_bits(rgb)) if rgb_bits is None else rgb_bits,
        "palette": palette,
        "palette_lsb": luma_bits,
        "format": features[_FEATURES["format"]],
        "content": features[_FEATURES["content"]],
    }
    digests = {stream: _digest(content) for stream, content in contents.items()}
    return CompactImage(image_format, width, height, rgb, alpha, luma_bits, palette, meta, features, digests)


def _digest(content: NDArray[Any] | bytes | None) -> bytes:
    if content is None:
        return ZEROS_DIGEST
    if isinstance(content, bytes):
        # Byte streams are padded with zeros, so trailing zeros make no difference.
        stripped = content.rstrip(b"\0")
        return hashlib.sha256(stripped).digest()[:DIGEST_BYTES] if stripped else ZEROS_DIGEST
    return hashlib.sha256(content.data).digest()[:DIGEST_BYTES] if content.any() else ZEROS_DIGEST
