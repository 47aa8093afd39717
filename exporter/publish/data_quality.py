"""The part of a comparison that is about the data: shortcuts, leakage, and how much results depend on the source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.evaluation.evaluation import Evaluation, Proportion
from exporter.evaluation.mismatch import Gap, dataset_gaps, format_gaps

NOT_MEASURED = "Not measured"
SHORTCUT_CONCERN = 0.1
"""A single rule that finds more of a method than this, with certainty, is pointed out."""
GAP_SIGNIFICANCE = 0.01
"""Divided by the number of gaps that are looked at (Bonferroni), so that many slices do not make a finding."""


def data_quality_section(evaluations: Sequence[Evaluation]) -> list[str]:
    """Markdown lines, headings of level 3, on the data behind these evaluations; ends without an empty line."""
    return [
        "### Shortcuts",
        "",
        "How much of each method a rule on one fact of the file (a length, a size, one of the twelve floats) finds, "
        "counted on files that it was not chosen on. What such a rule finds, a detector can find without looking at a "
        "pixel.",
        "",
        *_shortcuts(evaluations),
        "",
        "### Leakage",
        "",
        *_leakage(evaluations),
        "",
        "### Cover-source mismatch",
        "",
        "The same model on one slice against the rest of its images: clean files of one format against the other "
        "formats, one dataset against the others. Intervals: Newcombe; p: Fisher, exact, two-sided.",
        "",
        *_gaps(evaluations),
    ]


def _shortcuts(evaluations: Iterable[Evaluation]) -> list[str]:
    # Facts of files do not depend on the model: the newest look at each content of a dataset counts.
    newest: dict[tuple[str, str], Evaluation] = {}
    for one in sorted(evaluations, key=lambda evaluation: evaluation.finished_at):
        newest[one.dataset, one.provenance.dataset_fingerprint] = one
    rows = [
        f"| {one.dataset} | {method} | {_percent(shortcut.found)} | {_percent(shortcut.false_alarms)} |"
        f" `{shortcut.rule}` | {_concern(shortcut.found)} |"
        for one in newest.values()
        for method, shortcut in one.shortcuts.items()
    ]
    if not rows:
        return [f"{NOT_MEASURED}: a dataset needs ten clean files and ten of a method."]
    header = "| dataset | method | found (95 % interval) | false alarms | best rule over all files | |"
    return [header, "|---|---|---:|---:|---|---|", *rows]


def _concern(found: Proportion) -> str:
    if found.lower is not None and found.lower > SHORTCUT_CONCERN:
        return "**shortcut**: so much of its detection may be no steganalysis"
    return "none seen"


def _leakage(evaluations: Iterable[Evaluation]) -> list[str]:
    rows = [
        f"| {one.model} | {one.dataset} | {NOT_MEASURED if one.leaked_images is None else one.leaked_images} |"
        f" {one.images} |"
        for one in evaluations
    ]
    header = "| model | dataset | files that it was trained on | files |"
    note = f"{NOT_MEASURED} where no manifest of training files lies beside the model."
    return [header, "|---|---|---:|---:|", *rows, "", note] if rows else [f"{NOT_MEASURED}."]


def _gaps(evaluations: Sequence[Evaluation]) -> list[str]:
    gaps = [*(gap for one in evaluations for gap in format_gaps(one)), *dataset_gaps(evaluations)]
    if not gaps:
        return [f"{NOT_MEASURED}: it needs several formats, or several datasets."]
    limit = GAP_SIGNIFICANCE / len(gaps)
    header = "| model | slice | rate | here | elsewhere | difference, points (95 % interval) | p | |"
    return [header, "|---|---|---|---:|---:|---:|---:|---|", *(_gap_row(gap, limit) for gap in gaps)]


def _gap_row(gap: Gap, limit: float) -> str:
    of = gap.dataset if gap.image_format is None else f"{gap.dataset}, {gap.image_format}"
    rate = "false positives" if gap.rate == "false_positive" else f"detection, {gap.rate}"
    points = f"{gap.difference * 100:+.3f} ({gap.lower * 100:+.3f} to {gap.upper * 100:+.3f})"
    word = "**differs**" if gap.p_value < limit else "chance explains it"
    counts = (f"{value.count} of {value.total}" for value in (gap.here, gap.elsewhere))
    return f"| {gap.model} | {of} | {rate} | {' | '.join(counts)} | {points} | {gap.p_value:.2g} | {word} |"


def _percent(value: Proportion) -> str:
    if value.ratio is None or value.lower is None or value.upper is None:
        return NOT_MEASURED
    return f"{value.ratio:.1%} ({value.lower:.1%} to {value.upper:.1%}; {value.count} of {value.total})"
