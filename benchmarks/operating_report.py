"""Page and plot of the operating characteristics, from operating_characteristics.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import figure_coverage, results
from starlight_exporter.files import write_text
from starlight_exporter.publish.charts import Chart, Limit, Line, Panel, linear_scale, svg_file
from starlight_exporter.publish.figure_texts import TITLES
from starlight_exporter.statistics.figures_of_merit import FIGURES

HERE: Final = Path(__file__).resolve().parent
PAGE: Final = HERE / "operating_characteristics.md"
PLOT: Final = HERE / "operating_characteristics.svg"

ALLOWED: Final = 0.015
"""Largest share of evaluations with a false significant check in any cell."""

_INTRODUCTION: Final = """# Operating characteristics of the checks

How often the checks are wrong, and which changes they find. Generated from
[operating_characteristics.json](operating_characteristics.json) by
`python -m benchmarks.operating_characteristics report`; the other arguments of this command measure. The simulation
generates the outcomes of two models on the same images and runs the checks of the exporter on the counts
([simulated_checks.py](simulated_checks.py)), 1,000 evaluations per cell. What the results mean:
[docs/checks.md](../docs/checks.md).
"""


def write() -> None:
    """Write page and plot of the parts that were measured."""
    stored = results.load(results.OPERATING_FILE)
    rows = {
        part: stored[part]["rows"]
        for part in ("false_significance", "power", "coverage", "figure_coverage", "seeds")
        if part in stored
    }
    latency = next((value["runs"] for key, value in stored.items() if key.startswith("latency_significance")), None)
    lines = [_INTRODUCTION]
    if "false_significance" in rows:
        lines += _false_significance(rows["false_significance"])
        write_text(PLOT, svg_file(_plot(rows["false_significance"])))
    if "power" in rows:
        lines += _power(rows["power"])
    if latency is not None:
        lines += _latency(latency)
    if "coverage" in rows:
        lines += _coverage(rows["coverage"])
    if "figure_coverage" in rows:
        lines += _figure_coverage(rows["figure_coverage"])
    if "seeds" in rows:
        lines += _seeds(rows["seeds"])
    write_text(PAGE, "\n".join(lines) + "\n")


def _false_significance(rows: list[list[float]]) -> Iterator[str]:
    highest = max(share for *_, share in rows)
    yield "## 1. Two models of equal quality"
    yield ""
    yield (
        "Share of evaluations with a significant failure of any check whose null hypothesis is true, over"
        f" {len(rows)} cells (false positive rate 0 to 0.5%, detection rate 95 to 100%, correlation of the errors 0,"
        f" 0.8 and 1): at most {highest:.1%}; allowed {ALLOWED:.1%}."
    )
    yield ""
    yield "![Highest share of false significance by number of clean images](operating_characteristics.svg)"
    yield ""
    yield "| Clean images | Cells | Median | Highest |"
    yield "|---:|---:|---:|---:|"
    for clean in sorted({row[0] for row in rows}):
        shares = sorted(row[-1] for row in rows if row[0] == clean)
        yield f"| {clean:,.0f} | {len(shares)} | {shares[len(shares) // 2]:.1%} | {shares[-1]:.1%} |"
    yield ""


def _plot(rows: list[list[float]]) -> Chart:
    sizes = sorted({row[0] for row in rows})
    lines = []
    for correlation in sorted({row[3] for row in rows}):
        points = [
            (float(place), max(row[-1] for row in rows if row[0] == size and row[3] == correlation))
            for place, size in enumerate(sizes)
        ]
        lines.append(Line(points, f"correlation {correlation:g}"))
    x = linear_scale([0.0, len(sizes) - 1.0], str, ticks=len(sizes))
    labels = tuple((float(place), f"{size:,.0f}") for place, size in enumerate(sizes))
    return Chart(
        title="False significance of two equal models",
        note="highest share over false positive and detection rates, by clean images; dashed: allowed",
        x=type(x)(0.0, float(len(sizes) - 1), labels),
        panels=(
            Panel(
                y=linear_scale([0.0, ALLOWED], lambda value: f"{value:.1%}"),
                lines=tuple(lines),
                limit=Limit(ALLOWED, f"allowed {ALLOWED:.1%}"),
            ),
        ),
        width=720,
    )


def _power(rows: list[list[Any]]) -> Iterator[str]:
    yield "## 2. Power"
    yield ""
    yield "Share of evaluations in which the change is significant; errors of the two models are independent."
    yield ""
    yield "| Change | Images | Power |"
    yield "|---|---:|---:|"
    for change, images, share in rows:
        yield f"| {change} | {images:,} | {share:.0%} |"
    yield ""


def _latency(runs: dict[str, dict[str, list[dict[str, Any]]]]) -> Iterator[str]:
    yield "## 3. Latency"
    yield ""
    yield (
        "The shipped model against itself with additional CPU time, 1,000 timings of each model per run: runs whose"
        " ratio is significantly above 1.2. A critical result needs two such runs in a row."
    )
    yield ""
    yield "| Load | CPU time × | Runs | Significant | Median ratio, wall | Median ratio, CPU | Highest contention |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for load, factors in runs.items():
        for factor, entries in factors.items():
            wall, cpu = (results.spread([one[key] for one in entries]).median for key in ("wall", "cpu"))
            significant = sum(one["significant"] for one in entries)
            contention = max(one["contention"] for one in entries)
            yield (
                f"| {load} | {factor} | {len(entries)} | {significant} | {wall:.2f} | {cpu:.2f} | {contention:.3f} |"
            )
    yield ""


def _coverage(rows: list[list[float]]) -> Iterator[str]:
    yield "## 4. Coverage of the 95% confidence intervals"
    yield ""
    yield "Share of 10,000 simulated intervals that contain the true rate; required 94%."
    yield ""
    yield "| Files per cover | Correlation within a cover | Settings | Lowest | Median |"
    yield "|---:|---:|---:|---:|---:|"
    for files, correlation in sorted({(row[1], row[3]) for row in rows}):
        shares = sorted(row[-1] for row in rows if (row[1], row[3]) == (files, correlation))
        yield (f"| {files:.0f} | {correlation:g} | {len(shares)} | {shares[0]:.1%} | {shares[len(shares) // 2]:.1%} |")
    yield ""


def _figure_coverage(rows: list[list[Any]]) -> Iterator[str]:
    yield "## 5. Coverage of the 95% confidence intervals of figures of merit"
    yield ""
    yield (
        f"Share of {figure_coverage.RUNS} simulated intervals that contain the figure of the true ROC curve; required"
        " 94%, standard error 1 percentage point. Scores are normal, with a standard deviation of 1 (clean) and"
        f" {figure_coverage.SPREAD:g} (stego); each cover has one clean file."
    )
    yield ""
    yield (
        "| Covers | Stego files per cover | Correlation within a cover | Distance of means |"
        f" {' | '.join(TITLES[figure] for figure in FIGURES)} |"
    )
    yield "|" + "---:|" * (4 + len(FIGURES))
    for covers, stego, distance, correlation, shares in rows:
        cells = [f"{shares[figure]:.1%}" if figure in shares else "–" for figure in FIGURES]
        yield f"| {covers:,} | {stego} | {correlation:g} | {distance:g} | {' | '.join(cells)} |"
    yield ""


def _seeds(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "## 6. The shipped model against itself"
    yield ""
    yield f"{len(rows)} seeds of the reference dataset (1,000 clean, 800 stego, 200 negatives)."
    yield ""
    yield "| Seed | Failed against the baseline | Other failed checks | Significant | Latency ratio | Contention |"
    yield "|---:|---:|---|---:|---:|---:|"
    for row in rows:
        others = [name for name in row["failed"] if name not in row["failed_against_baseline"]]
        yield (
            f"| {row['seed']} | {len(row['failed_against_baseline'])} | {', '.join(others) or '–'} |"
            f" {row['significant']} | {row['latency_ratio']:.2f} | {row['contention']:.3f} |"
        )
    yield ""
