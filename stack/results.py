"""Wait for the first results in Prometheus and print them."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from stack.errors import StackError
from starlight_exporter.errors import MonitoringError
from starlight_exporter.formatting import NOT_MEASURED, integer, milliseconds, percent, percent_range
from starlight_exporter.http_client import HttpClient
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION

PRODUCTION = ' * on (model) group_left () (starlight_model_info{role="production"} > 0)'


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of the result of an instant query."""

    labels: dict[str, str]
    value: float


def query(prometheus: str, expression: str) -> list[Sample]:
    """Run an instant query; return no samples if Prometheus is unreachable or not ready."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        answer = HttpClient().get_json(url, "Prometheus", timeout=5)
    except MonitoringError:
        return []
    return [Sample(labels=row["metric"], value=float(row["value"][1])) for row in answer["data"]["result"]]


def wait_for_first(
    prometheus: str, status_page: str, console: Console, *, seconds: float, check: Callable[[], None]
) -> None:
    """Return as soon as Prometheus has the false positive ratio of a production model.

    Raise StackError if its first evaluation fails, with the reason, and after `seconds`. Calls `check` every second,
    which may raise.
    """
    deadline = time.monotonic() + seconds
    with console.status("waiting for the first evaluation to reach Prometheus"):
        while not false_positive_ratio(prometheus):
            check()
            reason = first_failure(status_page)
            if reason is not None:
                raise StackError(f"the first evaluation failed: {reason}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"no false positive ratio of a production model in Prometheus after {seconds:.0f} s; "
                    f"see the status page: {status_page}"
                )
            time.sleep(1)


def first_failure(status_page: str) -> str | None:
    """Return why no production model has a result; None if one has, while none has failed, or without the exporter."""
    try:
        cells = HttpClient().get_json(f"{status_page}status.json", "the exporter", timeout=5)["cells"]
    except MonitoringError:
        return None
    production = [cell for cell in cells if cell["role"] == "production"]
    if any(cell["evaluation"] is not None for cell in production):
        return None
    reasons = ((cell, cell["load_error"] or cell["run_error"]) for cell in production)
    return next((f"{cell['model']} on {cell['dataset']}: {reason}" for cell, reason in reasons if reason), None)


def false_positive_ratio(prometheus: str) -> list[Sample]:
    """Return the false positive ratio of the production models; empty until it is scraped."""
    return query(prometheus, "starlight_false_positive_ratio" + PRODUCTION)


def show(prometheus: str, console: Console) -> None:
    """Print rates with counts and confidence intervals, and latency, of the production models."""
    table = Table(title="Production models")
    for column in ("model", "dataset", "metric", "value", "95% CI", "images"):
        table.add_column(column, justify="right" if column in {"value", "images"} else "left")
    for metric, total, name in (
        ("false_positive", "clean_images", "false positives"),
        ("detection", "stego_images", "detection"),
    ):
        for sample in sorted(query(prometheus, f"starlight_{metric}_ratio{PRODUCTION}"), key=slice_key):
            lower = same_slice(query(prometheus, f"starlight_{metric}_ratio_lower{PRODUCTION}"), sample)
            upper = same_slice(query(prometheus, f"starlight_{metric}_ratio_upper{PRODUCTION}"), sample)
            images = same_slice(query(prometheus, f"starlight_{total}{PRODUCTION}"), sample)
            method = sample.labels.get("method", "")
            table.add_row(
                sample.labels["model"],
                sample.labels["dataset"],
                f"{name} {method}".strip(),
                percent(sample.value),
                percent_range(lower, upper),
                NOT_MEASURED if images is None else integer(round(images)),
            )
    busy = query(prometheus, f"starlight_latency_contention_ratio{PRODUCTION} > {BUSY_CONTENTION}")
    timed_while_busy = {(sample.labels["model"], sample.labels["dataset"]) for sample in busy}
    for sample in sorted(query(prometheus, f"starlight_latency_seconds{PRODUCTION}"), key=slice_key):
        pair = (sample.labels["model"], sample.labels["dataset"])
        remark = " (machine busy)" if pair in timed_while_busy else ""
        name = f"latency p{float(sample.labels['quantile']) * 100:g}{remark}"
        table.add_row(*pair, name, milliseconds(sample.value), "", "")
    console.print(table)


def slice_key(sample: Sample) -> tuple[str, ...]:
    """Return the sort key: model, dataset, method, quantile."""
    return tuple(sample.labels.get(name, "") for name in ("model", "dataset", "method", "quantile"))


def same_slice(samples: list[Sample], like: Sample) -> float | None:
    """Return the value of the sample with the same labels, or None."""
    for sample in samples:
        if slice_key(sample) == slice_key(like):
            return sample.value
    return None
