"""Bytes in hexadecimal and as text on the image page."""

from __future__ import annotations

import math

from starlight_exporter.web.pages.image import dump, readable


def test_byte_dump_and_readable_text() -> None:
    rows = dump(b"<b>\0\xff" + b"x" * 16 + b"\0" * 100)
    assert rows[0] == ("0000", "3c 62 3e 00 ff 78 78 78 78 78 78 78 78 78 78 78", "<b>··xxxxxxxxxxx")
    assert rows[1][2] == "xxxxx"
    assert dump(b"\0" * 2048) == []
    assert math.isclose(len(dump(b"y" * 2048)), 128)
    assert readable(b"abc\0<script>\x01\xffEXIF text\0") == ["<script>", "EXIF text"]
