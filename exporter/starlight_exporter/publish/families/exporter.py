"""Metrics of the exporter itself: build, configuration, storage, queue."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.errors import ENGINE_FAILURE_REASONS
from starlight_exporter.publish.families.family import NEVER, FamilyGroup, MetricSample, optional
from starlight_exporter.publish.snapshot import STORES, Snapshot

GROUP = FamilyGroup("Exporter")

BUILD_INFO = GROUP.family(
    "exporter_build_info",
    "info",
    "version revision python onnxruntime external_url grafana_url",
    "Versions of the exporter, Python and ONNX Runtime, and the URLs with which links in alerts and dashboards begin;"
    " always 1.",
    absent=NEVER,
)
CONFIG_RELOAD_SUCCESSFUL = GROUP.family(
    "exporter_config_last_reload_successful",
    "gauge",
    "",
    "Whether the last configuration reload attempt was successful (1) or not (0: the previous configuration stays"
    " active).",
    absent=NEVER,
)
CONFIG_RELOAD_SUCCESS_TIMESTAMP = GROUP.family(
    "exporter_config_last_reload_success_timestamp_seconds",
    "gauge",
    "",
    "Time of the last successful configuration reload.",
    unit="UTC seconds",
    absent=NEVER,
)
WEB_CONFIG_RELOAD_SUCCESSFUL = GROUP.family(
    "web_config_last_reload_successful",
    "gauge",
    "",
    "Whether the last load of the web configuration was successful (1) or not (0: the previous one stays active).",
    absent="without `--web.config.file`",
)
WEB_CONFIG_RELOAD_SUCCESS_TIMESTAMP = GROUP.family(
    "web_config_last_reload_success_timestamp_seconds",
    "gauge",
    "",
    "Time of the last successful load of the web configuration.",
    unit="UTC seconds",
    absent="without `--web.config.file`",
)
COLLECTOR_ERRORS = GROUP.family(
    "exporter_collector_errors_total",
    "counter",
    "section",
    "Scrapes without this section of the metrics because its collector failed; the log has the reason.",
    absent=NEVER,
)
STORAGE_FAILURES = GROUP.family(
    "storage_failures_total",
    "counter",
    "store",
    "Results that could not be written to history or evidence (disk full, read-only directory).",
    absent=NEVER,
)
STORAGE_FREE = GROUP.family(
    "storage_free_bytes",
    "gauge",
    "store",
    "Free space on the file system of history or evidence.",
    unit="bytes",
    absent="the file system could not be queried",
)
STORAGE_SIZE = GROUP.family(
    "storage_size_bytes",
    "gauge",
    "store",
    "Size of history (including rotated files) or evidence; updated once a minute.",
    unit="bytes",
    absent="until the first update",
)
STORAGE_REMOVED = GROUP.family(
    "storage_removed_results_total",
    "counter",
    "store",
    "Results that retention removed since the exporter started: from history by compaction, from evidence by its limits"
    " or because the disk was full.",
    absent=NEVER,
)
HISTORY_COMPACTION_SUCCESSFUL = GROUP.family(
    "history_last_compaction_successful",
    "gauge",
    "",
    "Whether the last compaction of the history was successful (1) or not (0: no record was lost; the log has the"
    " reason). 1 if it kept results that have a wrong date or an unconfirmed age, too: the log has their number.",
    absent="without `history.compact_after`, and in the first hour",
)
EVALUATIONS_QUEUED = GROUP.family(
    "evaluations_queued",
    "gauge",
    "",
    "Evaluation runs waiting for the active run to finish.",
    absent=NEVER,
)
STORAGE_PENDING = GROUP.family(
    "storage_pending_results",
    "gauge",
    "",
    "Results that could not be written and are kept in memory until they can be; the oldest are dropped when there are"
    " too many.",
    absent=NEVER,
)
WORKER_MEMORY_LIMIT = GROUP.family(
    "worker_memory_limit_bytes",
    "gauge",
    "",
    "Configured memory limit of a worker process (limits.worker_memory).",
    unit="bytes",
    absent=NEVER,
)
WORKER_NETWORK_ISOLATED = GROUP.family(
    "worker_network_isolated",
    "gauge",
    "",
    "Whether worker processes run in a network namespace without interfaces (1) or share the network of the exporter"
    " (0: the system does not allow a process to create one, or the engine needs the network).",
    absent="until the first call in a worker process has ended",
)
ENGINE_FAILING = GROUP.family(
    "engine_failing",
    "gauge",
    "reason",
    "Whether the last run on the configured cluster failed (1) or not (0) because of the cluster, by reason:"
    " unreachable scheduler, no workers, workers of another version, lost connection, crashes of workers.",
    absent="`engine.kind` is `local`",
)
WORKER_MEMORY_GROUP = GROUP.family(
    "worker_memory_group",
    "gauge",
    "",
    "Whether the kernel enforces the memory limit of worker processes by control groups (1) or the exporter supervises"
    " them (0: the system does not allow it to create groups).",
    absent="until the first call in a worker process has ended",
)
CLOCK_STEPS = GROUP.family(
    "clock_steps_total",
    "counter",
    "",
    "Steps of the system clock by more than 5 s since the exporter started.",
    absent=NEVER,
)
HISTORY_DAMAGED_LINES = GROUP.family(
    "history_damaged_lines",
    "gauge",
    "",
    "History records that could not be read at the last start and were skipped.",
    absent="the history could not be opened",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the samples of the exporter; COLLECTOR_ERRORS is counted by the collector."""
    build = snapshot.build
    versions = (build.version, build.revision, build.python, build.onnxruntime)
    yield MetricSample(BUILD_INFO, (*versions, build.external_url, build.grafana_url), 1)
    yield MetricSample(CONFIG_RELOAD_SUCCESSFUL, (), int(snapshot.config.successful))
    yield MetricSample(CONFIG_RELOAD_SUCCESS_TIMESTAMP, (), snapshot.config.success_at)
    if snapshot.web_config is not None:
        yield MetricSample(WEB_CONFIG_RELOAD_SUCCESSFUL, (), int(snapshot.web_config.successful))
        yield MetricSample(WEB_CONFIG_RELOAD_SUCCESS_TIMESTAMP, (), snapshot.web_config.success_at)
    for store in STORES:
        yield MetricSample(STORAGE_FAILURES, (store,), snapshot.storage_failures.get(store, 0))
        yield MetricSample(STORAGE_REMOVED, (store,), snapshot.storage_removed.get(store, 0))
        yield from optional(STORAGE_FREE, (store,), snapshot.storage_free_bytes.get(store))
        yield from optional(STORAGE_SIZE, (store,), snapshot.storage_size_bytes.get(store))
    yield MetricSample(EVALUATIONS_QUEUED, (), snapshot.queued)
    yield MetricSample(STORAGE_PENDING, (), snapshot.storage_pending)
    yield from optional(WORKER_MEMORY_LIMIT, (), snapshot.worker_memory_bytes)
    yield from optional(WORKER_NETWORK_ISOLATED, (), snapshot.worker_network_isolated)
    if snapshot.engine is not None:
        for reason in ENGINE_FAILURE_REASONS:
            yield MetricSample(ENGINE_FAILING, (reason,), int(snapshot.engine.failure == reason))
    yield from optional(WORKER_MEMORY_GROUP, (), snapshot.worker_memory_group)
    yield MetricSample(CLOCK_STEPS, (), snapshot.clock_steps)
    yield from optional(HISTORY_COMPACTION_SUCCESSFUL, (), snapshot.history_compaction_successful)
    yield from optional(HISTORY_DAMAGED_LINES, (), snapshot.history_damaged_lines)
