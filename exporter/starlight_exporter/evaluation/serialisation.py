"""Serialise an Evaluation as one line of JSON, and parse it again."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from pydantic import TypeAdapter, ValidationError

from starlight_exporter.errors import NewerSchemaError, StorageError
from starlight_exporter.evaluation.results import Evaluation

SCHEMA: Final = 1
"""Incremented when older versions can no longer read what this version writes."""


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Evaluation]:
    # Built at first use, because it takes 20 ms.
    return TypeAdapter(Evaluation)


def to_json(evaluation: Evaluation, **stored: object) -> str:
    """Return one line of JSON: `schema`, every field, then the keys `stored`, which `from_json` ignores.

    Raise ValueError for a number that is not finite.
    """
    content = {"schema": SCHEMA, **_adapter().dump_python(evaluation, mode="python"), **stored}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> Evaluation:
    """Parse the output of `to_json`. Raise StorageError for invalid text, NewerSchemaError for a newer schema.

    Unknown keys are ignored, because newer versions may add some without a new schema.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"stored evaluation is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise StorageError("stored evaluation is not an object")
    schema = content.pop("schema", None)
    if schema != SCHEMA or isinstance(schema, bool):
        text = f"stored evaluation has schema {schema!r}; this version reads schema {SCHEMA}"
        if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
            raise NewerSchemaError(f"{text}: written by {_writer(content)}")
        raise StorageError(text)
    try:
        # Strict JSON mode rejects strings as numbers, but converts arrays to tuples.
        return _adapter().validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StorageError(f"stored evaluation: {where}: {first['msg']} ({error.error_count()} in all)") from error


def _writer(content: dict[str, object]) -> str:
    provenance = content.get("provenance")
    version = provenance.get("exporter_version") if isinstance(provenance, dict) else None
    # The text of another version, bounded for logs.
    return f"starlight-exporter {version[:40]!a}" if isinstance(version, str) else "a newer version"
