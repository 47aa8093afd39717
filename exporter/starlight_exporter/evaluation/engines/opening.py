"""Open the engine of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.engine import Engine, LocalEngine
from starlight_exporter.errors import DependencyError
from starlight_exporter.evaluation.engines.settings import EngineSettings


@contextmanager
def open_engine(settings: EngineSettings, *, threads: int, activity: Activity = NO_ACTIVITY) -> Iterator[Engine]:
    """Open an engine; `threads` and `activity` are those of the local one.

    Raise EngineError if a cluster cannot be used, DependencyError if the package of the engine is not installed.
    """
    if settings.kind == "local":
        yield LocalEngine(threads, activity)
        return
    try:
        from starlight_exporter.evaluation.engines.dask import dask_engine
    except ImportError as error:
        raise DependencyError("the engine dask needs distributed; install this package with the extra dask") from error
    with dask_engine(settings) as engine:
        yield engine
