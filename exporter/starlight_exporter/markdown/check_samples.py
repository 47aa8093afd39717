"""Results of the checks of one model on one dataset, from their samples."""

from __future__ import annotations

from collections.abc import Mapping

from starlight_exporter.checks.limits import CHECK_NAMES, CheckName
from starlight_exporter.checks.results import UNAVAILABLE_REASONS, CheckResult, Severity, UnavailableReason
from starlight_exporter.markdown.samples import Sample, Samples
from starlight_exporter.publish.families import checks
from starlight_exporter.publish.families.family import Family

Checks = Mapping[tuple[CheckName, str], CheckResult]
"""Results by check and slice. They have neither value nor detail, which no metric contains."""


def checks_of(samples: Samples, labels: Mapping[str, str], *, production: bool) -> Checks:
    """Return every check with a result, or with a reason why it has none, in the order of CHECK_NAMES.

    A failure of a `production` model that does not alert has the severity info.
    """

    def by_slice(family: Family) -> dict[tuple[str, str], Sample]:
        found = samples.of(family, labels)
        return {(sample.label("check"), sample.label("slice")): sample for sample in found}

    passed, unavailable = by_slice(checks.REGRESSION_CHECK_PASSED), by_slice(checks.REGRESSION_CHECK_UNAVAILABLE)
    conclusive = by_slice(checks.REGRESSION_CHECK_CONCLUSIVE)
    significant = by_slice(checks.REGRESSION_CHECK_SIGNIFICANT)
    limits, p_values = by_slice(checks.CHECK_LIMIT), by_slice(checks.REGRESSION_CHECK_P_VALUE)
    paired, alerts = by_slice(checks.REGRESSION_CHECK_PAIRED), by_slice(checks.CHECK_ALERTS)
    results: dict[tuple[CheckName, str], CheckResult] = {}
    for name in CHECK_NAMES:
        for key in sorted({*passed, *unavailable}):
            if key[0] != name:
                continue
            informational = production and _truth(alerts.get(key)) is False
            results[name, key[1]] = CheckResult(
                name=name,
                slice=key[1],
                value=None,
                limit=_number(limits.get(key)),
                passed=_truth(passed.get(key)),
                significant=_truth(significant.get(key)),
                detail="",
                severity=_severity(passed.get(key), significant.get(key), informational=informational),
                conclusive=_truth(conclusive.get(key)),
                p_value=_number(p_values.get(key)),
                unavailable=_reason(unavailable.get(key)),
                paired=_truth(paired.get(key)) is True,
            )
    return results


def _severity(passed: Sample | None, significant: Sample | None, *, informational: bool) -> Severity | None:
    if _truth(passed) is not False:
        return None
    if informational:
        return "info"
    return "critical" if _truth(significant) else "warning"


def _number(sample: Sample | None) -> float | None:
    return None if sample is None else sample.value


def _truth(sample: Sample | None) -> bool | None:
    return None if sample is None else sample.value == 1


def _reason(sample: Sample | None) -> UnavailableReason | None:
    if sample is None:
        return None
    return next((reason for reason in UNAVAILABLE_REASONS if reason == sample.label("reason")), None)
