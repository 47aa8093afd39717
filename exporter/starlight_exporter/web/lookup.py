"""Stored evaluations and images that a request names; 404 where there is none."""

from __future__ import annotations

import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_store import StoredPrediction
from starlight_exporter.publish.retention import Entry

_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def requested_evaluation(evidence: Evidence, request: Request) -> Entry:
    """Return the evaluation whose id is in the path."""
    entry = evidence.find(request.path_params["id"])
    if entry is None:
        raise HTTPException(404, "no such evaluation, or its evidence was evicted for newer evaluations")
    return entry


def requested_image(evidence: Evidence, request: Request) -> tuple[Entry, StoredPrediction]:
    """Return the evaluation whose id is in the path, and the image of the number that follows it."""
    entry, number = requested_evaluation(evidence, request), request.path_params["number"]
    row = evidence.open(entry).by_number(int(number)) if _NUMBER.fullmatch(number) else None
    if row is None:
        raise HTTPException(404, "the evaluation has no image with this number")
    return entry, row


def compared_evaluation(evidence: Evidence, entry: Entry, against: str | None) -> Entry | None:
    """Return the evaluation to compare with; `against` is an id, or a model of which the newest comparable one is used.

    Without `against` it is the previous evaluation, None if there is none. ComparisonError for different images.
    """
    if against is None:
        return evidence.previous(entry)
    other = evidence.find(against)
    if other is None:
        candidates = evidence.entries(against, entry.dataset)
        other = next((one for one in candidates if not differences(one.spec, entry.spec, "images")), None)
    if other is None:
        raise HTTPException(404, f"against: {against[:60]!r} is neither an evaluation nor a model with these images")
    if reason := differences(other.spec, entry.spec, "images"):
        raise ComparisonError(f"the two evaluations are not comparable: {reason}")
    return other
