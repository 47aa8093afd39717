"""Images of an evaluation, with filters and paging: misclassified, not measured, or all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.dataset.sidecar import BIT_ORDERS
from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.errors import QueryError
from starlight_exporter.evaluation.payload_results import RATE_BINS, SIZE_BINS
from starlight_exporter.evaluation.prediction_columns import COLUMNS, NAMES
from starlight_exporter.evaluation.predictions import is_wrong
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_queries import (
    FILTERS,
    SELECTION_DIRECTIONS,
    SHOWN,
    SLICE_FILTERS,
    Selection,
    Shown,
)
from starlight_exporter.publish.prediction_store import PredictionStore, StoredPrediction
from starlight_exporter.publish.retention import Entry
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.page import Page, Table, url

PAGE_SIZE: Final = 60
CSV_ROWS: Final = 100_000
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "class": FILE_CLASSES,
    "method": METHODS,
    "format": (*FORMATS, "other"),
    "embedding_rate": tuple(dict.fromkeys(name for bins in RATE_BINS.values() for name in bins.names)),
    "size": SIZE_BINS.names,
    "reaches_crop": ("false", "true"),
    "bit_order": BIT_ORDERS,
    "direction": SELECTION_DIRECTIONS,
    "shown": SHOWN,
}
_DIRECTION_TEXT: Final[Mapping[str, str]] = {
    "false_positive": "false positives",
    "false_negative": "false negatives",
    "broken": "broken",
    "fixed": "fixed",
}


@dataclass(frozen=True, slots=True)
class ImagesQuery:
    """The parameters of a page of images; `against` is the id of an evaluation or the name of a model."""

    selection: Selection
    against: str | None
    page: int

    @classmethod
    def parse(cls, query: Mapping[str, str], *, misclassified: bool) -> ImagesQuery:
        """Parse the query string; QueryError names the invalid parameter and the expected values."""
        for name, known in _KNOWN.items():
            if query.get(name) and query[name] not in known:
                raise QueryError(f"{name}: expected one of {', '.join(known)}; got {query[name][:40]!r}")
        number = query.get("page") or "1"
        if not (number.isascii() and number.isdecimal() and 1 <= len(number) <= 6 and int(number) > 0):
            raise QueryError(f"page: expected an integer from 1; got {number[:40]!r}")
        shown = "wrong" if misclassified else query.get("shown") or "all"
        selection = Selection(
            shown=shown,  # type: ignore[arg-type]  # checked above
            filters={name: query[name] for name in (*FILTERS, *SLICE_FILTERS) if query.get(name)},
            direction=query.get("direction") or None,  # type: ignore[arg-type]
        )
        return cls(selection, query.get("against") or None, int(number))


def images_page(
    evidence: Evidence, entry: Entry, before: Entry | None, query: ImagesQuery, *, misclassified: bool
) -> Page:
    """Return one page of a selection. `before` is the evaluation that `broken` and `fixed` refer to, if any."""
    selection = _applicable(query.selection, before)
    store = evidence.open(entry, before=before)
    count, measured = store.count(selection), store.measured(selection)
    pages = max(1, math.ceil(count / PAGE_SIZE))
    number = min(query.page, pages)
    rows = store.page(selection, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE)
    path = f"{links.evaluation(entry.id)}/{'misclassified' if misclassified else 'images'}"
    parameters = _parameters(query, misclassified)
    before_rows = store.previous(rows)
    rate = proportion(count, measured) if selection.direction is None and selection.shown == "wrong" else None
    return Page(
        template="images.html",
        path=path,
        query=parameters,
        values={
            "entry": entry,
            "before": before,
            "misclassified": misclassified,
            "shown": selection.shown,
            "direction": selection.direction,
            "nothing_to_compare": query.selection.compares and before is None,
            "count": count,
            "measured": measured,
            "rate": rate,
            "rows": [(row, is_wrong(row.prediction), before_rows.get(row.number)) for row in rows],
            "filters": _filters(store, selection, path, parameters, before, labelled=entry.alarms is None),
            "number": number,
            "pages": pages,
            "first": url(path, {**parameters, "page": None}),
            "back": url(path, {**parameters, "page": str(number - 1)}) if number > 1 else None,
            "forward": url(path, {**parameters, "page": str(number + 1)}) if number < pages else None,
        },
        content={
            "evaluation": entry.id,
            "compared_with": None if before is None else before.id,
            "count": count,
            "measured": measured,
            "rate": rate,
            "page": number,
            "pages": pages,
            "images": [image_content(entry, row) for row in rows],
        },
        tables={"images": images_table(rows)},
    )


def all_images_table(evidence: Evidence, entry: Entry, before: Entry | None, query: ImagesQuery) -> Table:
    """Return all images of a selection, not one page, up to CSV_ROWS."""
    selection = _applicable(query.selection, before)
    return images_table(evidence.open(entry, before=before).rows(selection, limit=CSV_ROWS))


def _applicable(selection: Selection, before: Entry | None) -> Selection:
    """Drop the direction if it needs an evaluation to compare with and there is none; the page shows a warning."""
    return Selection(selection.shown, selection.filters) if selection.compares and before is None else selection


def image_content(entry: Entry, row: StoredPrediction) -> dict[str, Any]:
    """Return one prediction for JSON."""
    return {"number": row.number, "page": links.image(entry.id, row.number), **asdict(row.prediction)}


def images_table(rows: Iterable[StoredPrediction]) -> Table:
    """Return predictions with the properties of their files. The rows are made while the table is read, once."""
    cells = (
        (row.number, *(column.cell(row.prediction) for column in COLUMNS), is_wrong(row.prediction)) for row in rows
    )
    return Table(("number", *NAMES, "wrong"), cells)


def _parameters(query: ImagesQuery, misclassified: bool) -> dict[str, str]:
    parameters = dict(query.selection.filters)
    if query.selection.direction is not None:
        parameters["direction"] = query.selection.direction
    if not misclassified and query.selection.shown != "all":
        parameters["shown"] = query.selection.shown
    if query.against is not None:
        parameters["against"] = query.against
    if query.page > 1:
        parameters["page"] = str(query.page)
    return parameters


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter, with its URL; `count` is None for all values."""

    text: str
    link: str
    active: bool
    count: int | None = None


