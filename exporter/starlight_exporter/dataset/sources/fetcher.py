"""Fetcher: a process with a network that reads a remote dataset for processes without one, and decodes nothing.

Protocol, over a connection that frames messages: a request is one JSON object, `{"id", "method", …}`; its response is a
JSON object with the same id and the size of the bytes that follow as the next message, if any. Requests are processed
concurrently. The fetcher only reads below the root that it was started with, and ends when the connection closes. It
sends an empty object every BEAT_SECONDS, without which it counts as stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from typing import Any, Final, TypeAlias

from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.dataset.sources.store import MAX_READ_BYTES, Store, StoredObject
from starlight_exporter.errors import DatasetError, ImageError, StarlightError

MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_RESPONSE_BYTES: Final = 64 * 1024
BEAT_SECONDS: Final = 1.0
_BATCH: Final = 1000
"""Objects of one part of a listing."""

Channel: TypeAlias = "Connection[Any, Any]"


def start_fetcher(root: RemoteRoot) -> tuple[subprocess.Popen[bytes], Channel]:
    """Start a fetcher for a dataset; return its process, and the connection whose end it waits for."""
    connection, remote = Pipe()
    try:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "starlight_exporter.dataset.sources.fetcher"),
                *(str(remote.fileno()), root.url),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=(remote.fileno(),),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},  # noqa: PTH109
        )
    except OSError:
        connection.close()
        raise
    finally:
        remote.close()
    return process, connection


class FetcherServer:
    """Answers the requests of one connection from a store. Beats from the start on, while the store opens."""

    def __init__(self, connection: Channel) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def serve(self, store: Store) -> None:
        """Answer requests until the connection closes."""
        # Not as a context, whose end would wait for the requests in progress.
        pool = ThreadPoolExecutor(store.ahead, thread_name_prefix="answer")
        with suppress(EOFError, OSError):
            while True:
                pool.submit(self._answer, store, json.loads(self._connection.recv_bytes(MAX_REQUEST_BYTES)))

    def _beat(self) -> None:
        while self._send({}):
            time.sleep(BEAT_SECONDS)

    def _answer(self, store: Store, request: Mapping[str, Any]) -> None:
        number = request["id"]
        try:
            if request["method"] == "list":
                for part in _parts(store.objects()):
                    self._send({"id": number}, json.dumps(part).encode())
                self._send({"id": number, "end": True})
            else:
                name, start, size = request["name"], request["start"], request["size"]
                self._send({"id": number}, store.start(name, start, size, request["identity"])())
        except StarlightError as error:
            kind = "image" if isinstance(error, ImageError) else "dataset"
            self._send({"id": number, "error": kind, "text": str(error)[:1000]})
        except Exception as error:  # noqa: BLE001  # process boundary: every error becomes a response
            text = f"{store.root}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
            self._send({"id": number, "error": "dataset", "text": text})

    def _send(self, response: dict[str, Any], data: bytes | None = None) -> bool:
        """Send a response; return False if the other end has closed the connection. Then `serve` ends."""
        header = json.dumps(response | ({} if data is None else {"size": len(data)})).encode()
        with self._lock, suppress(OSError):
            self._connection.send_bytes(header)
            if data:
                self._connection.send_bytes(data)
            return True
        return False


def _parts(objects: Sequence[StoredObject]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(objects)
    while part := [asdict(one) for one in islice(remaining, _BATCH)]:
        yield part


def check_request(name: str, start: int, size: int) -> None:
    """Raise DatasetError for a range that no fetcher reads."""
    if not 0 < size <= MAX_READ_BYTES or start < 0 or len(name) > MAX_REQUEST_BYTES // 8:
        raise DatasetError(f"{name[:200]}: invalid range of {size} bytes from {start}")


def main() -> None:
    """Serve the connection and the URL that the arguments name."""
    from starlight_exporter.process_isolation import ignore_group_signals

    descriptor, url = sys.argv[1:]
    # The process that uses the fetcher decides when it ends, by the end of the connection.
    ignore_group_signals()
    server = FetcherServer(Connection(int(descriptor)))
    from starlight_exporter.dataset.sources.remote import RemoteStore

    try:
        store: Store = RemoteStore(RemoteRoot(url))
    except StarlightError as error:
        store = _Unavailable(RemoteRoot(url), str(error))
    server.serve(store)
    # Requests that are not answered yet may take minutes.
    os._exit(0)


class _Unavailable:
    """A store that cannot be opened."""

    ahead = 1

    def __init__(self, root: RemoteRoot, problem: str) -> None:
        self.root = root
        self._problem = problem

    def objects(self) -> Sequence[StoredObject]:
        """Raise DatasetError."""
        raise DatasetError(self._problem)

    def start(self, name: str, start: int, size: int, identity: str | None) -> Any:  # noqa: ARG002
        """Raise DatasetError."""
        raise DatasetError(self._problem)

    def close(self) -> None:
        """Do nothing."""


if __name__ == "__main__":
    main()
