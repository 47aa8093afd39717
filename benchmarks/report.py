"""Generate README.md and the plot from results.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import results
from benchmarks.results import text
from starlight_exporter.files import write_text

HERE: Final = Path(__file__).resolve().parent
_BARE: Final = "session only"
_DECODE: Final = "read and decode only"
_COLD: Final = "cold cache, staged model"
_WARM: Final = "cached streams, staged model"
_ABLATIONS: Final = "cached streams, staged model, eight ablations"
_Values = Mapping[str, Mapping[str, Sequence[float]]]
_BARS: Final = 640

_HEAD: Final = """# Speed and memory

`python -m benchmarks report` generates this page and the plot from [results.json](results.json). The benchmarks are run
manually; `python -m benchmarks rates --model original --kind shared --images 1002` runs one, `--help` lists the others.

Rates use two threads, except sequential ones. Each rate is also given relative to the session only (full model on
prepared tensors, one shared session, one image per call) **of the same round**: all modes run once per round, so that
other load affects them equally. Values are medians, with the range of all rounds in parentheses. *original* is the
published Starlight architecture (814,241 parameters, 185 million multiply-adds) with random weights, written by
`original.py`; *v4* is the shipped model. *distinct* datasets have no duplicate images; in *shared* datasets, each cover
has five stego files. CPU time is the total of all threads, so its ratios do not depend on other load.

The speed of the virtual machine varies by up to 50% between hours: only compare values within a table. The dataset
sizes were measured while tests were running, everything else without other load.

