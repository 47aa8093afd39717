"""Charts without a time axis: current values over an epoch or over another value."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, trend, xychart
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue, FieldColorModeId
from grafana_foundation_sdk.models.xychart import SeriesMapping, XYShowMode

from grafana.source.limits import NEUTRAL
from grafana.source.panels import COLOUR_BLIND_SAFE, PanelInfo, Query, with_info, with_table_queries
from grafana.source.style import BLUE, steps

AXIS_MARGIN: Final = 0.01
"""Minimum range of the axes of two ratios, measured from the ideal corner (no false positives, all detected)."""


def trend_chart(
    info: PanelInfo,
    expr: str,
    *,
    series: str,
    number: str,
    decimals: int,
    logarithmic: bool = False,
    soft_maximum: float | None = None,
) -> trend.Panel:
    """Return a trend panel with one line per value of the label `series` over the numeric label `number`."""
    panel = (
        with_info(trend.Panel(), info)
        .color_scheme(dashboard.FieldColor().mode(COLOUR_BLIND_SAFE))
        .line_width(2)
        .fill_opacity(0)
        .show_points(VisibilityMode.ALWAYS)
        .point_size(5)
        .span_nulls(False)
        .thresholds(steps(*NEUTRAL))
        .x_field(number)
        .legend(_legend(shown=True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if logarithmic:
        panel = panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
    if soft_maximum is not None:
        # A hard maximum would also apply to the horizontal axis.
        panel = panel.axis_soft_max(soft_maximum)
    corner = f"{number}\\{series}"
    for name, options in (
        # Sorted columns give a series the same colour on every panel.
        ("sortBy", {"sort": [{"field": series}]}),
        ("groupingToMatrix", {"columnField": series, "rowField": number, "valueField": "Value", "emptyValue": "null"}),
        ("convertFieldType", {"conversions": [{"targetField": corner, "destinationType": "number"}]}),
        ("sortBy", {"sort": [{"field": corner}]}),
        ("organize", {"renameByName": {corner: number}}),
    ):
        panel = panel.with_transformation(DataTransformerConfig(id_val=name, options=options))
    axis = [
        DynamicConfigValue(id_val="unit", value="none"),
        DynamicConfigValue(id_val="custom.axisLabel", value=number),
    ]
    panel = panel.override_by_name(number, axis)
    # The horizontal axis has integers, so only the vertical axis has decimals.
    panel = panel.override_by_regexp(f"/^(?!{number}$)/", [DynamicConfigValue(id_val="decimals", value=decimals)])
    return with_table_queries(panel, [expr])


def xy_chart(info: PanelInfo, horizontal: Query, vertical: Query, *, points: str) -> xychart.Panel:
    """Return an XY chart of two ratios with one point per value of the label `points`; legends become axis labels."""
    panel = (
        with_info(xychart.Panel(), info)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
        .mapping(SeriesMapping.AUTO)
        .series([])
        .show(XYShowMode.POINTS_AND_LINES)
        .line_width(2)
        .thresholds(steps(*NEUTRAL))
        .legend(_legend(shown=False))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
    )
    names = {"Value #A": horizontal.legend, "Value #B": vertical.legend}
    for name, options in (
        ("merge", {}),
        (
            "organize",
            {
                "excludeByName": {"Time": True},
                # The first number is the horizontal axis.
                "indexByName": {name: place for place, name in enumerate((points, *names))},
                "renameByName": names,
            },
        ),
        ("sortBy", {"sort": [{"field": points}]}),
    ):
        panel = panel.with_transformation(DataTransformerConfig(id_val=name, options=options))
    axes = (
        (horizontal.legend, {"min": 0, "custom.axisSoftMax": AXIS_MARGIN}),
        (vertical.legend, {"max": 1, "custom.axisSoftMin": 1 - AXIS_MARGIN}),
    )
    for legend, ends in axes:
        properties = {"custom.axisLabel": legend, **ends}
        panel = panel.override_by_name(
            legend, [DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
        )
    return with_table_queries(panel, [horizontal.expr, vertical.expr])


def _legend(*, shown: bool) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(shown)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .calcs([])
    )
