"""Panel of provisional results: samples of large datasets, until the complete results replace them."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table

from grafana.source import links
from grafana.source.limits import ANY_IS_BAD
from grafana.source.panels import PanelInfo
from grafana.source.queries import by, select
from grafana.source.tables import FALSE_POSITIVE_RATE_WIDTH, Column, table_panel
from starlight_exporter.publish.families import provisional

ALL_COMPLETE = "all results are complete"


def provisional_results() -> table.Panel:
    """Return a table with one row per dataset whose sample is newer than the complete result."""
    significant = f"{select(provisional.CHECK_SIGNIFICANT)} * {select(provisional.CHECK_ALERTS)}"
    return table_panel(
        PanelInfo(
            "Provisional results (samples)",
            "A random sample of a large dataset, until the complete result of the same evaluation replaces it. Red: "
            "checks fail significantly; click the dataset for the checks and images. Empty: all results are complete.",
            "none",
        ),
        Column("dataset", link=links.PROVISIONAL),
        Column("images", by("dataset", select(provisional.IMAGES), "max"), "none", 0, width=80),
        Column("of", by("dataset", select(provisional.DATASET_IMAGES), "max"), "none", 0, width=90),
        Column(
            "false positive rate",
            by("dataset", select(provisional.CLEAN.ratio), "max"),
            "percentunit",
            2,
            width=FALSE_POSITIVE_RATE_WIDTH,
        ),
        Column("95% CI low", by("dataset", select(provisional.CLEAN.lower), "max"), "percentunit", 2, width=90),
        Column("95% CI high", by("dataset", select(provisional.CLEAN.upper), "max"), "percentunit", 2, width=98),
        Column(
            "lowest detection rate", by("dataset", select(provisional.STEGO.ratio), "min"), "percentunit", 1, width=160
        ),
        Column("significant failures", by("dataset", significant), "none", 0, ANY_IS_BAD, no_value="–", width=150),
        Column(
            "measured",
            f"{by('dataset', select(provisional.TIMESTAMP), 'max')} * 1000",
            "dateTimeFromNow",
            width=130,
        ),
    ).no_value(ALL_COMPLETE)
