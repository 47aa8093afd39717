"""Worker side of a WorkerProcess: receives calls and sends answers."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of a call or the error that it raised, and whether the process has a network namespace of its own."""

    result: object
    error: Exception | None
    network_isolated: bool


def serve(connection: Connection[Any, Any], idle_seconds: float | None, *, network_isolated: bool) -> None:
    """Execute the calls that arrive on a connection."""
    with suppress(EOFError, OSError):
        while connection.poll(idle_seconds):
            result, error = _call(*connection.recv())
            connection.send_bytes(_encoded(Answer(result, error, network_isolated)))


def _call(function: Callable[..., object], arguments: tuple[object, ...]) -> tuple[object, Exception | None]:
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001  # process boundary: raised again in the owner's process
        error.add_note(traceback.format_exc())
        return None, error


def _encoded(answer: Answer) -> bytes:
    try:
        data = pickle.dumps(answer)
        if answer.error is not None:
            # Some exceptions can be pickled, but not created again.
            pickle.loads(data)
    except Exception as error:  # noqa: BLE001  # pickling calls methods of any class
        if answer.error is None:
            text = f"result cannot be sent to another process: {error}"
        else:
            text = "".join(traceback.format_exception_only(answer.error)).strip()
        return pickle.dumps(Answer(None, RuntimeError(text), answer.network_isolated))
    return data
