"""README.md and the plot, made of results.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import results
from benchmarks.results import text

HERE: Final = Path(__file__).resolve().parent
_BARE: Final = "bare session"
_DECODE: Final = "read and decode alone"
_COLD: Final = "cold, in stages"
_WARM: Final = "cached streams, in stages"
_ABLATIONS: Final = "cached streams, in stages, and eight ablations"
_Values = Mapping[str, Mapping[str, Sequence[float]]]
_BARS: Final = 640

_HEAD: Final = """# Speed and memory

Measured by hand; this page and the plot are made from [results.json](results.json) by `python -m benchmarks report`.
`python -m benchmarks rates --model original --kind shared --images 1002` measures one table anew; `--help` names the
others.

Every rate is of two threads and stands beside the bare session (the whole model on ready tensors, one shared session,
one image a call) **of the same round**: the ways are measured in turn, so that whatever else the machine does meets
all alike. Numbers are medians, with the range of all rounds in brackets. *Original* is the published Starlight network
at its real size (814,241 parameters, 185 million multiply-adds) with drawn weights, written by `original.py`; *v4* is
the shipped model. *distinct* datasets have no two equal pictures; in *shared* ones each cover has five stego files.
Core time is that of all threads; its ratios say what two cores do that nobody else uses.

The machine is a virtual one whose speed changes by half from one hour to the next: compare numbers of one table alone.
The rows of sizes were measured while tests ran beside them, the others with nothing else at work.
"""


def write() -> None:
    """Rewrite README.md and rates.svg."""
    content = results.load()
    parts = [_HEAD, *_machine(content), *_rates(content), *_sizes(content), *_single(content), *_running(content)]
    (HERE / "README.md").write_text("\n".join((*parts, *_comparison(content))) + "\n", encoding="utf-8")
    (HERE / "rates.svg").write_text(_plot(content), encoding="utf-8")


def _machine(content: Mapping[str, Any]) -> Iterator[str]:
    machines = [section["machine"] for section in content.values()]
    if machines:
        loads = [machine["load"] for machine in machines]
        yield (
            f"Machine: {machines[0]['processor']}, {machines[0]['cores']} cores, Python {machines[0]['python']}, shared"
            f" with other work: load average {min(loads)} to {max(loads)} at the end of the measurements. Absolute"
            " rates are therefore low and spread; ratios are what counts.\n"
        )


def _sections(content: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in sorted(content):
        if name.startswith(f"{kind} "):
            yield name.removeprefix(f"{kind} "), content[name]


def _ratios(values: _Values, way: str, kind: str = "rate") -> list[float]:
    """The way's speed over the bare session's, round by round: of rates, or of core times the other way round."""
    pairs = zip(values[way][kind], values[_BARE][kind], strict=True)
    return [own / bare if kind == "rate" else bare / own for own, bare in pairs]


def _rates(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## Ways to evaluate\n\n![Speed over the bare session, by core time](rates.svg)\n"
    for name, section in _sections(content, "rates"):
        values: _Values = section["values"]
        model, dataset = name.split(" ", 1)
        yield f"### {model}, {dataset}: {section['images']:,} images\n"
        yield "| way | images/s | of the bare session | core time, ms an image | of the bare session, by core time |"
        yield "|---|---|---|---|---|"
        for way, found in values.items():
            if way != _ABLATIONS:
                yield (
                    f"| {way} | {text(found['rate'])} | {text(_ratios(values, way), '.2f')} |"
                    f" {text(found['cpu'], '.2f')} | {text(_ratios(values, way, 'cpu'), '.2f')} |"
                )
        yield from _derived(values)


def _derived(values: _Values) -> Iterator[str]:
    decode, bare, cold = values[_DECODE], values[_BARE], values[_COLD]
    # Both use all cores to the full, so at best they take as long as one after the other.
    possible = [1 / (1 / d + 1 / b) for d, b in zip(decode["rate"], bare["rate"], strict=True)]
    by_rate = [rate / most for rate, most in zip(cold["rate"], possible, strict=True)]
    by_core = [(d + b) / own for d, b, own in zip(decode["cpu"], bare["cpu"], cold["cpu"], strict=True)]
    yield (
        "\nA first evaluation, of what reading, decoding and bare session allow when they overlap perfectly:"
        f" {text(by_rate, '.2f')}; by core time {text(by_core, '.2f')}."
    )
    warm, both = values[_WARM], values[_ABLATIONS]
    on_top = [w / b - 1 for w, b in zip(warm["rate"], both["rate"], strict=True)]
    core_on_top = [b / w - 1 for w, b in zip(warm["cpu"], both["cpu"], strict=True)]
    yield (
        "All eight ablations beyond a warm evaluation, in evaluations:"
        f" {text(on_top, '.2f')}; by core time {text(core_on_top, '.2f')}.\n"
    )


def _sizes(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## Size of the dataset\n"
    yield "One evaluation each, in a process of its own, from start to end (with loading and scanning). *Mapped* are"
    yield "pages of the cache, which the system takes back when it needs them.\n"
    yield "| model | dataset | state | seconds | images/s | own memory, MB | mapped, MB | cache, MB |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, section in sorted(_sections(content, "size"), key=lambda item: int(item[0].rpartition("-")[2])):
        model, dataset = name.split(" ", 1)
        for state in ("cold", "warm"):
            values = section[state]
            yield (
                f"| {model} | {dataset} | {state} | {values['seconds']:.1f} | {values['images_per_second']:.0f} |"
                f" {values['own_megabytes']:.0f} | {values['mapped_megabytes']:.0f} |"
                f" {section['cache_megabytes']:.0f} |"
            )
    yield ""


def _single(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## One image, file bytes to verdict, one core, 256×256\n"
    yield "Core time is what the thread itself used: what the clock shows where nobody else wants the core.\n"
    yield "| model | format | images | p50, ms | p95, ms | p99, ms | p95 of core time, ms |"
    yield "|---|---|---|---|---|---|---|"
    for model, section in _sections(content, "single"):
        for shown, found in section["quantiles"].items():
            yield (
                f"| {model} | {shown} | {found['images']} | {found['p50']:.2f} | {found['p95']:.2f} |"
                f" {found['p99']:.2f} | {found['core_p95']:.2f} |"
            )
        ratio = section["ratio"]["all"]
        yield f"\n{model}: core time over that of Pillow's decoding and the bare session, median: {ratio:.2f}.\n"
    yield ""


def _running(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## The running exporter under Prometheus\n"
    yield "From the new file's rename to its false positive ratio readable in Prometheus, scraped every 5 s: noticing"
    yield "(3 s of rest and more), scan, evaluation, a latency run of 1,000 images. Scrapes: ten a second meanwhile.\n"
    for name, section in _sections(content, "running"):
        scrapes, own, mapped = section["scrape_milliseconds"], section["own_megabytes"], section["mapped_megabytes"]
        yield "| " + name + " | |\n|---|---|"
        yield f"| first start, nothing cached | {section['first_seconds']:.1f} s |"
        yield f"| model replaced | {text(section['replaced_seconds'], '.1f')} s |"
        yield f"| of which the last evaluation | {section['evaluation_seconds']:.1f} s |"
        yield (
            f"| scrape, {scrapes['scrapes']:.0f} times | p50 {scrapes['p50']:.0f} ms, p95 {scrapes['p95']:.0f} ms,"
            f" p99 {scrapes['p99']:.0f} ms, longest {scrapes['max']:.0f} ms |"
        )
        for role, shown in (("main", "exporter"), ("worker", "worker")):
            yield f"| memory of the {shown} | {own[role]:.0f} MB, and {mapped[role]:.0f} MB of mapped files |"
        yield ""


def _comparison(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## Comparison of stored predictions\n"
    for name, section in _sections(content, "comparison"):
        yield f"{name}: {section['images']:,} images, {text(section['seconds'], '.2f')} s, reading included."


def _plot(content: Mapping[str, Any]) -> str:
    """Bars from 0 to the largest ratio, a group for each model and dataset, the bare session as a line."""
    groups = [(name, section["values"]) for name, section in _sections(content, "rates")]
    medians = {
        name: {
            way: float(np.median(_ratios(values, way, "cpu")))
            for way in values
            if way not in (_ABLATIONS, _BARE, _DECODE)
        }
        for name, values in groups
    }
    largest = max((value for ways in medians.values() for value in ways.values()), default=1.0)
    scale = (_BARS - 60) / max(largest, 1.0)
    lines, y = [], 10
    for name, ways in medians.items():
        y += 22
        lines.append(f'<text x="10" y="{y}" font-weight="bold">{escape(name)}</text>')
        for way, value in ways.items():
            y += 20
            lines.append(f'<text x="250" y="{y}" text-anchor="end">{escape(way)}</text>')
            lines.append(f'<rect x="260" y="{y - 11}" width="{value * scale:.1f}" height="14" fill="#3572b0"/>')
            lines.append(f'<text x="{265 + value * scale:.1f}" y="{y}">{value:.2f}</text>')
        y += 8
    x = 260 + scale
    lines.append(f'<line x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{y + 4}" stroke="#c0392b" stroke-dasharray="4 3"/>')
    lines.append(f'<text x="{x + 4:.1f}" y="16" fill="#c0392b">bare session = 1 (by core time)</text>')
    body = "\n".join(lines)
    size = f'width="{260 + _BARS}" height="{y + 16}"'
    style = 'font-family="sans-serif" font-size="12"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    return f'{opening}\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
