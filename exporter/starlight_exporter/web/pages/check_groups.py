"""Check results on pages: text, level and link, and groups of results that are displayed on one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final, Literal

from starlight_exporter.checks.limits import CheckName
from starlight_exporter.checks.results import CheckResult, Conclusion
from starlight_exporter.formatting import NOT_APPLICABLE, integer, milliseconds, percent, words
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.page import SitePath

Level = Literal["bad", "warn", "quiet", "good"]
"""Colour of a result: a significant failure, any other problem, no result, a pass."""

FAILURE_TEXTS: Final[Mapping[CheckName, str]] = MappingProxyType(
    {
        "fpr_baseline": "false positive rate above baseline",
        "fpr_stability": "false positive rate above baseline + margin",
        "fpr_target": "false positive target missed",
        "detection_baseline": "detection below baseline",
        "detection_floor": "detection below floor",
        "detection_target": "detection target missed",
        "latency_baseline": "latency above baseline",
        "latency_limit": "latency above limit",
        "format_consistency": "false positive rate of a format above baseline + margin",
        "negatives": "false positive rate of hard negatives above limit",
    }
)

_MEASURED = re.compile(r"^[<>\d][^;]*; ")
"""The measured value at the start of the detail of an unavailable check."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check result with its texts; `link` is the URL of its images, or of the latency."""

    check: CheckResult
    level: Level
    link: str
    value: str
    limit: str


@dataclass(frozen=True, slots=True)
class CheckGroup:
    """Results of one check with one test and one conclusion on different slices, displayed on one line."""

    text: str
    level: Level
    rows: tuple[CheckRow, ...]

    @property
    def first(self) -> CheckResult:
        """The first result; all have the same name, test and conclusion."""
        return self.rows[0].check

    @property
    def limit(self) -> str:
        """The limit, if it is the same on all slices, otherwise empty."""
        return self.rows[0].limit if len({row.limit for row in self.rows}) == 1 else ""

    @property
    def slices(self) -> str:
        """The names of the slices, empty for a check without slices."""
        return ", ".join(row.check.slice for row in self.rows if row.check.slice)

    def describe(self) -> str:
        """Return the text with the names of the slices: `detection below floor (palette, lsb)`."""
        return f"{self.text} ({self.slices})" if self.slices else self.text


def check_level(check: CheckResult, *, alerts: bool) -> Level:
    """Return the level of a result; results on a dataset without alerts have no colour."""
    match check.conclusion:
        case _ if not alerts:
            return "quiet"
        case "pass" | "pass (inconclusive)":
            return "good"
        case "fail (significant)" if check.severity != "info":
            return "bad"
        case "fail (significant)" | "fail (not significant)":
            return "warn"
        case _:
            return "quiet"


def check_row(evaluation_id: str, check: CheckResult, *, alerts: bool) -> CheckRow:
    """Return a result with its texts."""
    return CheckRow(
        check=check,
        level=check_level(check, alerts=alerts),
        link=check_link(evaluation_id, check),
        value=_value_text(check.name, check.value),
        limit=_value_text(check.name, check.limit),
    )


def failed_checks(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the failed checks that are not informational."""
    return [check for check in checks if check.passed is False and check.severity != "info"]


def group_checks(evaluation_id: str, checks: Iterable[CheckResult], *, alerts: bool) -> tuple[CheckGroup, ...]:
    """Group results by check, test and conclusion, significant failures first, otherwise in their order."""
    grouped: dict[tuple[CheckName, Conclusion, bool], list[CheckRow]] = {}
    for check in checks:
        grouped.setdefault((check.name, check.conclusion, check.paired), []).append(
            check_row(evaluation_id, check, alerts=alerts)
        )
    found = [
        CheckGroup(FAILURE_TEXTS[name] if rows[0].check.passed is False else words(name), rows[0].level, tuple(rows))
        for (name, *_), rows in grouped.items()
    ]
    return tuple(sorted(found, key=lambda group: group.first.conclusion != "fail (significant)"))


def unavailable_reasons(checks: Iterable[CheckResult]) -> tuple[str, ...]:
    """Return one sentence per reason why checks have no result: `not comparable (6 checks): the baseline …`."""
    counts: dict[tuple[Conclusion, str], int] = {}
    for check in checks:
        if check.passed is None:
            key = (check.conclusion, _MEASURED.sub("", check.detail, count=1))
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        f"{conclusion} ({integer(count)} check{'s' if count != 1 else ''}): {reason}"
        for (conclusion, reason), count in counts.items()
    )


def check_link(evaluation_id: str, check: CheckResult) -> str:
    """Return the URL of the images of a check, or of the latency for a check without images."""
    match check.name:
        case "fpr_baseline" | "fpr_stability" | "fpr_target":
            return links.misclassified(evaluation_id, file_class="clean")
        case "detection_baseline" | "detection_floor" | "detection_target":
            return links.misclassified(evaluation_id, file_class="stego", method=check.slice)
        case "format_consistency":
            return links.misclassified(evaluation_id, file_class="clean", format=check.slice)
        case "negatives":
            return links.misclassified(evaluation_id, file_class="negative", category=check.slice)
        case _:
            return SitePath(f"{links.evaluation(evaluation_id)}#latency")


def check_content(check: CheckResult) -> dict[str, object]:
    """Return a result with its conclusion, for JSON."""
    return {**asdict(check), "conclusion": check.conclusion}


def _value_text(name: CheckName, value: float | None) -> str:
    if value is None:
        return NOT_APPLICABLE
    match name:
        case "latency_baseline":
            return f"{value:.3g} ×"
        case "latency_limit":
            return milliseconds(value)
        case _:
            return percent(value)
