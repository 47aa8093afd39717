"""Render the metrics and check results of one model as markdown tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from starlight_exporter.checks.results import CheckResult, Conclusion
from starlight_exporter.formatting import NOT_APPLICABLE, integer, p_value_equation, percent, words
from starlight_exporter.markdown.escaping import cell
from starlight_exporter.markdown.values import MetricValue, ModelResult
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION

TIMED: Final = (
    "Timed from file to verdict, one image at a time: read, decode, features, inference; files were read once before."
)
_SYMBOLS: Final[Mapping[Conclusion, str]] = {
    "pass": "🟢",
    "pass (inconclusive)": "🟢",
    "fail (not significant)": "🟡",
    "fail (significant)": "🔴",
    "not measured": "⚪",
    "not comparable": "⚪",
}
_INFORMATIONAL: Final = "🔵"
FAILED: Final[tuple[Conclusion, ...]] = ("fail (not significant)", "fail (significant)")
PASSED: Final[tuple[Conclusion, ...]] = ("pass", "pass (inconclusive)")
UNAVAILABLE: Final[tuple[Conclusion, ...]] = ("not measured", "not comparable")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a markdown table."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(header), line(["---"] * len(header)), *(line(row) for row in rows)]


def linked(text: str, url: str | None) -> str:
    """Return the text as a link, or as it is without a URL."""
    return text if url is None else f"[{text}]({url})"


def page_url(
    exporter: str | None, one: ModelResult, below: str, filters: Mapping[str, str] | None = None
) -> str | None:
    """Return the URL of a page about the last evaluation; None without the URL of the exporter, which ends in `/`."""
    if exporter is None:
        return None
    query = urlencode({"model": one.model, "dataset": one.dataset, **(filters or {})})
    return f"{exporter}evaluations/latest{below}?{query}"


def accuracy_table(one: ModelResult, exporter: str | None) -> list[str]:
    """Return the table of all rates, and one sentence about all inconclusive targets."""
    groups = (
        ("False positive rate", (one.false_positives, *one.formats, *one.negatives), "clean"),
        ("Detection rate", one.detections, "stego"),
    )
    rows = [
        _row(metric, f"{title}, {cell(metric.name)}", page_url(exporter, one, "/misclassified", _filters(metric, kind)))
        for title, metrics, kind in groups
        for metric in metrics
    ]
    header = ("metric", "value", "95% CI", "images", "baseline", "target", "result")
    return [*table(header, rows), *inconclusive_targets(one.accuracy)]


def latency_table(one: ModelResult) -> list[str]:
    """Return the table of latencies and throughputs, with what is timed and whether the machine was busy."""
    header = ("metric", "value", "95% CI", "images", "baseline", "limit", "result")
    lines = [*table(header, [_row(metric, cell(metric.name), None) for metric in one.latency]), "", TIMED]
    if one.contention is not None and one.contention > BUSY_CONTENTION:
        lines.append(
            f"The machine was busy: the timed thread waited for {percent(one.contention)} of the wall time. Ratios to"
            " the baseline are those of CPU time; the absolute limit is not measured."
        )
    return lines


def inconclusive_targets(metrics: Iterable[MetricValue]) -> list[str]:
    """Return one sentence about all targets that pass inconclusively, with the images needed for a conclusion."""
    known = [(one, one.target) for one in metrics if one.target is not None and one.target.passed]
    inconclusive = [one for one, target in known if target.conclusion == "pass (inconclusive)"]
    if not inconclusive:
        return []
    names: dict[int | None, list[str]] = {}
    for metric in inconclusive:
        names.setdefault(metric.images_needed, []).append(cell(metric.name))
    needed = "; ".join(
        f"{'unknown' if number is None else integer(number)} ({', '.join(of)})"
        for number, of in sorted(names.items(), key=lambda item: (item[0] is None, item[0] or 0))
    )
    return [
        "",
        f"Inconclusive: {len(inconclusive)} of {len(known)} passed targets; their 95% CI includes the target. Images"
        f" needed for a conclusion (one per cover, 80% power at the measured rate): {needed}.",
    ]


def check_sentences(one: ModelResult, name: str) -> list[str]:
    """Return list items about failed checks and about checks without a result, with their reasons.

    `name` is that of the model and the dataset in the document.
    """
    lines = []
    for conclusion in reversed(FAILED):
        if failed := one.concluded(conclusion):
            lines.append(f"- {name}: {conclusion}: {', '.join(_named(check) for check in failed)}.")
    reasons: dict[tuple[Conclusion, str], dict[str, list[str]]] = {}
    for check in one.concluded(*UNAVAILABLE):
        slices = reasons.setdefault((check.conclusion, check.unavailable or ""), {})
        slices.setdefault(check.name, []).append(check.slice)
    for (conclusion, reason), checks in reasons.items():
        names = ", ".join(cell(f"{words(check)} {'/'.join(filter(None, of))}".strip()) for check, of in checks.items())
        lines.append(f"- {name}: {conclusion}{f' ({words(reason)})' if reason else ''}: {names}.")
    return lines


def check_counts(one: ModelResult) -> str:
    """Return the numbers of passed and failed checks, with the inconclusive and significant ones."""
    passed, failed = one.concluded(*PASSED), one.concluded(*FAILED)
    inconclusive, significant = one.concluded("pass (inconclusive)"), one.concluded("fail (significant)")
    parts = [f"{len(passed)} passed" + (f" ({len(inconclusive)} inconclusive)" if inconclusive else "")]
    if failed:
        parts.append(f"{len(failed)} failed" + (f" ({len(significant)} significant)" if significant else ""))
    return ", ".join(parts)


def rate_text(metric: MetricValue) -> str:
    """Return the value with its 95% interval."""
    interval, text = metric.format_interval(), metric.format(metric.value)
    return text if interval == NOT_APPLICABLE else f"{text} (95% CI {interval})"


def _filters(metric: MetricValue, kind: str) -> dict[str, str]:
    first, _, rest = metric.name.partition(" ")
    if kind == "stego":
        return {"class": "stego", "method": metric.name}
    if first == "negative":
        return {"class": "negative", "category": rest}
    return {"class": "clean"} if rest == "images" else {"class": "clean", "format": rest}


def _row(metric: MetricValue, name: str, url: str | None) -> tuple[str, ...]:
    images = "" if metric.total is None else integer(metric.total)
    if metric.count is not None and metric.total is not None:
        images = f"{integer(metric.count)} of {integer(metric.total)}"
        if metric.covers is not None and metric.covers != metric.total:
            images += f" from {integer(metric.covers)} covers"
    limit = None if metric.target is None else metric.target.limit
    # Without misclassified images there is nothing to link to.
    misclassified = metric.count != (metric.total if metric.required == ">" else 0)
    return (
        linked(name, url if misclassified and metric.value is not None else None),
        metric.format(metric.value),
        metric.format_interval(),
        images,
        "" if metric.baseline is None else metric.format(metric.baseline),
        "" if limit is None else f"{metric.required} {metric.format(limit)}",
        _result(metric),
    )


def _result(metric: MetricValue) -> str:
    """Return the result with the failed checks, or with the reason why there is none."""
    if metric.result is None:
        return ""
    text = f"{_SYMBOLS[metric.result]} {metric.result}"
    if metric.result in FAILED:
        if all(check.severity == "info" for check in metric.worst):
            text = f"{_INFORMATIONAL} {metric.result}"
        return f"{text}: {', '.join(_named(check, slice_shown=False) for check in metric.worst)}"
    reason = next((check.unavailable for check in metric.worst if check.unavailable is not None), None)
    return text if reason is None else f"{text}: {words(reason)}"


def _named(check: CheckResult, *, slice_shown: bool = True) -> str:
    """Return the name of a failed check, whether it is informational, and the p-value if it is significant."""
    name = words(check.name) + (f" {check.slice}" if slice_shown and check.slice else "")
    remarks = ["informational"] if check.severity == "info" else []
    if check.significant and check.p_value is not None:
        remarks.append(f"{'worse than the baseline, ' if check.paired else ''}{p_value_equation(check.p_value)}")
    return cell(f"{name} ({', '.join(remarks)})" if remarks else name)
