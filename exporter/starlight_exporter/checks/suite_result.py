"""Result of the regression suite in one line.

FAILED 1 of 17: detection_floor palette 35.62% (limit 95%, 57 of 160)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SuiteTest, missing_images
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.exit_codes import CHECK_FAILED, INCONCLUSIVE, OK
from starlight_exporter.formatting import fraction, integer, milliseconds, percent
from starlight_exporter.statistics.intervals import Proportion

LISTED: Final = 3
"""Checks that the line names; the others are counted."""


def result_line(evaluation: Evaluation, tests: Sequence[SuiteTest], code: int) -> str:
    """Return the result of the suite, whose exit code is `code`, with the checks that decided it."""
    checks = [check for test in tests for check in test.checks]
    empty = [test for test in tests if not test.checks]
    total = integer(len(checks) + len(empty))
    inconclusive = [check for check in checks if check.conclusion == "pass (inconclusive)"]
    missing = [*(_missing(check) for check in checks if check.passed is None), *map(_empty, empty)]
    if code == OK:
        return f"PASSED {total} of {total}" + (f" ({integer(len(inconclusive))} inconclusive)" if inconclusive else "")
    if code == INCONCLUSIVE:
        return _line("INCONCLUSIVE", total, [_measured(evaluation, check) for check in inconclusive])
    if code == CHECK_FAILED:
        failed = [check for check in checks if check.passed is False and check.severity != "info"]
        failed.sort(key=lambda check: check.severity != "critical")
        line = _line("FAILED", total, [_measured(evaluation, check) for check in failed])
        return f"{line}; {integer(len(missing))} not measured or not comparable" if missing else line
    if not tests:
        return "NOT MEASURED: no check is required"
    if not missing:
        return f"NOT MEASURED: {missing_images(evaluation)}"
    comparable = any(check.passed is None and check.conclusion == "not measured" for check in checks) or empty
    return _line("NOT MEASURED" if comparable else "NOT COMPARABLE", total, missing)


def slice_key(check: CheckResult) -> str | None:
    """Return the key of the check's slice, as `slice_keys` yields it for its images; None for latencies."""
    if check.name.startswith("detection_"):
        return f"stego:{check.slice}"
    if check.name.startswith("fpr_"):
        return "clean"
    kinds = {"format_consistency": "format", "negatives": "negative"}
    return f"{kinds[check.name]}:{check.slice}" if check.name in kinds else None


def checked_rate(evaluation: Evaluation, check: CheckResult) -> Proportion | None:
    """Return the rate that the check compares with its limit; None for latencies and slices without images."""
    rates: dict[str, Proportion] = {
        "clean": evaluation.clean,
        **{f"format:{name}": rate for name, rate in evaluation.clean_by_format.items()},
        **{f"negative:{name}": rate for name, rate in evaluation.negatives.items()},
        **{f"stego:{method}": rate for method, rate in evaluation.detections.items()},
    }
    return rates.get(slice_key(check) or "")


def check_title(check: CheckResult) -> str:
    """Return name and slice, on one line: `detection_floor lsb`."""
    return " ".join(f"{check.name} {check.slice}".split())


def value_text(check: CheckResult, value: float | None) -> str:
    """Format a value or limit of the check in its unit: a rate, milliseconds, or a ratio of two latencies."""
    if value is None:
        return "–"
    if check.name == "latency_baseline":
        return f"{value:.4g} ×"
    return milliseconds(value) if check.name == "latency_limit" else percent(value)


def limit_text(check: CheckResult) -> str:
    """Format the limit with only the digits that it has: `95%`, `0.05%`, `5 ms`, `1.2 ×`."""
    if check.limit is None:
        return "–"
    if check.name == "latency_baseline":
        return f"{check.limit:.4g} ×"
    return f"{check.limit * 1e3:.4g} ms" if check.name == "latency_limit" else f"{check.limit * 100:.4g}%"


def _line(word: str, total: str, texts: Sequence[str]) -> str:
    more = len(texts) - LISTED
    listed = [*texts[:LISTED], *([f"{integer(more)} more"] if more > 0 else [])]
    return f"{word} {integer(len(texts))} of {total}: {'; '.join(listed)}"


def _measured(evaluation: Evaluation, check: CheckResult) -> str:
    rate = checked_rate(evaluation, check)
    counts = "" if rate is None else f", {fraction(rate)}"
    return f"{check_title(check)} {value_text(check, check.value)} (limit {limit_text(check)}{counts})"


def _missing(check: CheckResult) -> str:
    return f"{check_title(check)}: {check.detail}"


def _empty(test: SuiteTest) -> str:
    return f"{test.name}: the dataset has no slice of this test"
