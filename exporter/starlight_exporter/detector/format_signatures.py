"""Recognise image formats by the first bytes of a file, without a decoder.

Only eight formats are decoded. The decoders of others open further images or programs, or read without a limit.
"""

from __future__ import annotations

import re
from typing import Final

from starlight_exporter.errors import ImageError

DECODED_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF")
"""Pillow's names of the formats that are decoded. MPO is opened as JPEG."""
SIGNATURE_BYTES: Final = 256
"""Number of bytes at the start of a file that decide on its format."""

_DECODED: Final = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"BM", "BMP"),
    (rb"II[*+]\0|MM\0[*+]|II\0\*|MM\*\0", "TIFF"),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (rb".{4}ftyp(avif|avis)", "AVIF"),
    # A container brand, which HEIC files have too: the compatible brands decide.
    (rb".{4}ftyp(mif1|msf1).{4}(.{4})*?(avif|avis)", "AVIF"),
)
_NOT_DECODED: Final = (
    (rb".{4}ftyp", "HEIC or a video"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb"II\xbc|WMPHOTO", "JPEG XR"),
    (rb"\0\0[\x01\x02]\0", "ICO"),
    (rb"icns", "ICNS"),
    (rb"8BPS", "PSD"),
    (rb"P[1-7fF][\s#]", "PNM"),
    (rb"\s*(<\?xml.*?)?(<!--.*?--\s*>\s*)?(<!DOCTYPE\s+svg|<svg)", "SVG"),
    (rb"%PDF", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"\x1c[\x01-\x09]", "IPTC"),
    (rb"DDS ", "DDS"),
    (rb"qoif", "QOI"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"#\?(RADIANCE|RGBE)", "Radiance HDR"),
    (rb"SIMPLE  =", "FITS"),
    (rb"\x01\xda[\0\x01][\x01\x02]", "SGI"),
    (rb"\x59\xa6\x6a\x95", "Sun raster"),
    (rb"\x0a[\0\x02-\x05][\0\x01][\x01\x02\x04\x08]", "PCX"),
    (rb"\xb1\x68\xde\x3a", "DCX"),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "Windows metafile"),
    (rb"/\* XPM \*/", "XPM"),
    (rb"gimp xcf", "XCF"),
    (rb"\x89HDF\r\n\x1a\n", "HDF5"),
    (rb"GRIB", "GRIB"),
    (rb"BUFR", "BUFR"),
    (rb"BLP[12]", "BLP"),
    (rb"\x8aMNG\r\n\x1a\n|\x8bJNG\r\n\x1a\n", "MNG"),
    (rb"AT&TFORM", "DjVu"),
    (rb"FLIF", "FLIF"),
    (rb"\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video"),
)


def decoded_format(data: bytes) -> str:
    """Return Pillow's name of the format of a file, from its first SIGNATURE_BYTES.

    Raises ImageError `unsupported` for other known formats, and `unreadable` if none is recognised.
    """
    start = data[:SIGNATURE_BYTES]
    for signature, name in _DECODED:
        if re.match(signature, start, re.DOTALL):
            return name
    for signature, name in _NOT_DECODED:
        if re.match(signature, start, re.DOTALL):
            raise ImageError(f"the format is not supported: {name}", reason="unsupported")
    raise ImageError("no image format is recognised", reason="unreadable")
