"""The reference page of all metrics, generated from the table of families."""

from __future__ import annotations

from starlight_exporter.publish.metrics import FAMILIES, GROUPS, LABELS, Family

_INTRO = """# Metrics

Generated from `exporter/publish/metrics.py`; a test fails when the two differ.

Gauges show the last complete evaluation of a model on a dataset, and all of one evaluation at once: a scrape reads one
immutable snapshot. Sizes and times are in base units, ratios between 0 and 1, times of day in UTC seconds.

## Not measured

An image that gave no verdict is *not measured*. It is in no numerator and in no denominator; it is counted, by reason,
in `starlight_images_not_measured`. A ratio over an empty slice does not exist: the counts of the slice are there and
say 0, the ratio and its bounds are **absent**, never 0. The same holds for everything else that was not measured: the
sample is missing, and the column "absent" says when. `absent()` and `unless` find such gaps in PromQL; a comparison
like `ratio > 0.05` is silent about them.

Counts stand beside every ratio, so that ratios of several slices can be joined: sum the counts, then divide. The bounds
are the exact (Clopper-Pearson) two-sided 95 % interval.

A model or dataset that leaves the configuration takes its series along. Counters and the histogram start at zero with
the exporter. All other results come back after a restart with the time they were made at
(`starlight_evaluation_timestamp_seconds`), as long as model, dataset, decision rule and exporter version are the same.

The `summary` families hold quantiles only, exact ones of one latency run: they cannot be added up.
`starlight_inference_duration_seconds` can.
"""


_HEADER = "| name | type | labels | unit | meaning | absent |\n|---|---|---|---|---|---|"


def metrics_reference() -> str:
    """The text of `docs/metrics.md`."""
    parts = [_INTRO]
    for group in GROUPS:
        rows = "\n".join(_row(family) for family in FAMILIES if family.group == group)
        parts.append(f"## {group}\n\n{_HEADER}\n{rows}\n")
    used = {label for family in FAMILIES for label in family.labels}
    labels = "\n".join(f"| `{name}` | {values} |" for name, values in sorted(LABELS.items()) if name in used)
    parts.append(f"## Labels\n\n| label | values |\n|---|---|\n{labels}\n| `le` | upper bound of a bucket |\n")
    return "\n".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    kind = "gauge (info)" if family.kind == "info" else family.kind
    unit = family.unit or "–"
    return f"| `{family.name}` | {kind} | {labels} | {unit} | {family.help} | {family.absent} |"
