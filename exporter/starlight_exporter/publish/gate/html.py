"""HTML page of one run of the gate: one file that requests nothing, with thumbnails of the misclassified images."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import jinja2

import starlight_exporter
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import missing_images
from starlight_exporter.checks.suite_result import limit_text, value_text
from starlight_exporter.formatting import age, decimal, integer, rate, utc, words
from starlight_exporter.publish import style_sheets
from starlight_exporter.publish.gate.report import GateReport, WrongImages, distinct
from starlight_exporter.statistics.intervals import Proportion

SHOWN: Final = 120
"""Misclassified images with a thumbnail, of all slices together; the others are counted."""

LISTED: Final = 100
"""Images without a verdict that are listed; the others are counted."""


def shown_images(report: GateReport) -> tuple[WrongImages, ...]:
    """Return the misclassified images that the page shows: of every slice in turn, up to SHOWN in total."""
    groups = distinct(report.wrong)
    turns = zip_longest(*([(group.slice, image) for image in group.images] for group in groups))
    chosen = [one for one in chain.from_iterable(turns) if one is not None][:SHOWN]
    return tuple(replace(group, images=tuple(image for key, image in chosen if key == group.slice)) for group in groups)


def html_page(report: GateReport, thumbnails: Mapping[str, bytes]) -> str:
    """Return the page. `thumbnails` maps the path of an image to a PNG; other images are shown without one."""
    return _template().render(
        report=report,
        evaluation=report.evaluation,
        open_checks=[check for check in report.checks if not check.passed],
        empty_tests=[test for test in report.tests if not test.checks],
        missing=missing_images(report.evaluation),
        groups=list(zip(shown_images(report), distinct(report.wrong), strict=True)),
        thumbnails={path: base64.b64encode(png).decode("ascii") for path, png in thumbnails.items()},
        unmeasured=report.unmeasured[:LISTED],
        version=starlight_exporter.__version__,
        state=_state(report),
        style=style_sheets.style(style_sheets.PAGES),
    )


def _state(report: GateReport) -> str:
    return {0: "good", 1: "bad"}.get(report.code, "warn")


def _check_state(check: CheckResult) -> str:
    if check.passed:
        return "good"
    return "bad" if check.severity == "critical" else "warn"


def _rows(report: GateReport) -> list[tuple[str, Proportion]]:
    """Return the measured rates with their names."""
    evaluation = report.evaluation
    return [
        ("false positive rate", evaluation.clean),
        *((f"false positive rate, {name}", one) for name, one in evaluation.clean_by_format.items()),
        *((f"false positive rate, negative {name}", one) for name, one in evaluation.negatives.items()),
        *((f"detection rate, {method}", one) for method, one in evaluation.detections.items()),
    ]


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"rows": _rows, "check_state": _check_state}
    environment.filters |= {
        "age": age,
        "decimal": decimal,
        "integer": integer,
        "limit": limit_text,
        "rate": rate,
        "utc": utc,
        "value": lambda check: value_text(check, check.value),
        "words": words,
    }
    return environment.get_template("report.html")
