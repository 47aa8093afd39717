"""Log format: each event of the exporter and of its libraries is one line that parsers read back."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from starlight_exporter.logs import LOG_FORMATS, LogFormat, LogLevel, configure_logging

Lines = Callable[[], list[dict[str, str]]]


_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]*)(?: |$)')


def parse_logfmt(line: str) -> dict[str, str]:
    """Parse a line like Go's logfmt: fields separated by single spaces, quoted values with JSON escapes."""
    fields, place = {}, 0
    while place < len(line):
        match = _FIELD.match(line, place)
        assert match is not None, line[place:]
        name, value = match.groups()
        assert name not in fields, line
        fields[name] = json.loads(value) if value.startswith('"') else value
        place = match.end()
    return fields


def parse_json(line: str) -> dict[str, str]:
    fields: dict[str, Any] = json.loads(line)
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


PARSERS: dict[LogFormat, Callable[[str], dict[str, str]]] = {"logfmt": parse_logfmt, "json": parse_json}


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    names = ("asyncio", "uvicorn")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def configure(log_format: LogFormat, level: LogLevel = "info") -> Lines:
    stream = io.StringIO()
    configure_logging(log_format, level, stream)

    def lines() -> list[dict[str, str]]:
        text = stream.getvalue()
        assert text == "" or text.endswith("\n")
        return [PARSERS[log_format](line) for line in text.split("\n")[:-1]]

    return lines


@pytest.fixture(params=LOG_FORMATS)
def log_format(request: pytest.FixtureRequest) -> LogFormat:
    name: LogFormat = request.param
    return name


def test_event_has_time_level_message_logger_and_fields(log_format: LogFormat) -> None:
    lines = configure(log_format)
    structlog.get_logger("starlight_exporter.runs.application").info(
        "evaluation ended", model="production", seconds=1.5, tls=False
    )
    (line,) = lines()
    moment = datetime.fromisoformat(line.pop("ts"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert moment.utcoffset() is not None
    assert line == {
        "level": "info",
        "msg": "evaluation ended",
        "logger": "starlight_exporter.runs.application",
        "model": "production",
        "seconds": "1.5",
        "tls": "false",
    }


def test_logfmt_line_starts_with_common_fields() -> None:
    stream = io.StringIO()
    configure_logging("logfmt", "info", stream)
    structlog.get_logger("x").info("evaluation ended", a=1)
    assert re.fullmatch(r'ts=\S+Z level=info msg="evaluation ended" logger=x a=1\n', stream.getvalue())


@pytest.mark.parametrize(
    "value",
    [
        "two words",
        'quotes " inside',
        'quotes"withoutspace',
        "a=b",
        "line\nbreak",
        "line\r\nbreak and\ttab",
        "back\\slash",
        'back\\slash and "quote"',
        "\\",
        "ends with a backslash\\",
        "",
        "ümlaut \N{SNOWMAN}",
        "\x1b[31mred\x07",
        "level=error msg=forged",
    ],
)
def test_value_round_trips_on_one_line(log_format: LogFormat, value: str) -> None:
    lines = configure(log_format)
    structlog.get_logger("x").warning("evaluation failed", reason=value, after="z")
    (line,) = lines()
    assert line["level"] == "warning"
    assert line["after"] == "z"
    assert line["msg"] == "evaluation failed"
    assert line["reason"] == value


def test_escapes_control_characters(log_format: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(log_format, "info", stream)
    structlog.get_logger("x").info("\x1b[2J", reason="".join(map(chr, range(32))) + "\x7f\x9b\u2028", nothing=None)
    assert stream.getvalue().removesuffix("\n").isprintable()


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncio", "another.library"])
def test_library_events_have_the_same_format(log_format: LogFormat, name: str) -> None:
    lines = configure(log_format)
    logging.getLogger(name).warning("Invalid %s received.", "HTTP request")
    (line,) = lines()
    assert (line["level"], line["msg"], line["logger"]) == ("warning", "Invalid HTTP request received.", name)
    assert "ts" in line


def test_traceback_is_a_field(log_format: LogFormat) -> None:
    lines = configure(log_format)
    for log in (structlog.get_logger("a").exception, logging.getLogger("b").exception):
        try:
            int('a "reason"\nin two lines')
        except ValueError:
            log("failed")
    for line in lines():
        assert (line["msg"], line["level"]) == ("failed", "error")
        assert "Traceback" in line["exception"]
        assert "invalid literal" in line["exception"]


def test_python_warning_is_an_event(log_format: LogFormat) -> None:
    lines = configure(log_format)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Set again, because pytest captures warnings itself and `catch_warnings` restores that.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("two of\nthem", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines()
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: two of" in line["msg"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_level_applies_to_exporter_and_libraries(level: LogLevel, expected: list[str]) -> None:
    lines = configure("json", level)
    for log in (structlog.get_logger("exporter"), logging.getLogger("library")):
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)("event")
    assert [line["level"] for line in lines()] == expected * 2


def test_library_info_events_appear_only_at_debug_level() -> None:
    for level, count in (("info", 0), ("debug", 2)):
        lines = configure("json", level)  # type: ignore[arg-type]
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).info("every poll")
        assert len(lines()) == count


def test_logger_created_before_configuration_uses_it() -> None:
    early = structlog.get_logger("early")
    lines = configure("json")
    early.info("first")
    again = configure("logfmt")
    early.info("second")
    assert [line["msg"] for line in (*lines(), *again())] == ["first", "second"]
