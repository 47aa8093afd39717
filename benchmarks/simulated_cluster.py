"""Workers of a simulated cluster: many Dask workers of one thread in one process, whose shards only sleep.

python -m benchmarks.simulated_cluster SCHEDULER WORKERS FOLDER
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Worker

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import FileFault


@dataclass(frozen=True, slots=True)
class SleepJob:
    """Sleeps for the measured time of each file, and returns a result of the measured size."""

    seconds_per_file: float
    bytes_per_file: int
    image_seconds: float = 60.0

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> SleepJob:  # noqa: ARG002
        """See Job."""
        return self

    def run(self, shard: Sequence[Any], faults: Sequence[FileFault] = ()) -> bytes:  # noqa: ARG002
        """See OpenJob."""
        time.sleep(self.seconds_per_file * len(shard))
        return bytes(self.bytes_per_file * len(shard))

    def close(self) -> None:
        """See OpenJob."""


async def _serve(scheduler: str, workers: int, folder: Path) -> None:
    started = [
        await Worker(
            scheduler,
            nthreads=1,
            host="127.0.0.1",
            dashboard=False,
            local_directory=str(folder),
            heartbeat_interval="5s",
        )
        for _ in range(workers)
    ]
    await asyncio.gather(*(worker.finished() for worker in started))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
