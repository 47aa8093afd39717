"""The document: one layout for whatever was read, from Prometheus or from one evaluation made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlight_exporter.formatting import NOT_APPLICABLE, NOT_MEASURED, integer, percent, utc
from starlight_exporter.markdown.alerts import Episode
from starlight_exporter.markdown.dashboard import Dashboard, DatasetFigures, Figure, ModelOnDataset
from starlight_exporter.markdown.reading import Links, Reading, Trends
from starlight_exporter.markdown.trend_charts import detections_chart, false_positives_chart, latency_chart
from starlight_exporter.markdown.wording import cell, code, interval, shown
from starlight_exporter.publish.charts import svg_file

UPDATED = "**Last update:** "
STALE = "> **Stale since "

_SYMBOLS = {
    "pass": "🟢 pass",
    "pass, inconclusive": "🟢 pass, inconclusive",
    "fail, not significant": "🟡 fail, not significant",
    "fail": "🔴 fail",
    "no target": "",
    "not measured": f"⚪ {NOT_MEASURED}",
}
_FIGURES = ("metric", "value", "95% CI", "images", "target", "status")
_CHARTS = (
    ("false_positives", "False positive rate", false_positives_chart),
    ("detections", "Detection rate by method", detections_chart),
    ("latency", "Latency", latency_chart),
)


@dataclass(frozen=True, slots=True)
class Document:
    """The markdown text, and the pictures that belong beside it by file name."""

    text: str
    pictures: Mapping[str, str]


def render(reading: Reading, *, stem: str, now: float) -> Document:
    """The document of one reading; picture names begin with `stem`."""
    board = reading.dashboard
    pictures, trends = _trends(reading.trends, stem)
    lines = [
        "# Starlight performance dashboard",
        "",
        f"{UPDATED}{utc(now)}",
        "",
        f"Written from {reading.source}; do not edit. Rates have exact 95% confidence intervals (Clopper-Pearson), "
        "latencies intervals of order statistics. Missing values are shown as not measured.",
        *_section("Status", [*_status(reading), *(f"\n{remark}" for remark in reading.remarks)]),
        *_section("Current metrics", _per_model(board.subjects, lambda one: _accuracy(one, reading.links))),
        *_section("Inference performance", _per_model(board.subjects, lambda one: _figures(one.latency))),
        *_section("Dataset quality", _datasets(board.datasets)),
        *_section("Baseline and research models", _others(board)),
        *_section("Alerts of the last day", _alerts(reading.alerts, reading.links)),
        *_section("Trends", trends),
    ]
    return Document("\n".join(lines) + "\n", pictures)


def _section(title: str, body: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *body]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(header), line(["---"] * len(header)), *(line(row) for row in rows)]


def _status(reading: Reading) -> list[str]:
    subjects = reading.dashboard.subjects
    if not subjects:
        return [f"**{NOT_MEASURED.capitalize()}.**"]
    header = ("model", "file", "SHA-256", "dataset", "evaluated", "status")
    rows = [
        (
            _linked(code(one.model), _page(reading.links, one, "")),
            code(one.file),
            code(one.sha256) if one.sha256 else NOT_MEASURED,
            f"{code(one.dataset)} {code(one.fingerprint)}" if one.fingerprint else code(one.dataset),
            NOT_MEASURED if one.evaluated_at is None else utc(one.evaluated_at),
            _standing(one, reading.alerts or ()),
        )
        for one in subjects
    ]
    return [*_table(header, rows), *(line for one in subjects for line in _details(one))]


def _standing(one: ModelOnDataset, alerts: Sequence[Episode]) -> str:
    firing = {alert.severity for alert in alerts if _concerns(alert, one)}
    checks = len(one.failed) + one.passed
    words = (
        (one.evaluated_at is None, f"⚪ {NOT_MEASURED}"),
        (one.overdue_since is not None, f"⚪ overdue since {utc(one.overdue_since or 0.0)}"),
        ("critical" in firing, "🔴 critical: an alert is firing"),
        ("warning" in firing, "🟡 warning: an alert is firing"),
        (bool(one.failed), f"🟡 {len(one.failed)} of {checks} checks failed"),
        (not checks, "⚪ no check could be made"),
        (True, f"🟢 healthy: {checks} checks passed"),
    )
    return next(word for holds, word in words if holds)


def _concerns(alert: Episode, one: ModelOnDataset) -> bool:
    """Whether an alert fires about this model and dataset; one that names neither concerns all."""
    return (
        alert.ended is None
        and alert.state != "pending"
        and all(alert.labels.get(name, one.labels[name]) == one.labels[name] for name in ("model", "dataset"))
    )


def _details(one: ModelOnDataset) -> list[str]:
    lines = []
    if one.newer_on_disk is not None:
        lines.append(
            f"- {code(one.model)}: another file, {code(one.newer_on_disk)}, is on disk and not evaluated yet; every "
            f"number below is of {code(one.sha256)}."
        )
    if one.failed:
        failed = ", ".join(f"{check.name} {check.slice}".strip() for check in one.failed)
        lines.append(f"- {code(one.model)} on {code(one.dataset)} fails: {cell(failed)}.")
    if one.not_measured:
        reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in one.not_measured.items())
        lines.append(
            f"- {code(one.model)} on {code(one.dataset)}: images without a verdict, in no rate below: {cell(reasons)}."
        )
    lines.append(f"- {code(one.model)} decides by: {cell(one.decision)}.")
    return ["", *lines]


def _per_model(entries: Sequence[ModelOnDataset], body: Callable[[ModelOnDataset], list[str]]) -> list[str]:
    if not entries:
        return [f"{NOT_MEASURED.capitalize()}."]
    if len(entries) == 1:
        return body(entries[0])
    lines: list[str] = []
    for one in entries:
        lines += [*([""] if lines else []), f"### {code(one.model)} on {code(one.dataset)}", "", *body(one)]
    return lines


def _accuracy(one: ModelOnDataset, links: Links) -> list[str]:
    groups = (
        ("False positive rate", (one.false_positives, *one.formats, *one.negatives), "clean"),
        ("Detection rate", one.detections, "stego"),
    )
    rows = [
        _row(figure, f"{title}, {cell(figure.name)}", _page(links, one, "/misclassified", _filters(figure, kind)))
        for title, figures, kind in groups
        for figure in figures
    ]
    return _table(_FIGURES, rows)


def _filters(figure: Figure, kind: str) -> dict[str, str]:
    first, _, rest = figure.name.partition(" ")
    if kind == "stego":
        return {"class": "stego", "method": figure.name}
    if first == "negative":
        return {"class": "negative", "category": rest}
    return {"class": "clean"} if rest == "images" else {"class": "clean", "format": rest}


def _figures(figures: Iterable[Figure]) -> list[str]:
    return _table(_FIGURES, [_row(figure, cell(figure.name), None) for figure in figures])


def _row(figure: Figure, name: str, page: str | None) -> tuple[str, ...]:
    images = "" if figure.total is None else integer(figure.total)
    if figure.count is not None and figure.total is not None:
        images = f"{integer(figure.count)} of {integer(figure.total)}"
    sign = "<" if figure.wants_less else ">"
    status = _SYMBOLS[figure.status]
    more = figure.more_images
    if more is not None:
        status += f": about {integer(more)} more images are needed"
    # A page of wrong verdicts helps only where there are any.
    wrong = figure.count != (0 if figure.wants_less else figure.total)
    return (
        _linked(name, page if wrong and figure.value is not None else None),
        shown(figure.value, figure.unit),
        interval(figure.lower, figure.upper, figure.unit),
        images,
        "" if figure.target is None else f"{sign} {shown(figure.target, figure.unit)}",
        status,
    )


def _datasets(datasets: Sequence[DatasetFigures]) -> list[str]:
    if not datasets:
        return [f"{NOT_MEASURED.capitalize()}."]
    header = ("dataset", "clean", "stego", "negative", "duplicates", "entropy of methods", "balance")
    rows = [
        (
            f"{code(one.name)} {code(one.fingerprint)}" if one.fingerprint else code(one.name),
            *(
                integer(one.classes.get(name, 0)) if one.classes else NOT_MEASURED
                for name in ("clean", "stego", "negative")
            ),
            NOT_MEASURED if one.duplicates is None else integer(one.duplicates),
            _entropy(one),
            ", ".join(f"{cell(name)} {percent(share)}" for name, share in one.shares.items()) or NOT_MEASURED,
        )
        for one in datasets
    ]
    formats = [
        f"- {code(one.name)} by format: {', '.join(f'{cell(name)} {count}' for name, count in one.formats.items())}."
        for one in datasets
        if one.formats
    ]
    return [*_table(header, rows), "", *formats]


def _entropy(one: DatasetFigures) -> str:
    if one.entropy is None or one.entropy_max is None:
        return NOT_MEASURED
    return f"{one.entropy:.3f} of at most {one.entropy_max:.3f} bits"


def _others(board: Dashboard) -> list[str]:
    if not board.others:
        return [f"{NOT_MEASURED.capitalize()}: no baseline or research model is configured."]
    header = ("model", "role", "SHA-256", "dataset", "false positive rate", "detection, worst method", "p95", "checks")
    return _table(header, [_other(one) for one in board.others])


def _other(one: ModelOnDataset) -> tuple[str, ...]:
    measured = [figure for figure in one.detections if figure.value is not None]
    worst = min(measured, key=lambda figure: figure.value or 0.0, default=None)
    p95 = next(figure for figure in one.latency if figure.name == "p95")
    checks = f"{one.passed} passed, {len(one.failed)} failed" if one.passed or one.failed else NOT_MEASURED
    return (
        code(one.model),
        cell(one.role),
        code(one.sha256) if one.sha256 else NOT_MEASURED,
        code(one.dataset),
        _short(one.false_positives),
        NOT_MEASURED if worst is None else f"{cell(worst.name)} {_short(worst)}",
        shown(p95.value, p95.unit),
        checks,
    )


def _short(figure: Figure) -> str:
    bounds = interval(figure.lower, figure.upper, figure.unit)
    text = shown(figure.value, figure.unit)
    return text if bounds == NOT_APPLICABLE else f"{text} (95% CI {bounds})"


def _alerts(alerts: Sequence[Episode] | None, links: Links) -> list[str]:
    if alerts is None:
        return [f"{NOT_MEASURED.capitalize()}: no Prometheus was asked."]
    if not alerts:
        return ["None."]
    header = ("alert", "severity", "about", "start", "end", "state")
    rows = [
        (
            _linked(cell(one.name), f"{links.runbooks}/{one.name}.md" if links.runbooks else None),
            cell(one.severity),
            cell(one.about()),
            utc(one.started),
            "" if one.ended is None else utc(one.ended),
            cell(one.state),
        )
        for one in alerts
    ]
    return _table(header, rows)


def _trends(trends: Sequence[Trends], stem: str) -> tuple[dict[str, str], list[str]]:
    pictures: dict[str, str] = {}
    lines: list[str] = []
    for entry in trends:
        names = [entry.labels[name] for name in ("model", "dataset")]
        if len({tuple(one.labels[name] for name in ("model", "dataset")) for one in trends}) < len(trends):
            names.append(entry.labels.get("instance", ""))
        subject = " on ".join(names[:2])
        for chart, title, draw in _CHARTS:
            drawn = draw(entry.history, subject)
            if drawn is None:
                lines += [f"{title} of {cell(subject)}: {NOT_MEASURED}.", ""]
                continue
            file = _file_name("_".join((stem, *names, chart)))
            pictures[file] = svg_file(drawn)
            lines += [f"![{title} of {cell(subject)}]({file})", ""]
    return pictures, lines[:-1] if lines else [f"{NOT_MEASURED.capitalize()}: there is no history."]


def _file_name(name: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in name) + ".svg"


def _page(links: Links, one: ModelOnDataset, below: str, filters: Mapping[str, str] | None = None) -> str | None:
    if links.exporter is None:
        return None
    query = urlencode({"model": one.model, "dataset": one.dataset, **(filters or {})})
    return f"{links.exporter}/evaluations/latest{below}?{query}"


def _linked(text: str, url: str | None) -> str:
    return text if url is None else f"[{text}]({url})"
