"""Log lines: one event is one line that a parser reads back, whoever wrote it."""

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
    """Reads a line as Go's logfmt does: fields between single spaces, quoted values with the escapes of JSON."""
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
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    names = ("apscheduler", "asyncio", "uvicorn")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def configured(log_format: LogFormat, level: LogLevel = "info") -> Lines:
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


def test_an_event_has_time_level_message_logger_and_its_fields(log_format: LogFormat) -> None:
    lines = configured(log_format)
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


def test_a_logfmt_line_begins_with_what_every_line_has() -> None:
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
def test_a_value_stays_one_value_on_one_line(log_format: LogFormat, value: str) -> None:
    lines = configured(log_format)
    structlog.get_logger("x").warning("evaluation failed", reason=value, after="z")
    (line,) = lines()
    assert line["level"] == "warning"
    assert line["after"] == "z"
    assert line["msg"] == "evaluation failed"
    assert line["reason"] == value


def test_no_control_character_reaches_a_terminal(log_format: LogFormat) -> None:
    stream = io.StringIO()
    configure_logging(log_format, "info", stream)
    structlog.get_logger("x").info("\x1b[2J", reason="".join(map(chr, range(32))) + "\x7f\x9b\u2028", nothing=None)
    assert stream.getvalue().removesuffix("\n").isprintable()


@pytest.mark.parametrize("name", ["uvicorn.error", "apscheduler.scheduler", "asyncio", "somebody.else"])
def test_libraries_speak_the_same_way(log_format: LogFormat, name: str) -> None:
    lines = configured(log_format)
    logging.getLogger(name).warning("Invalid %s received.", "HTTP request")
    (line,) = lines()
    assert (line["level"], line["msg"], line["logger"]) == ("warning", "Invalid HTTP request received.", name)
    assert "ts" in line


def test_a_traceback_is_a_field(log_format: LogFormat) -> None:
    lines = configured(log_format)
    for log in (structlog.get_logger("a").exception, logging.getLogger("b").exception):
        try:
            int('a "reason"\nin two lines')
        except ValueError:
            log("went wrong")
    for line in lines():
        assert (line["msg"], line["level"]) == ("went wrong", "error")
        assert "Traceback" in line["exception"]
        assert "invalid literal" in line["exception"]


def test_a_warning_is_an_event(log_format: LogFormat) -> None:
    lines = configured(log_format)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Set again: pytest listens to warnings itself, and `catch_warnings` brings that back.
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
def test_the_level_holds_for_us_and_for_libraries(level: LogLevel, expected: list[str]) -> None:
    lines = configured("json", level)
    for log in (structlog.get_logger("exporter"), logging.getLogger("library")):
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)("said")
    assert [line["level"] for line in lines()] == expected * 2


def test_chatter_of_libraries_is_heard_only_while_debugging() -> None:
    for level, count in (("info", 0), ("debug", 3)):
        lines = configured("json", level)  # type: ignore[arg-type]
        for name in ("uvicorn.error", "apscheduler.executors.default", "asyncio"):
            logging.getLogger(name).info("every poll")
        assert len(lines()) == count


def test_a_logger_taken_before_logging_was_configured_follows() -> None:
    early = structlog.get_logger("early")
    lines = configured("json")
    early.info("said")
    again = configured("logfmt")
    early.info("said again")
    assert [line["msg"] for line in (*lines(), *again())] == ["said", "said again"]
