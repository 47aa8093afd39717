"""Generate `docs/metrics.md` from the metric families."""

from __future__ import annotations

from starlight_exporter.publish.families import FAMILIES, GROUPS
from starlight_exporter.publish.families.family import Family
from starlight_exporter.publish.families.labels import LABELS

_INTRO = """# Metrics

Generated from `publish/families`; a test fails when the two differ.

Gauges show the last complete evaluation of a model on a dataset. A scrape reads one immutable snapshot, so all samples
of an evaluation change together. Sizes and durations are in base units, ratios between 0 and 1, times in UTC seconds.

## Not measured

An image without a verdict is *not measured*. It is excluded from every numerator and denominator, and counted by reason
in `starlight_images_not_measured`. Without a measured image in a slice, the counts of the slice are 0 and its ratio and
bounds are **absent**, never 0. Every other value that was not measured is absent as well; the column "absent" states
when. `absent()` and `unless` find such gaps in PromQL; a comparison such as `ratio > 0.05` returns nothing for them.

Every ratio has its counts, so that slices can be aggregated: sum the counts, then divide. Bounds are exact
(Clopper-Pearson) two-sided 95% confidence intervals.

The series of a model or dataset end when it is removed from the configuration. Counters and the histogram start at 0
when the exporter starts. All other results are restored after a restart with their original time
(`starlight_evaluation_timestamp_seconds`), if model, dataset, decision rule and exporter version are unchanged.

The `summary` families contain exact quantiles of one latency run and cannot be aggregated;
`starlight_inference_duration_seconds` can.
"""

_HEADER = "| name | type | labels | unit | meaning | absent |\n|---|---|---|---|---|---|"


def metrics_reference() -> str:
    """Return the text of `docs/metrics.md`."""
    parts = [_INTRO]
    for group in GROUPS:
        rows = "\n".join(_row(family) for family in group.families)
        parts.append(f"## {group.name}\n\n{_HEADER}\n{rows}\n")
    used = {label for family in FAMILIES for label in family.labels}
    labels = "\n".join(f"| `{name}` | {values} |" for name, values in sorted(LABELS.items()) if name in used)
    parts.append(f"## Labels\n\n| label | values |\n|---|---|\n{labels}\n| `le` | upper bound of a bucket |\n")
    return "\n".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    kind = "gauge (info)" if family.kind == "info" else family.kind
    unit = family.unit or "–"
    return f"| `{family.name}` | {kind} | {labels} | {unit} | {family.help} | {family.absent} |"
