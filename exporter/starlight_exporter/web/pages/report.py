"""Report of one stored evaluation: its page as one file that requests nothing, with thumbnails of wrong images."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.file_access import read_content
from starlight_exporter.publish import style_sheets
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_queries import Selection
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import DatasetState, snapshot_of
from starlight_exporter.web.pages.evaluation import DEFAULT_PREVALENCE, evaluation_page
from starlight_exporter.web.pages.page import body_html, render
from starlight_exporter.web.pages.standalone import without_links

SHOWN: Final = 120
"""Images with a thumbnail, the most confident verdicts first; the others are counted."""
_MAX_THUMBNAIL_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReportImage:
    """A misclassified image, or an alarm of an unlabelled dataset; `png` is the stored thumbnail in Base64."""

    prediction: Prediction
    png: str | None


def report_html(evidence: Evidence, entry: Entry, *, alerts: bool) -> str:
    """Return the report of a stored evaluation; `alerts` is whether failed checks on its dataset alert.

    Raise StorageError if the evidence cannot be read.
    """
    evaluation = evidence.evaluation(entry)
    snapshot = snapshot_of(evaluation, evidence.checks(entry), None).with_dataset(
        DatasetState(entry.dataset, alerts=alerts)
    )
    page = evaluation_page(evidence, entry, snapshot, DEFAULT_PREVALENCE, baseline_file=None)
    store, selection = evidence.open(entry), Selection("wrong" if entry.alarms is None else "alarms")
    rows = store.page(selection, limit=SHOWN)
    return render(
        "report.html",
        "",
        entry=entry,
        style=style_sheets.style(style_sheets.PAGES, style_sheets.CHARTS),
        body=without_links(body_html(page)),
        images=[ReportImage(row.prediction, _thumbnail(evidence, entry, row.prediction.path)) for row in rows],
        count=store.count(selection),
    )


def _thumbnail(evidence: Evidence, entry: Entry, path: str) -> str | None:
    file = evidence.thumbnail(entry, thumbnail_name(path))
    if file is None:
        return None
    try:
        return base64.b64encode(read_content(file, max_bytes=_MAX_THUMBNAIL_BYTES).data).decode("ascii")
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror or error}") from error
