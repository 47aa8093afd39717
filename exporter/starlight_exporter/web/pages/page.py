"""A page in three forms: HTML from a template, JSON, and each of its tables as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

import starlight_exporter
from starlight_exporter import formatting
from starlight_exporter.evaluation.prediction_columns import Cell

TEMPLATES: Final = Path(__file__).parents[1] / "templates"

CHART_WIDTH: Final = 560

_MAIN_START, _MAIN_END = '<main id="content">', "</main>"
"""Around the content of a page in base.html."""


class SitePath(str):
    """A path of this site without the prefix of the site, which is added when a page is rendered."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page in full precision; None is an empty cell (not measured or not applicable)."""

    columns: tuple[str, ...]
    rows: Iterable[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page at the URL of `path` and `query`. `values` are passed to the template, `content` is the JSON form.

    `tables` are the CSV forms by name; `path.csv` without a name returns the first one.
    """

    template: str
    path: str
    values: Mapping[str, Any]
    content: Mapping[str, Any]
    tables: Mapping[str, Table]
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def json_url(self) -> SitePath:
        """Return the URL of the JSON form."""
        return url(_with_suffix(self.path, ".json"), self.query)

    def csv_url(self, table: str) -> SitePath:
        """Return the URL of a table as CSV."""
        return url(_with_suffix(self.path, ".csv"), {**self.query, "table": table})


def url(path: str, query: Mapping[str, str | None]) -> SitePath:
    """Return path and query, without the parameters that are None."""
    given = {name: value for name, value in query.items() if value is not None}
    return SitePath(f"{path}?{urlencode(given)}" if given else path)


def html(page: Page, root: str) -> str:
    """Return the page as HTML; all values are escaped. `root` is the prefix of the site in links."""
    template = _ENVIRONMENT.get_template(page.template)
    return template.render(page=page, version=starlight_exporter.__version__, root=root, **page.values)


def body_html(page: Page) -> str:
    """Return the content of a page as HTML, without the frame of the site."""
    _, _, rest = html(page, "").partition(_MAIN_START)
    body, _, _ = rest.partition(_MAIN_END)
    return body


def render(template: str, root: str, **values: object) -> str:
    """Return a page that has no other forms as HTML; all values but markup are escaped."""
    found = _ENVIRONMENT.get_template(template)
    return found.render(version=starlight_exporter.__version__, root=root, page=None, **values)


def error_html(status: int, text: str, root: str) -> str:
    """Return the HTML page of an error."""
    return render("error.html", root, status=status, text=text)


def json_text(page: Page, root: str) -> str:
    """Return the page as JSON. `root` is the prefix of the site in links."""
    return json.dumps(_plain(page.content, root), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _plain(value: object, root: str) -> object:
    """Return a value of JSON types, with the prefix of the site in its paths."""
    if isinstance(value, SitePath):
        return root + value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name), root) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item, root) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, root) for item in value]
    return value


@pass_context
def _with_root(context: Context, value: object) -> object:
    return f"{context['root']}{value}" if isinstance(value, SitePath) else value


def _with_suffix(path: str, suffix: str) -> str:
    return f"/status{suffix}" if path == "/" else path + suffix


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    finalize=_with_root,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.loopcontrols"],
)
_ENVIRONMENT.filters |= {
    "percent": formatting.percent,
    "percent_range": formatting.percent_range,
    "fraction": formatting.fraction,
    "integer": formatting.integer,
    "milliseconds": formatting.milliseconds,
    "milliseconds_range": formatting.milliseconds_range,
    "images_per_second": formatting.images_per_second,
    "decimal": formatting.decimal,
    "p_value": formatting.p_value,
    "p_equation": formatting.p_value_equation,
    "ratio": lambda value: f"{value:.3f} ×",
    "ratio_number": lambda value: f"{value:.3f}",
    "utc": formatting.utc,
    "iso": formatting.iso,
    "size": formatting.size,
    "words": formatting.words,
    "number": lambda value: f"{value:g}",
    "rate": formatting.embedding_rate,
    "rate_range": lambda at: formatting.embedding_rate_range(at.lower, at.upper),
}
