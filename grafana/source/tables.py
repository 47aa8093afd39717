"""Tables of current values: one instant query per value column, joined by the label columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models.common import TableCellHeight
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    MatcherConfig,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from grafana.source.limits import NEUTRAL
from grafana.source.panels import Link, PanelInfo, data_link, with_info, with_table_queries
from grafana.source.style import UNKNOWN, Steps, null_mapping, small_value_mapping, state_mappings, steps
from starlight_exporter.formatting import NOT_MEASURED

FILLED: Final = {"type": "color-background", "mode": "basic"}
# Widths of columns whose titles do not fit an equal share of a table.
FALSE_POSITIVE_RATE_WIDTH: Final = 134
FALSE_POSITIVES_WIDTH: Final = 118
DETECTION_RATE_WIDTH: Final = 108
SCORE_WIDTH: Final = 128
MODEL_WIDTH: Final = 180
"""Width of a column of model names; fits the longest shipped name."""
COLOURED_TEXT: Final = {"type": "color-text"}


@dataclass(frozen=True, slots=True)
class Column:
    """A label column (`label`, by default the title) or, with `expr`, a value column.

    `thresholds` colour the cell background. `no_value` is displayed for rows without a value, `<smallest` for values
    below `smallest`.
    """

    title: str
    expr: str | None = None
    unit: str = ""
    decimals: int | None = None
    thresholds: Steps = ()
    states: Mapping[int, tuple[str, str]] | None = None
    text_colours: Mapping[str, str] | None = None
    no_value: str = NOT_MEASURED
    smallest: float | None = None
    width: int | None = None
    link: Link | None = None
    label: str = ""

    @property
    def source(self) -> str:
        """The label displayed in a label column."""
        return self.label or self.title

    def properties(self) -> list[DynamicConfigValue]:
        """Return the field overrides of the column."""
        overrides: dict[str, Any] = {}
        if self.expr is None:
            overrides["noValue"] = "–"
        if self.unit:
            overrides["unit"] = self.unit
        if self.decimals is not None:
            overrides["decimals"] = self.decimals
        if self.width is not None:
            overrides["custom.width"] = self.width
        if self.link is not None:
            overrides["links"] = [data_link(self.link).build()]
        if self.thresholds:
            overrides["thresholds"] = steps(*self.thresholds).build()
            overrides["color"] = {"mode": "thresholds"}
        if self.thresholds or self.states is not None:
            overrides["custom.cellOptions"] = FILLED
        if self.text_colours is not None:
            overrides["custom.cellOptions"] = COLOURED_TEXT
        if self.expr is not None or self.text_colours is not None:
            overrides["mappings"] = self._mappings()
        return [DynamicConfigValue(id_val=name, value=value) for name, value in overrides.items()]

    def _mappings(self) -> list[ValueMapping]:
        if self.text_colours is not None:
            colours = enumerate(self.text_colours.items())
            return [ValueMap(options={text: ValueMappingResult(color=c, index=place) for place, (text, c) in colours})]
        # The colour applies to the cell background; optional values have none.
        colour = UNKNOWN if self.no_value == NOT_MEASURED else "transparent"
        mappings = [] if self.states is None else state_mappings(self.states)
        if self.smallest is not None:
            mappings.append(small_value_mapping(self.smallest))
        return [*mappings, null_mapping(self.no_value, colour)]


def table_panel(info: PanelInfo, *columns: Column, sort_by: str = "", descending: bool = True) -> table.Panel:
    """Return a table with one row per combination of the label columns."""
    values = [column for column in columns if column.expr is not None]
    panel = _plain(info, [column.expr for column in values if column.expr is not None])
    # Grafana names the values of a single query "Value", and of several "Value #A", "Value #B", …
    letters = zip(ascii_uppercase, values, strict=False)
    names = {f"Value #{letter}" if len(values) > 1 else "Value": column for letter, column in letters}
    sources = {column.title: name for name, column in names.items()}
    order = [sources.get(column.title, column.source) for column in columns]
    if len(values) > 1:
        panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(order)},
                "renameByName": {name: column.title for name, column in zip(order, columns, strict=True)},
            },
        )
    )
    for column in columns:
        properties = column.properties()
        if properties:
            panel = panel.override_by_name(column.title, properties)
    if sort_by:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort_by).desc(descending)])
    return panel


def matrix_panel(info: PanelInfo, expr: str, *, across: str, down: str) -> table.Panel:
    """Return a table of one query by two labels, with cells shaded from 0 to 1."""
    panel = _plain(info, [expr]).min(0).max(1).decimals(info.decimals or 0)
    panel = panel.with_transformation(
        DataTransformerConfig(
            id_val="groupingToMatrix",
            options={"columnField": across, "rowField": down, "valueField": "Value", "emptyValue": "null"},
        )
    )
    shade = [
        DynamicConfigValue(id_val="custom.cellOptions", value=FILLED),
        # The steps of this scheme differ in lightness.
        DynamicConfigValue(id_val="color", value={"mode": "continuous-blues"}),
    ]
    panel = panel.with_override(MatcherConfig(id_val="byType", options="number"), shade)
    corner = [
        DynamicConfigValue(id_val="displayName", value=f"{down} ↓ {across} →"),
        DynamicConfigValue(id_val="custom.width", value=150),
    ]
    return panel.override_by_name(f"{down}\\{across}", corner)


def _plain(info: PanelInfo, expressions: Sequence[str]) -> table.Panel:
    panel = (
        with_info(table.Panel(), info)
        .thresholds(steps(*NEUTRAL))
        .show_header(True)
        .cell_height(TableCellHeight.SM)
        .min_width(60)
    )
    return with_table_queries(panel, expressions)
