"""Charts whose horizontal axis is no time: values of this moment against an epoch, or against another value."""

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
from grafana.source.panels import COLOUR_BLIND_SAFE, Look, Query, described, queried_as_tables
from grafana.source.style import BLUE, steps

NEAR_THE_CORNER: Final = 0.01
"""How much of the axes of two ratios is shown at least: no false positive and everything found is their corner."""


def by_number(
    look: Look,
    expr: str,
    *,
    series: str,
    number: str,
    decimals: int,
    logarithmic: bool = False,
    soft_maximum: float | None = None,
) -> trend.Panel:
    """One line for each value of the label `series`, over the numbers that the label `number` holds."""
    panel = (
        described(trend.Panel(), look)
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
        # A hard one would hold for the horizontal axis too.
        panel = panel.axis_soft_max(soft_maximum)
    corner = f"{number}\\{series}"
    for name, options in (
        # Columns in the order of their names: the same series has the same colour on every panel.
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
    # Whole numbers go across: only what goes up has decimals.
    panel = panel.override_by_regexp(f"/^(?!{number}$)/", [DynamicConfigValue(id_val="decimals", value=decimals)])
    return queried_as_tables(panel, [expr])


def value_against_value(look: Look, across: Query, up: Query, *, points: str) -> xychart.Panel:
    """Two ratios: a point for each value of the label `points`, in a line; the queries' legends name the axes."""
    panel = (
        described(xychart.Panel(), look)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(BLUE))
        .mapping(SeriesMapping.AUTO)
        .series([])
        .show(XYShowMode.POINTS_AND_LINES)
        .line_width(2)
        .thresholds(steps(*NEUTRAL))
        .legend(_legend(shown=False))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
    )
    names = {"Value #A": across.legend, "Value #B": up.legend}
    for name, options in (
        ("merge", {}),
        (
            "organize",
            {
                "excludeByName": {"Time": True},
                # The first number goes across.
                "indexByName": {name: place for place, name in enumerate((points, *names))},
                "renameByName": names,
            },
        ),
        ("sortBy", {"sort": [{"field": points}]}),
    ):
        panel = panel.with_transformation(DataTransformerConfig(id_val=name, options=options))
    axes = (
        (across.legend, {"min": 0, "custom.axisSoftMax": NEAR_THE_CORNER}),
        (up.legend, {"max": 1, "custom.axisSoftMin": 1 - NEAR_THE_CORNER}),
    )
    for legend, ends in axes:
        properties = {"custom.axisLabel": legend, **ends}
        panel = panel.override_by_name(
            legend, [DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
        )
    return queried_as_tables(panel, [across.expr, up.expr])


def _legend(*, shown: bool) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(shown)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .calcs([])
    )
