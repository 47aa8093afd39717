"""Rates of stored evaluations as CSV and Parquet, with the rows and columns of `Evaluation.to_frame`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import chain, islice
from typing import BinaryIO, Final

from starlight_exporter.errors import DependencyError
from starlight_exporter.evaluation.frame import RateRecord, rate_records
from starlight_exporter.evaluation.prediction_columns import Cell
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.csv_text import csv_lines

COLUMNS: Final = tuple(field.name for field in fields(RateRecord))
_ROWS: Final = 10_000
"""Rows that are in memory at the same time, and in one row group of a Parquet file."""


def history_csv(evaluations: Iterable[Evaluation]) -> Iterator[str]:
    """Yield the text of a CSV file in parts: a header, then all rates, oldest evaluation first.

    Times are ISO 8601 in UTC. An empty cell is a value that was not measured, or the count of a figure of merit.
    """
    yield csv_lines([COLUMNS])
    for part in _parts(evaluations):
        yield csv_lines([_cells(record) for record in part])


def write_history_parquet(evaluations: Iterable[Evaluation], file: BinaryIO) -> int:
    """Write all rates to a Parquet file; return the number of rows. Raise DependencyError without pyarrow."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError("Parquet needs pyarrow; install it, or this package with the extra parquet") from error
    types = {
        **dict.fromkeys(("count", "total"), arrow.int64()),
        **dict.fromkeys(("rate", "ci_low", "ci_high"), arrow.float64()),
        "finished_at": arrow.timestamp("us", tz="UTC"),
    }
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in COLUMNS])
    rows = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for part in _parts(evaluations):
            columns = {name: [getattr(record, name) for record in part] for name in COLUMNS}
            writer.write_table(arrow.table(columns, schema=schema))
            rows += len(part)
    return rows


def _parts(evaluations: Iterable[Evaluation]) -> Iterator[list[RateRecord]]:
    records = chain.from_iterable(map(rate_records, evaluations))
    while part := list(islice(records, _ROWS)):
        yield part


def _cells(record: RateRecord) -> list[Cell]:
    values = {name: getattr(record, name) for name in COLUMNS}
    return [*(values | {"finished_at": record.finished_at.isoformat()}).values()]
