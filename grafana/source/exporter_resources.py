"""Panels about the exporter's resources: cache, storage, queue, scrapes, process, and versions."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, table, timeseries

from grafana.source.limits import ANY_IS_WARNING, FREE_SPACE
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel
from grafana.source.queries import EXPORTER, by, select
from grafana.source.style import BAD, BLUE, GOOD, GREY, WARNING, YELLOW, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, table_panel
from starlight_exporter.publish.families import exporter, runs

_STAGED = {0: ("full model", GREY), 1: ("staged", BLUE)}
_WRITABLE = {0: ("not writable", WARNING), 1: ("writable", GOOD)}


def bulk() -> table.Panel:
    """Return a table of the last bulk pass of each evaluation: cache use and staged execution."""
    labels = "model dataset"
    return table_panel(
        PanelInfo(
            "Last bulk pass",
            "Number of images read from the cache or decoded again, and whether the model was executed in stages "
            "with shared outputs. Not writable: the cache directory is full or read-only. Evaluations are slower, "
            "results are the same.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column("images/s", by(labels, select(runs.EVALUATION_SPEED, model="~.+"), "max"), "none", 0),
        Column("cached", by(labels, select(runs.EVALUATION_CACHED_IMAGES, model="~.+"), "max"), "none", 0),
        Column("decoded", by(labels, select(runs.EVALUATION_DECODED_IMAGES, model="~.+"), "max"), "none", 0),
        Column("cache size", by(labels, select(runs.EVALUATION_CACHE_BYTES, model="~.+"), "max"), "bytes", 0),
        Column(
            "cache status",
            by(labels, select(runs.EVALUATION_CACHE_WRITABLE, model="~.+"), "max"),
            "none",
            states=_WRITABLE,
        ),
        Column(
            "execution",
            by(labels, select(runs.EVALUATION_STAGED, model="~.+"), "max"),
            "none",
            states=_STAGED,
        ),
    )


def storage() -> timeseries.Panel:
    """Return the free space of each store over time, with the limits of the alerts."""
    panel = line_chart(
        PanelInfo(
            "Free disk space",
            "Free space of the file systems of history and evidence. Alerts fire below the lines (orange: warning, "
            "red: critical). Delete old results or use a larger disk.",
            "bytes",
        ),
        Query(by("store", select(exporter.STORAGE_FREE), "min"), "{{store}}"),
        *(
            Query(f"vector({value:g})", name)
            for name, value in (("warning limit", FREE_SPACE[2][0]), ("critical limit", FREE_SPACE[1][0]))
        ),
    )
    return panel.override_by_name("warning limit", reference_line(WARNING)).override_by_name(
        "critical limit", reference_line(BAD)
    )


def stored() -> timeseries.Panel:
    """Return the size of each store over time."""
    return line_chart(
        PanelInfo(
            "Storage usage",
            "Size of history and evidence; the oldest entries are deleted at the configured limits. If a line "
            "approaches the free space, lower `history` or `evidence` in the configuration.",
            "bytes",
        ),
        Query(by("store", select(exporter.STORAGE_SIZE), "max"), "{{store}}"),
    )


def queue_length() -> timeseries.Panel:
    """Return the number of queued evaluations over time."""
    return line_chart(
        PanelInfo(
            "Queue length",
            "Evaluations that wait for the current one. If the queue never returns to 0, evaluations take longer "
            "than their interval: use fewer models, fewer images or a longer interval.",
            "none",
            0,
        ),
        Query(f"max({select(exporter.EVALUATIONS_QUEUED)})", "queued"),
    )


def scrape_duration() -> timeseries.Panel:
    """Return the duration of scrapes over time."""
    return line_chart(
        PanelInfo(
            "Scrape duration",
            "Measured by Prometheus. A scrape does not compute anything, so slow scrapes indicate resource "
            "starvation on the machine.",
            "s",
        ),
        Query(f"scrape_duration_seconds{{{EXPORTER}}}", "{{instance}}"),
    )


def memory() -> timeseries.Panel:
    """Return the resident memory of the process over time."""
    return line_chart(
        PanelInfo(
            "Memory",
            "Resident memory of the exporter process without its workers. Steady growth indicates a memory leak: "
            "restart the exporter and report it.",
            "bytes",
        ),
        Query(f"process_resident_memory_bytes{{{EXPORTER}}}", "{{instance}}"),
    )


def cpu() -> timeseries.Panel:
    """Return the CPU usage of the process over time."""
    return line_chart(
        PanelInfo(
            "CPU", "Cores used by the exporter process without its workers. Near 1: too many scrapes.", "none", 3
        ),
        Query(f"rate(process_cpu_seconds_total{{{EXPORTER}}}[$__rate_interval])", "{{instance}}"),
    )


def samples() -> timeseries.Panel:
    """Return the number of scraped samples and of open files over time."""
    return line_chart(
        PanelInfo(
            "Samples per scrape and open files",
            "Steps result from models and datasets added to the configuration. Steady growth indicates a leak.",
            "none",
            0,
        ),
        Query(f"scrape_samples_scraped{{{EXPORTER}}}", "samples"),
        Query(f"process_open_fds{{{EXPORTER}}}", "open files"),
        colours={"files": YELLOW},
    )


def build() -> table.Panel:
    """Return a table of the versions."""
    labels = "version revision python onnxruntime"
    return table_panel(
        PanelInfo("Build", "Versions of the exporter and its runtime. Include them in bug reports.", "none"),
        Column("version"),
        Column("revision"),
        Column("python"),
        Column("onnxruntime"),
        Column("exporters", by(labels, select(exporter.BUILD_INFO)), "none", 0),
    )


def configured() -> stat.Panel:
    """Return the time since the last successful configuration reload."""
    return stat_panel(
        PanelInfo("Configuration age", "Time since the last successful reload of the configuration.", "s", 0),
        Query(f"time() - max({select(exporter.CONFIG_RELOAD_SUCCESS_TIMESTAMP)})", "ago"),
        show_name=False,
    )


def damaged() -> stat.Panel:
    """Return the number of damaged history lines."""
    return stat_panel(
        PanelInfo(
            "Damaged history records",
            "Records skipped at the last start. A crash can leave one; more indicate a failing disk.",
            "none",
            0,
        ),
        Query(f"max({select(exporter.HISTORY_DAMAGED_LINES)})", "lines"),
        thresholds=ANY_IS_WARNING,
        show_name=False,
    )


def uptime() -> stat.Panel:
    """Return the time since the start of the process."""
    return stat_panel(
        PanelInfo(
            "Uptime",
            "Time since the exporter started. If it is repeatedly short, the exporter is being restarted.",
            "s",
            0,
        ),
        Query(f"time() - max(process_start_time_seconds{{{EXPORTER}}})", "since start"),
        show_name=False,
    )
