"""Engine that runs shards on the workers of a Dask scheduler.

Dask distributes the shards, and runs those of a lost worker on another one. Each shard prefers the host that had the
same number in earlier runs, which has its images in the cache.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from typing import Any, Final

from distributed import CancelledError, Client, Future, Security

from starlight_exporter.dataset.engine import Job, Result, Shards
from starlight_exporter.errors import (
    EngineError,
    EngineFailureReason,
)
from starlight_exporter.evaluation.engines.dask_map import WORKER_SECONDS, ShardMap
from starlight_exporter.evaluation.engines.settings import EngineSettings
from starlight_exporter.evaluation.engines.worker_side import (
    ENDED,
    WorkerFacts,
    close_job,
    software,
    worker_facts,
)

CONNECT_SECONDS: Final = 15.0
SHARD_SIZES: Final = (64, 256)
"""Files per shard: a task costs scheduler, driver and worker about 10 ms, as much as a few images."""
_COUNT_SECONDS: Final = 2.0
_CLOSE_SECONDS: Final = 2.0


class DaskEngine:
    """Maps jobs on the cluster of a connected client; see `dask_engine`."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self.driver = software()
        self._connected_at = time.time()
        self._counted_at = -_COUNT_SECONDS
        self._workers: dict[str, int] = {}
        self._slots: list[str] = []
        self.processors: set[str] = set()
        """The processors that have computed results so far."""
        self.count_threads()

    @property
    def threads(self) -> int:
        """Threads of all workers when they were last counted, at least 1."""
        return max(1, sum(self._workers.values()))

    @property
    def shard_sizes(self) -> tuple[int, int]:
        """See Engine."""
        return SHARD_SIZES

    def map(
        self, job: Job[Result], shards: Shards, *, progress: Callable[[int], None]
    ) -> Generator[Result, None, None]:
        """See Engine. Raise EngineError if the cluster fails, or the StarlightError of a shard."""
        run = ShardMap(self, job, shards, progress)
        try:
            yield from run.results()
        finally:
            run.close()

    def submit(self, function: Callable[..., Any], *arguments: Any, key: str, number: int | None = None) -> Future:
        """Submit a task; one with a number prefers a worker of the host of that number."""
        worker = None if number is None or not self._slots else self._slots[number % len(self._slots)]
        return self._client.submit(
            function, *arguments, key=key, pure=False, workers=worker, allow_other_workers=worker is not None
        )

    def count_threads(self) -> int:
        """Count the threads of all workers, if that is due. Check the software of new workers. Raise EngineError."""
        if time.monotonic() - self._counted_at > _COUNT_SECONDS:
            self._counted_at = time.monotonic()
            try:
                workers = dict(self._client.nthreads())
            except (OSError, RuntimeError, CancelledError) as error:
                raise self.error("the connection was lost", "lost") from error
            if workers.keys() != self._workers.keys():
                self._slots = _slots(_checked_workers(self._client, self._address)) or self._slots
            self._workers = workers
        return sum(self._workers.values())

    def gather(self, futures: Sequence[Future]) -> Mapping[Future, Any]:
        """Return the results of tasks in one request; nothing if one of them has none, which then raises its error."""
        finished = [future for future in futures if future.status == "finished"]
        try:
            return dict(zip(finished, self._client.gather(finished), strict=True))
        except Exception:  # noqa: BLE001  # the caller asks each task for its result, and maps its error
            return {}

    def cancel(self, futures: Sequence[Future]) -> None:
        """Cancel tasks."""
        with suppress(OSError, RuntimeError, CancelledError):
            self._client.cancel(futures)

    def discard(self, futures: Sequence[Future], key: str) -> None:
        """Cancel tasks, and close their job on all workers, as far as they can be reached."""
        with suppress(OSError, RuntimeError, CancelledError):
            self._client.cancel(futures)
            self._client.run(close_job, key, on_error="ignore")

    def ended(self) -> list[Mapping[str, Any]]:
        """Return the reports of processes that ended since the engine was connected, oldest first."""
        try:
            events = self._client.get_events(ENDED)
        except (OSError, RuntimeError, CancelledError) as error:
            raise self.error("the connection was lost", "lost") from error
        return [message for at, message in events if at >= self._connected_at]

    def error(self, text: str, reason: EngineFailureReason) -> EngineError:
        """Return an error that names the scheduler."""
        return _error(self._address, text, reason)


@contextmanager
def dask_engine(settings: EngineSettings) -> Iterator[DaskEngine]:
    """Connect to the scheduler and check the software of all workers. Raise EngineError."""
    # Every error becomes an exception of this package; the same errors as log lines would hide it.
    for name in ("distributed", "distributed.client", "distributed.comm", "distributed.core", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = settings.scheduler or ""
    try:
        client = Client(
            address, timeout=CONNECT_SECONDS, security=_security(settings), set_as_default=False, name="starlight"
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise _error(address, f"cannot be reached: {_one_line(error)}", "unreachable") from error
    try:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise _error(address, f"has had no worker for {WORKER_SECONDS:g} s", "no_workers") from error
        yield DaskEngine(client, address)
    finally:
        with suppress(OSError, RuntimeError, CancelledError):
            client.close(timeout=_CLOSE_SECONDS)


def _security(settings: EngineSettings) -> Security | None:
    if settings.tls is None:
        # Of a tls:// address: the files of Dask's own configuration.
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=str(settings.tls.ca),
        tls_client_cert=str(settings.tls.certificate),
        tls_client_key=str(settings.tls.key),
    )


def _checked_workers(client: Client, address: str) -> dict[str, WorkerFacts]:
    """Return the facts of all workers, by address. Raise EngineError if one has other software."""
    try:
        found: dict[str, WorkerFacts | Exception] = client.run(worker_facts, on_error="return")
    except (OSError, RuntimeError) as error:
        raise _error(address, f"does not answer: {_one_line(error)}", "lost") from error
    driver, checked = software(), {}
    for worker, facts in sorted(found.items()):
        if isinstance(facts, OSError):
            # It has just ended.
            continue
        if isinstance(facts, Exception):
            raise _error(address, f"worker {worker} cannot run this version: {_one_line(facts)}", "version")
        difference = driver.difference(facts.software)
        if difference:
            raise _error(address, f"worker {worker} on {facts.host}: {difference}", "version")
        checked[worker] = facts
    return checked


def _slots(workers: Mapping[str, WorkerFacts]) -> list[str]:
    """Return one worker address per thread, hosts in turn. Hosts keep their places when workers restart."""
    hosts: dict[str, list[str]] = {}
    for address, facts in sorted(workers.items(), key=lambda item: (item[1].host, item[0])):
        hosts.setdefault(facts.host, []).extend([address] * facts.threads)
    return [address for turn in zip_longest(*hosts.values()) for address in turn if address is not None]


def _error(address: str, text: str, reason: EngineFailureReason) -> EngineError:
    return EngineError(f"Dask scheduler {address}: {text}", reason=reason)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