How often the regression checks are wrong: [operating characteristics](operating_characteristics.md), with
[provisional results](provisional.md). Time from a new model to its first values: [time to metrics](time_to_metrics.md).
Intervals of embedding rates: [payload thresholds](payload_thresholds.md). Memory of service and worker: [by number of
images](dataset_memory.md). How often drift of unlabelled images is
detected: [drift](drift.md). How often a study distinguishes equal models: [swap tests](swap_tests.md). The shipped
models on the shipped datasets: [study](study/study.md), [by payload, size and source](breakdowns.md).
"""


def write() -> None:
    """Rewrite README.md and rates.svg."""
    content = results.load()
    parts = [_HEAD, *_machine(content), *_rates(content), *_sizes(content), *_single(content), *_running(content)]
    write_text(HERE / "README.md", "\n".join(parts) + "\n")
    write_text(HERE / "rates.svg", _plot(content))


def _machine(content: Mapping[str, Any]) -> Iterator[str]:
    machines = [section["machine"] for section in content.values()]
    if machines:
        loads = [machine["load"] for machine in machines]
        yield (
            f"Machine: {machines[0]['processor']}, {machines[0]['cores']} cores, Python {machines[0]['python']}; load"
            f" average {min(loads)} to {max(loads)} at the end of the measurements. Absolute rates vary with the load;"
            " compare ratios.\n"
        )


def _sections(content: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in sorted(content):
        if name.startswith(f"{kind} "):
            yield name.removeprefix(f"{kind} "), content[name]


def _ratios(values: _Values, mode: str, kind: str = "rate") -> list[float]:
    """Return the speed relative to the session only, per round, from rates or from CPU times."""
    pairs = zip(values[mode][kind], values[_BARE][kind], strict=True)
    return [own / bare if kind == "rate" else bare / own for own, bare in pairs]


def _rates(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## Execution modes\n\n![Speed relative to the session only, by CPU time](rates.svg)\n"
    for name, section in _sections(content, "rates"):
        values: _Values = section["values"]
        model, dataset = name.split(" ", 1)
        yield f"### {model}, {dataset}: {section['images']:,} images\n"
        yield "| Mode | Images/s | vs. session only | CPU time, ms/image | vs. session only, by CPU time |"
        yield "|---|---|---|---|---|"
        for mode, found in values.items():
            if mode != _ABLATIONS:
                yield (
                    f"| {mode} | {text(found['rate'])} | {text(_ratios(values, mode), '.2f')} |"
                    f" {text(found['cpu'], '.2f')} | {text(_ratios(values, mode, 'cpu'), '.2f')} |"
                )
        yield from _derived(values)


def _derived(values: _Values) -> Iterator[str]:
    decode, bare, cold = values[_DECODE], values[_BARE], values[_COLD]
    # Both use all cores, so the optimum is the sum of their durations.
    possible = [1 / (1 / d + 1 / b) for d, b in zip(decode["rate"], bare["rate"], strict=True)]
    by_rate = [rate / most for rate, most in zip(cold["rate"], possible, strict=True)]
    by_core = [(d + b) / own for d, b, own in zip(decode["cpu"], bare["cpu"], cold["cpu"], strict=True)]
    yield (
        "\nFirst evaluation relative to the optimum of reading, decoding and session only:"
        f" {text(by_rate, '.2f')}; by CPU time {text(by_core, '.2f')}."
    )
    warm, both = values[_WARM], values[_ABLATIONS]
    on_top = [w / b - 1 for w, b in zip(warm["rate"], both["rate"], strict=True)]
    core_on_top = [b / w - 1 for w, b in zip(warm["cpu"], both["cpu"], strict=True)]
    yield (
        "Additional time of all eight ablations, in warm evaluations:"
        f" {text(on_top, '.2f')}; by CPU time {text(core_on_top, '.2f')}.\n"
    )


def _sizes(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## Dataset size\n"
    yield "One evaluation in a new process, including loading and scanning. Private memory is without mapped files.\n"
    yield "| Model | Dataset | Cache | Seconds | Images/s | Private memory, MB | Cache size, MB |"
    yield "|---|---|---|---|---|---|---|"
    for name, section in sorted(_sections(content, "size"), key=lambda item: int(item[0].rpartition("-")[2])):
        model, dataset = name.split(" ", 1)
        for state in ("cold", "warm"):
            values = section[state]
            yield (
                f"| {model} | {dataset} | {state} | {values['seconds']:.1f} | {values['images_per_second']:.0f} |"
                f" {values['own_megabytes']:.0f} | {section['cache_megabytes']:.0f} |"
            )
    yield ""


def _single(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## Latency of one 256×256 image, file to verdict, one core\n"
    yield "CPU time is the time used by the thread, which equals the elapsed time on an idle core.\n"
    yield "| Model | Format | Images | p50, ms | p95, ms | p99, ms | p95 of CPU time, ms |"
    yield "|---|---|---|---|---|---|---|"
    for model, section in _sections(content, "single"):
        for shown, found in section["quantiles"].items():
            yield (
                f"| {model} | {shown} | {found['images']} | {found['p50']:.2f} | {found['p95']:.2f} |"
                f" {found['p99']:.2f} | {found['core_p95']:.2f} |"
            )
        ratio = section["ratio"]["all"]
        yield f"\n{model}: median CPU time relative to Pillow decoding plus session only: {ratio:.2f}.\n"
    yield ""


def _running(content: Mapping[str, Any]) -> Iterator[str]:
    yield "## The running exporter under Prometheus\n"
    yield "Time from the rename of the new file to its false positive ratio in Prometheus, scraped every 5 s: file"
    yield "check (3 s settle time), scan, evaluation, latency run of 1,000 images. Meanwhile, ten scrapes per second.\n"
    for name, section in _sections(content, "running"):
        scrapes, own = section["scrape_milliseconds"], section["own_megabytes"]
        yield "| " + name + " | |\n|---|---|"
        yield f"| first start, cold cache | {section['first_seconds']:.1f} s |"
        yield f"| model replaced | {text(section['replaced_seconds'], '.1f')} s |"
        yield f"| last evaluation | {section['evaluation_seconds']:.1f} s |"
        yield (
            f"| scrape, {scrapes['scrapes']:.0f} times | p50 {scrapes['p50']:.0f} ms, p95 {scrapes['p95']:.0f} ms,"
            f" p99 {scrapes['p99']:.0f} ms, maximum {scrapes['max']:.0f} ms |"
        )
        for role, shown in (("main", "exporter"), ("worker", "worker")):
            yield f"| memory of the {shown} | {own[role]:.0f} MB private |"
        yield ""


def _plot(content: Mapping[str, Any]) -> str:
    """Bars from 0 to the largest ratio, a group for each model and dataset, the bare session as a line."""
    groups = [(name, section["values"]) for name, section in _sections(content, "rates")]
    medians = {
        name: {
            mode: float(np.median(_ratios(values, mode, "cpu")))
            for mode in values
            if mode not in (_ABLATIONS, _BARE, _DECODE)
        }
        for name, values in groups
    }
    largest = max((value for modes in medians.values() for value in modes.values()), default=1.0)
    scale = (_BARS - 60) / max(largest, 1.0)
    lines, y = [], 10
    for name, modes in medians.items():
        y += 22
        lines.append(f'<text x="10" y="{y}" font-weight="bold">{escape(name)}</text>')
        for mode, value in modes.items():
            y += 20
            lines.append(f'<text x="250" y="{y}" text-anchor="end">{escape(mode)}</text>')
            lines.append(f'<rect x="260" y="{y - 11}" width="{value * scale:.1f}" height="14" fill="#3572b0"/>')
            lines.append(f'<text x="{265 + value * scale:.1f}" y="{y}">{value:.2f}</text>')
        y += 8
    x = 260 + scale
    lines.append(f'<line x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{y + 4}" stroke="#c0392b" stroke-dasharray="4 3"/>')
    lines.append(f'<text x="{x + 4:.1f}" y="16" fill="#c0392b">session only = 1 (by CPU time)</text>')
    body = "\n".join(lines)
    size = f'width="{260 + _BARS}" height="{y + 16}"'
    style = 'font-family="sans-serif" font-size="12"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    return f'{opening}\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
