"""A stream ablation as JSON and as a terminal table."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.formatting import integer
from starlight_exporter.publish.documents.ablation_table import ABLATION_HEADINGS, ablation_rows


def ablation_json(study: AblationStudy) -> str:
    """Return the study with its provenance."""
    return json.dumps(asdict(study), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def ablation_table(study: AblationStudy) -> Table:
    """Return the full model and each ablated stream, most important first."""
    ablation, provenance = study.ablation, study.provenance
    table = Table(
        title=escape(f"Stream ablation: {study.model} on {study.dataset} ({ablation.mode})"),
        caption=escape(
            f"{integer(ablation.images)} images, {integer(ablation.not_measured)} not measured; model"
            f" {provenance.model_sha256[:12]}, dataset {provenance.dataset_fingerprint[:12]}, seed {provenance.seed}"
        ),
    )
    first, *others = ABLATION_HEADINGS
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    for row in ablation_rows(study):
        table.add_row(*row)
    return table