def _filters(
    store: PredictionStore,
    selection: Selection,
    path: str,
    parameters: Mapping[str, str],
    before: Entry | None,
    *,
    labelled: bool,
) -> list[tuple[str, list[Choice]]]:
    filters: list[tuple[str, list[Choice]]] = []
    kept = {name: value for name, value in parameters.items() if name != "page"}
    for name, values in store.facets(selection).items():
        active = selection.filters.get(name)
        if active is not None and active not in dict(values):
            values.append((active, 0))
        if not values or (len(values) == 1 and active is None):
            continue
        choices = [Choice("all", url(path, {**kept, name: None}), active is None)]
        choices += [Choice(v, url(path, {**kept, name: v}), v == active, n) for v, n in values]
        filters.append((name, choices))
    for name, active in selection.slices.items():
        every = Choice("all", url(path, {**kept, name: None}), active=False)
        filters.append((name, [every, Choice(active, url(path, kept), active=True, count=store.count(selection))]))
    if not labelled:
        return [*filters, ("shown", _shown_choices(store, selection, path, kept))]
    directions = [Choice("all", url(path, {**kept, "direction": None}), selection.direction is None)]
    for direction in SELECTION_DIRECTIONS:
        if before is None and direction in ("broken", "fixed"):
            continue
        count = store.count(Selection(selection.shown, selection.filters, direction))
        link = url(path, {**kept, "direction": direction})
        directions.append(Choice(_DIRECTION_TEXT[direction], link, direction == selection.direction, count))
    filters.append(("direction", directions))
    return filters


def _shown_choices(store: PredictionStore, selection: Selection, path: str, kept: Mapping[str, str]) -> list[Choice]:
    """Return the selections of unlabelled images, none of which is wrong."""
    choices: tuple[tuple[str, Shown], ...] = (("all", "all"), ("alarms", "alarms"), ("not measured", "not_measured"))
    return [
        Choice(
            text,
            url(path, {**kept, "shown": None if shown == "all" else shown}),
            shown == selection.shown,
            store.count(Selection(shown, selection.filters)),
        )
        for text, shown in choices
    ]
