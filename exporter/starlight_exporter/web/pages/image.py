"""One image: what it is, what every configured model says of it, and its eight streams drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from starlight_exporter.analysis.comparison import is_wrong
from starlight_exporter.dataset.rendered_streams import RenderedStreams
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_store import Row
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import ModelState
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.images import image_content, images_table
from starlight_exporter.web.pages.page import Page, Table

_CAPTIONS: Final = {
    "pixel": "pixel: the centre, 256 × 256",
    "lsb-red": "lsb: red",
    "lsb-green": "lsb: green",
    "lsb-blue": "lsb: blue",
    "alpha": "alpha: the plane",
    "alpha-lsb": "alpha: its LSB",
    "palette": "palette: its colours, in order",
    "palette-lsb": "palette_lsb: grey value's LSB",
}
_FORMAT: Final = ("has alpha", "alpha deviation / 255", "is palette", "is RGB", "width / 256", "height / 256")
_CONTENT: Final = tuple(
    f"{plane} LSB: {what}"
    for plane in ("RGB", "alpha")
    for what in ("share of distinct bytes", "share of printable bytes", "share of commonest byte")
)
_READABLE: Final = re.compile(rb"[ -~]{4,}")
_DUMP_WIDTH: Final = 16
_DUMP_ROWS: Final = 128


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one configured model says; `evaluation` and `row` are None where it was not evaluated on this content."""

    model: ModelState
    evaluation: Entry | None
    row: Row | None

    @property
    def wrong(self) -> bool | None:
        """Whether it errs; None where it says nothing."""
        return None if self.row is None else is_wrong(self.row.prediction)


def image_page(
    evidence: Evidence,
    entry: Entry,
    row: Row,
    models: Iterable[ModelState],
    drawn: RenderedStreams | str,
) -> Page:
    """`drawn` is a text where there is no drawing: it says why."""
    drawing, not_drawn = (None, drawn) if isinstance(drawn, str) else (drawn, "")
    opinions = [_opinion(evidence, entry, row, model) for model in models]
    base = links.image(entry.id, row.number)
    pictures = (
        []
        if drawing is None
        else [(f"{base}/{name}.png", caption) for name, caption in _CAPTIONS.items() if name in drawing.images]
    )
    absent = [] if drawing is None else [caption for name, caption in _CAPTIONS.items() if name not in drawing.images]
    floats = (
        []
        if drawing is None
        else [*zip(_FORMAT, drawing.format, strict=True), *zip(_CONTENT, drawing.content, strict=True)]
    )
    return Page(
        template="image.html",
        path=base,
        values={
            "entry": entry,
            "row": row,
            "wrong": is_wrong(row.prediction),
            "opinions": opinions,
            "rules": _by_rule(opinions),
            "drawing": drawing,
            "not_drawn": not_drawn,
            "pictures": pictures,
            "absent": absent,
            "dump": [] if drawing is None else dump(drawing.meta),
            "readable": [] if drawing is None else readable(drawing.meta),
            "floats": floats,
        },
        content={
            "evaluation": entry.id,
            "image": image_content(entry, row),
            "verdicts": [_opinion_content(one) for one in opinions],
            "streams": None if drawing is None else _streams(drawing, pictures, floats),
            "not_drawn": not_drawn,
        },
        tables={"verdicts": _verdicts(opinions), "image": images_table([row])},
    )


def dump(data: bytes) -> list[tuple[str, str, str]]:
    """Bytes as offset, hexadecimal and text, printable ASCII alone; zero bytes at the end are left out."""
    left = data.rstrip(b"\0")
    rows = []
    for start in range(0, min(len(left), _DUMP_WIDTH * _DUMP_ROWS), _DUMP_WIDTH):
        part = left[start : start + _DUMP_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        rows.append((f"{start:04x}", part.hex(" ").ljust(_DUMP_WIDTH * 3 - 1), text))
    return rows


def readable(data: bytes) -> list[str]:
    """The runs of at least four printable ASCII characters, as the tool `strings` finds them."""
    return [run.decode("ascii") for run in _READABLE.findall(data)]


def _opinion(evidence: Evidence, entry: Entry, row: Row, model: ModelState) -> Opinion:
    """From the newest stored predictions of that model which saw this file with this content."""
    if model.name == entry.model:
        return Opinion(model, entry, row)
    for other in evidence.entries(model.name, entry.dataset)[:1]:
        found = evidence.open(other).of_path(row.prediction.path)
        if found is not None and found.prediction.sha256 == row.prediction.sha256:
            return Opinion(model, other, found)
    return Opinion(model, None, None)


def _by_rule(opinions: Iterable[Opinion]) -> dict[str, list[str]]:
    """Decision rule → the models that use it."""
    rules: dict[str, list[str]] = {}
    for one in opinions:
        rules.setdefault(one.model.decision, []).append(one.model.name)
    return rules


def _opinion_content(one: Opinion) -> dict[str, Any]:
    prediction = None if one.row is None else one.row.prediction
    return {
        "model": one.model.name,
        "role": one.model.role,
        "decision": one.model.decision,
        "evaluation": None if one.evaluation is None else one.evaluation.id,
        "probability": None if prediction is None else prediction.probability,
        "verdict": None if prediction is None else prediction.verdict,
        "predicted_method": None if prediction is None else prediction.predicted_method,
        "wrong": one.wrong,
    }


def _streams(
    drawing: RenderedStreams, pictures: list[tuple[str, str]], floats: list[tuple[str, float]]
) -> dict[str, Any]:
    return {
        "pictures": {caption: link for link, caption in pictures},
        "meta_text": readable(drawing.meta),
        "meta_hex": drawing.meta.rstrip(b"\0").hex(),
        "exif_bytes": drawing.exif_bytes,
        "tail_bytes": drawing.tail_bytes,
        "colours": drawing.colours,
        "features": dict(floats),
    }


def _verdicts(opinions: list[Opinion]) -> Table:
    return Table(
        ("model", "role", "decision", "probability", "verdict", "predicted_method", "wrong", "evaluation"),
        [
            (
                one.model.name,
                one.model.role,
                one.model.decision,
                None if p is None else p.probability,
                None if p is None or p.verdict is None else "stego" if p.verdict else "clean",
                None if p is None else p.predicted_method,
                one.wrong,
                None if one.evaluation is None else one.evaluation.id,
            )
            for one in opinions
            for p in (None if one.row is None else one.row.prediction,)
        ],
    )
