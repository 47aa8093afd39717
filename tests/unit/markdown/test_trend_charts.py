"""Limits in trend charts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from starlight_exporter.markdown.trend_charts import detections_chart, false_positives_chart, latency_chart
from starlight_exporter.markdown.trends import Trend, Trends
from starlight_exporter.publish.charts import Chart

HOUR = 3_600.0


def trends(limits: Mapping[tuple[str, str], float]) -> Trends:
    def line(value: float) -> Trend:
        return Trend(((0.0, value), (HOUR, value)))

    return Trends(
        labels={"model": "production", "dataset": "reference"},
        start=0.0,
        end=HOUR,
        longest_gap=HOUR,
        false_positives=line(0.0001),
        detections={"lsb": line(0.99), "eoi": line(0.98)},
        latency={"p95": line(0.003)},
        changes=(),
        limits=limits,
    )


def limits_of(chart: Chart | None) -> list[tuple[float, str] | None]:
    assert chart is not None
    return [None if panel.limit is None else (panel.limit.value, panel.limit.text) for panel in chart.panels]


def test_charts_have_the_limits_in_use() -> None:
    found = trends(
        {
            ("fpr_target", ""): 0.0123,
            ("detection_target", "lsb"): 0.83,
            ("detection_target", "eoi"): 0.97,
            ("latency_limit", "p95"): 0.02,
        }
    )
    rates, detections, latency = (
        false_positives_chart(found, "a"),
        detections_chart(found, "a"),
        latency_chart(found, "a"),
    )
    assert limits_of(rates) == [(0.0123, "target 1.23%")]
    assert limits_of(detections) == [(0.83, "target 83.00%"), (0.97, "target 97.00%")]
    assert limits_of(latency) == [(0.02, "p95 limit 20.00 ms")]
    for chart in (rates, detections, latency):
        assert chart is not None
        for panel in chart.panels:
            assert panel.limit is not None
            assert panel.y.low < panel.limit.value < panel.y.high


@pytest.mark.parametrize("chart", [false_positives_chart, detections_chart, latency_chart])
def test_chart_without_a_limit_has_no_line(chart: object) -> None:
    assert callable(chart)
    assert set(limits_of(chart(trends({}), "a"))) == {None}
