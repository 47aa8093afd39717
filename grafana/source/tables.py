"""Tables of this moment: each value column is one instant query, rows are joined over the label columns."""

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
from grafana.source.panels import Link, Look, data_link, described, queried_as_tables
from grafana.source.style import UNKNOWN, Steps, nothing_is, steps, words
from starlight_exporter.formatting import NOT_MEASURED

FILLED: Final = {"type": "color-background", "mode": "basic"}
MODEL_WIDTH: Final = 180
"""Of a column of model names: room for the longest that are shipped."""
COLOURED_TEXT: Final = {"type": "color-text"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a label's (`label`, by default called as the title) or, with `expr`, a query's values.

    A value past one of its `thresholds` fills its cell. `nothing` stands where a row has no value.
    """

    title: str
    expr: str | None = None
    unit: str = ""
    decimals: int | None = None
    thresholds: Steps = ()
    meanings: Mapping[int, tuple[str, str]] | None = None
    named_colours: Mapping[str, str] | None = None
    nothing: str = NOT_MEASURED
    width: int | None = None
    link: Link | None = None
    label: str = ""

    @property
    def source(self) -> str:
        """The label that a label column shows."""
        return self.label or self.title

    def properties(self) -> list[DynamicConfigValue]:
        """What sets the column apart from the table."""
        found: dict[str, Any] = {}
        if self.expr is None:
            found["noValue"] = "–"
        if self.unit:
            found["unit"] = self.unit
        if self.decimals is not None:
            found["decimals"] = self.decimals
        if self.width is not None:
            found["custom.width"] = self.width
        if self.link is not None:
            found["links"] = [data_link(self.link).build()]
        if self.thresholds:
            found["thresholds"] = steps(*self.thresholds).build()
            found["color"] = {"mode": "thresholds"}
        if self.thresholds or self.meanings is not None:
            found["custom.cellOptions"] = FILLED
        if self.named_colours is not None:
            found["custom.cellOptions"] = COLOURED_TEXT
        if self.expr is not None or self.named_colours is not None:
            found["mappings"] = self._mappings()
        return [DynamicConfigValue(id_val=name, value=value) for name, value in found.items()]

    def _mappings(self) -> list[ValueMapping]:
        if self.named_colours is not None:
            colours = enumerate(self.named_colours.items())
            return [ValueMap(options={text: ValueMappingResult(color=c, index=place) for place, (text, c) in colours})]
        # The colour is that of a cell's background: what need not be there has none.
        colour = UNKNOWN if self.nothing == NOT_MEASURED else "transparent"
        return [*(words(self.meanings) if self.meanings is not None else []), nothing_is(self.nothing, colour)]


def rows(look: Look, *columns: Column, sort_by: str = "", descending: bool = True) -> table.Panel:
    """A table with one row per combination of the label columns."""
    values = [column for column in columns if column.expr is not None]
    panel = _plain(look, [column.expr for column in values if column.expr is not None])
    # A single query calls its values "Value"; only several of them have letters.
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


def matrix(look: Look, expr: str, *, across: str, down: str) -> table.Panel:
    """One query as a grid of two labels, each cell shaded from 0 to 1."""
    panel = _plain(look, [expr]).min(0).max(1).decimals(look.decimals or 0)
    panel = panel.with_transformation(
        DataTransformerConfig(
            id_val="groupingToMatrix",
            options={"columnField": across, "rowField": down, "valueField": "Value", "emptyValue": "null"},
        )
    )
    shade = [
        DynamicConfigValue(id_val="custom.cellOptions", value=FILLED),
        # Lightness alone tells the steps of this scheme apart.
        DynamicConfigValue(id_val="color", value={"mode": "continuous-blues"}),
    ]
    panel = panel.with_override(MatcherConfig(id_val="byType", options="number"), shade)
    corner = [
        DynamicConfigValue(id_val="displayName", value=f"{down} ↓ {across} →"),
        DynamicConfigValue(id_val="custom.width", value=150),
    ]
    return panel.override_by_name(f"{down}\\{across}", corner)


def _plain(look: Look, expressions: Sequence[str]) -> table.Panel:
    panel = (
        described(table.Panel(), look)
        .thresholds(steps(*NEUTRAL))
        .show_header(True)
        .cell_height(TableCellHeight.SM)
        .min_width(60)
    )
    return queried_as_tables(panel, expressions)
