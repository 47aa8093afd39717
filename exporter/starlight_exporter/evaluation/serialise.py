"""An Evaluation as one line of JSON, and back, field for field."""

from __future__ import annotations

import json
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation

SCHEMA = 1
"""Raised when a stored line can no longer be read by older code."""


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Evaluation]:
    # Built at first use: it costs 20 ms that most processes never need.
    return TypeAdapter(Evaluation)


def to_json(evaluation: Evaluation) -> str:
    """One line of JSON without a newline: `schema`, then every field. ValueError for a number that is not finite."""
    content = {"schema": SCHEMA, **_adapter().dump_python(evaluation, mode="python")}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> Evaluation:
    """What `to_json` wrote; StorageError for damaged text, missing or wrong fields, or another schema.

    Further keys are ignored: newer writers may add some without raising SCHEMA.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"stored evaluation is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise StorageError("stored evaluation is not an object")
    schema = content.pop("schema", None)
    if schema != SCHEMA or isinstance(schema, bool):
        raise StorageError(f"stored evaluation has schema {schema!r}; this version reads schema {SCHEMA}")
    try:
        # Strict JSON mode: numbers are not made of strings, but arrays become tuples as the types say.
        return _adapter().validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StorageError(f"stored evaluation: {where}: {first['msg']} ({error.error_count()} in all)") from error
