"""One image: its file, the verdicts of all configured models, and its eight input streams."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from starlight_exporter.dataset.rendered_streams import RenderedStreams
from starlight_exporter.evaluation.predictions import is_wrong
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_store import StoredPrediction
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import ModelState
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.images import image_content, images_table
from starlight_exporter.web.pages.page import Page, SitePath, Table

_CAPTIONS: Final = {
    "pixel": "pixel: centre crop, 256 × 256",
    "lsb-red": "lsb: red",
    "lsb-green": "lsb: green",
    "lsb-blue": "lsb: blue",
    "alpha": "alpha: plane",
    "alpha-lsb": "alpha: LSB",
    "palette": "palette: colours in order",
    "palette-lsb": "palette_lsb: LSB of the grey value",
}
_FORMAT: Final = ("has alpha", "alpha deviation / 255", "is palette", "is RGB", "width / 256", "height / 256")
_CONTENT: Final = tuple(
    f"{plane} LSB: {feature}"
    for plane in ("RGB", "alpha")
    for feature in ("share of distinct bytes", "share of printable bytes", "share of most frequent byte")
)
_READABLE: Final = re.compile(rb"[ -~]{4,}")
_DUMP_WIDTH: Final = 16
_DUMP_ROWS: Final = 128


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """The prediction of one configured model; `evaluation` and `row` are None if it did not evaluate this content."""

    model: ModelState
    evaluation: Entry | None
    row: StoredPrediction | None

    @property
    def wrong(self) -> bool | None:
        """Return whether the verdict is wrong; None without a verdict."""
        return None if self.row is None else is_wrong(self.row.prediction)

    @property
    def decision(self) -> str:
        """Return the rule of the verdict, which may not be the configured one; the configured one without a verdict."""
        return self.model.decision if self.evaluation is None else self.evaluation.spec.decision


@dataclass(frozen=True, slots=True)
class StreamView:
    """The streams of an image for its page: images as (URL, caption), absent planes, meta bytes and features."""

    rendered: RenderedStreams
    images: list[tuple[str, str]]
    absent: list[str]
    dump: list[tuple[str, str, str]]
    readable: list[str]
    features: list[tuple[str, float]]

    @classmethod
    def of(cls, rendered: RenderedStreams, url: str) -> StreamView:
        """`url` is the URL of the image's page."""
        return cls(
            rendered=rendered,
            images=[
                (SitePath(f"{url}/{name}.png"), text) for name, text in _CAPTIONS.items() if name in rendered.images
            ],
            absent=[text for name, text in _CAPTIONS.items() if name not in rendered.images],
            dump=dump(rendered.meta),
            readable=readable(rendered.meta),
            features=[
                *zip(_FORMAT, rendered.format, strict=True),
                *zip(_CONTENT, rendered.content, strict=True),
            ],
        )

    def as_content(self) -> dict[str, Any]:
        """Return the streams for JSON."""
        return {
            "images": {caption: link for link, caption in self.images},
            "meta_text": self.readable,
            "meta_hex": self.rendered.meta.rstrip(b"\0").hex(),
            "exif_bytes": self.rendered.exif_bytes,
            "tail_bytes": self.rendered.tail_bytes,
            "colours": self.rendered.colours,
            "features": dict(self.features),
        }


def image_page(
    evidence: Evidence,
    entry: Entry,
    row: StoredPrediction,
    models: Iterable[ModelState],
    rendered: RenderedStreams | str,
) -> Page:
    """Return the page of one image; `rendered` is the reason if its streams could not be rendered."""
    verdicts = [_model_verdict(evidence, entry, row, model) for model in models]
    path = links.image(entry.id, row.number)
    streams, error = (None, rendered) if isinstance(rendered, str) else (StreamView.of(rendered, path), "")
    return Page(
        template="image.html",
        path=path,
        values={
            "entry": entry,
            "row": row,
            "verdicts": verdicts,
            "rules": _by_rule(verdicts),
            "streams": streams,
            "error": error,
        },
        content={
            "evaluation": entry.id,
            "image": image_content(entry, row),
            "verdicts": [_verdict_content(one) for one in verdicts],
            "streams": None if streams is None else streams.as_content(),
            "error": error,
        },
        tables={"verdicts": _verdicts(verdicts), "image": images_table([row])},
    )


def dump(data: bytes) -> list[tuple[str, str, str]]:
    """Return rows of offset, hexadecimal bytes and printable ASCII text, without trailing zero bytes."""
    left = data.rstrip(b"\0")
    rows = []
    for start in range(0, min(len(left), _DUMP_WIDTH * _DUMP_ROWS), _DUMP_WIDTH):
        part = left[start : start + _DUMP_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        rows.append((f"{start:04x}", part.hex(" ").ljust(_DUMP_WIDTH * 3 - 1), text))
    return rows


def readable(data: bytes) -> list[str]:
    """Return the runs of at least four printable ASCII characters, like the tool `strings`."""
    return [run.decode("ascii") for run in _READABLE.findall(data)]


def _model_verdict(evidence: Evidence, entry: Entry, row: StoredPrediction, model: ModelState) -> ModelVerdict:
    """Return the newest stored prediction of a model for this file with this content."""
    if model.name == entry.model:
        return ModelVerdict(model, entry, row)
    for other in evidence.entries(model.name, entry.dataset)[:1]:
        found = evidence.open(other).by_path(row.prediction.path)
        if found is not None and found.prediction.sha256 == row.prediction.sha256:
            return ModelVerdict(model, other, found)
    return ModelVerdict(model, None, None)


def _by_rule(verdicts: Iterable[ModelVerdict]) -> dict[str, list[str]]:
    """Return the models by decision rule."""
    rules: dict[str, list[str]] = {}
    for one in verdicts:
        rules.setdefault(one.decision, []).append(one.model.name)
    return rules


def _verdict_content(one: ModelVerdict) -> dict[str, Any]:
    prediction = None if one.row is None else one.row.prediction
    return {
        "model": one.model.name,
        "role": one.model.role,
        "decision": one.decision,
        "evaluation": None if one.evaluation is None else one.evaluation.id,
        "probability": None if prediction is None else prediction.probability,
        "verdict": None if prediction is None else prediction.verdict,
        "predicted_method": None if prediction is None else prediction.predicted_method,
        "wrong": one.wrong,
    }


def _verdicts(verdicts: list[ModelVerdict]) -> Table:
    return Table(
        ("model", "role", "decision", "probability", "verdict", "predicted_method", "wrong", "evaluation"),
        [
            (
                one.model.name,
                one.model.role,
                one.decision,
                None if p is None else p.probability,
                None if p is None or p.verdict is None else "stego" if p.verdict else "clean",
                None if p is None else p.predicted_method,
                one.wrong,
                None if one.evaluation is None else one.evaluation.id,
            )
            for one in verdicts
            for p in (None if one.row is None else one.row.prediction,)
        ],
    )
