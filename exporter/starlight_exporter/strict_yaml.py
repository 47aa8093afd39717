"""Validation of YAML files against a strict schema: each error is one line with the file, the key and what is wrong."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from starlight_exporter.errors import ConfigError
from starlight_exporter.file_access import read_content

MAX_FILE_BYTES = 1024 * 1024
MAX_MERGED_KEYS = 1000

_Schema = TypeVar("_Schema", bound="StrictModel")

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "int_from_float": "a whole number",
}


class StrictModel(BaseModel):
    """Section of a configuration file: immutable, without unknown keys or type conversions."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def load_strict(
    path: Path, schema: type[_Schema], context: dict[str, object] | None = None, *, secret: str | None = None
) -> _Schema:
    """Read a file as `schema`. Raises ConfigError with the file and key. An empty file is an empty mapping.

    With a `secret` section, error messages contain neither values of that section nor text that cannot be parsed.
    """
    content = read_yaml(path, quote=secret is None)
    try:
        return schema.model_validate({} if content is None else content, context=context)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_summary(error, schema, secret)}") from error


def read_yaml(path: Path, *, quote: bool = True, max_bytes: int = MAX_FILE_BYTES, root: Path | None = None) -> object:
    """Return the parsed document. Raises ConfigError if it cannot be read, is not YAML or has duplicate keys.

    Without `quote` error messages contain the position only, not the text. `root` is that of `file_access`.
    """
    try:
        raw = read_content(path, max_bytes=max_bytes, root=root).data
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return yaml.load(raw.decode("utf-8"), Loader=_UniqueKeyLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = ", ".join(part for part in (error.context, error.problem) if part) if quote else "not valid here"
        raise ConfigError(f"{path}: {where}{what}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not YAML: nested too deeply") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError) as error:
        # PyYAML does not wrap the errors of its converters: `2024-13-45` is a timestamp in YAML 1.1 but not a date,
        # `!!bool maybe` is a KeyError, `!!timestamp soon` an AttributeError.
        what = f"not YAML: {type(error).__name__}: {' '.join(str(error).split())}" if quote else "not YAML"
        raise ConfigError(f"{path}: {what}") from error


class _UniqueKeyLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Check before merge keys (`<<`) are resolved, because they may be overridden.
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            key = (key_node.tag, key_node.value)
            if key in seen:
                first = seen[key].start_mark.line + 1
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {json.dumps(key_node.value)} (first in line {first})",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = key_node
        return super().construct_mapping(node, deep=deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        # Nested merges can expand a few lines to gigabytes.
        if len(node.value) > MAX_MERGED_KEYS:
            raise yaml.MarkedYAMLError(
                problem=f"`<<` merges more than {MAX_MERGED_KEYS} keys", problem_mark=node.start_mark
            )


_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _summary(error: ValidationError, schema: type[BaseModel], secret: str | None) -> str:
    details = error.errors(include_url=False)
    # Pydantic also reports a list with invalid items as too short; keep the errors of the items.
    relevant = [
        detail
        for detail in details
        if detail["type"] != "too_short" or not any(_inside(other["loc"], detail["loc"]) for other in details)
    ]
    # A misspelt key causes two errors, an unknown and a missing key; show the unknown one.
    relevant.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    text = _message(relevant[0], schema, secret)
    if len(relevant) > 1:
        text += f" (and {len(relevant) - 1} more {'error' if len(relevant) == 2 else 'errors'})"
    return text


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def _inside(location: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def _message(detail: ErrorDetails, schema: type[BaseModel], secret: str | None) -> str:
    location, kind = detail["loc"], detail["type"]
    context = detail.get("ctx", {})
    hidden = secret is not None and (not location or location[0] == secret)
    got = "something else" if hidden else shown(detail["input"])
    match kind:
        case "missing":
            problem = "is missing"
        case "extra_forbidden" | "invalid_key":
            problem = f"unknown key; {_known_keys(location, schema)}"
        case "value_error":
            problem = str(context["error"])
        case "literal_error":
            expected = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            problem = f"expected one of {expected}; got {got}"
        case "too_short":
            problem = f"must contain at least {_items(context['min_length'])}"
        case "too_long":
            problem = f"must contain at most {_items(context['max_length'])}"
        case _ if kind in _EXPECTED:
            problem = f"expected {_EXPECTED[kind]}; got {got}"
        case _ if kind in _BOUNDS:
            word, bound = _BOUNDS[kind]
            limit = context[bound]
            problem = f"expected {word} {f'{limit:g}' if isinstance(limit, float) else limit}; got {got}"
        case _:
            problem = detail["msg"][0].lower() + detail["msg"][1:]
    # Errors of the root validator contain their key already.
    return f"{key_path(location)}: {problem}" if location else problem


def key_path(location: tuple[int | str, ...]) -> str:
    """Format a location such as `("models", 0, "name")` as `models[0].name`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """Format a value for an error message, at most 60 characters: its text, or its type if it is not a scalar."""
    match value:
        case None:
            text = "nothing"
        case bool():
            # YAML 1.1 reads an unquoted `on`, `no` or `yes` as a boolean.
            text = f"{str(value).lower()} (quote it to use it as text)"
        case int() | float():
            # Python does not convert integers of thousands of digits to text.
            text = "a very long number" if isinstance(value, int) and value.bit_length() > 190 else str(value)
        case str():
            text = repr(value if len(value) <= 56 else value[:53] + "...")
        case list():
            text = "a list"
        case dict():
            text = "a mapping"
        case _:
            text = f"a {type(value).__name__}"
    return text


def _known_keys(location: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    section: type[BaseModel] | None = schema
    for part in location[:-1]:
        field = section.model_fields.get(part) if section is not None and isinstance(part, str) else None
        if field is not None:
            section = next(_models_in(field.annotation), None)
    names = list(section.model_fields) if section is not None else []
    near = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
