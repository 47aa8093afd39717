"""The Exporter dashboard: evaluations and their failures, storage, scrapes, and resource usage."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import ANY_IS_BAD, ANY_IS_WARNING, FREE_SPACE, HIGHLIGHT_ANY, STALE_INTERVALS
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel, state_timeline
from grafana.source.queries import by, select
from grafana.source.style import BAD, BLUE, GOOD, GREY, WARNING, YELLOW, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, table_panel
from starlight_exporter.publish.families import analyses, exporter, models, runs
from starlight_exporter.publish.snapshot import OUTCOMES

_JOB = '{job="starlight-exporter"}'
_UP = {1: ("UP", GOOD), 0: ("DOWN", BAD)}
_RELOAD = {1: ("successful", GOOD), 0: ("FAILED", BAD)}
_RUNNING = {0: ("idle", GREY), 1: ("running", BLUE)}
_LAST_RUN = {0: ("failed", BAD), 1: ("succeeded", GOOD)}
_STAGED = {0: ("full model", GREY), 1: ("staged", BLUE)}
_WRITABLE = {0: ("not writable", WARNING), 1: ("writable", GOOD)}


def exporter_dashboard() -> DashboardBuilder:
    """Build the Exporter dashboard, which always covers all models."""
    builder = DashboardBuilder(
        "starlight-exporter",
        "Starlight / Exporter",
        "Evaluations and failures of the exporter, scrapes, memory, storage, configuration.",
        one_model=False,
    )
    builder.add(
        4,
        (4, _up()),
        (4, _reload()),
        (4, _failed_evaluations()),
        (4, _worker_crashes()),
        (4, _storage_failures()),
        (4, _missing_sections()),
    )
    builder.row("Evaluations")
    builder.add(8, (24, _evaluations()))
    builder.add(8, (14, _evaluations_over_time()), (10, _age_in_intervals()))
    builder.add(8, (8, _duration()), (8, _progress()), (8, _load_failures()))
    builder.add(6, (24, _analyses()))
    builder.row("Decoding and storage")
    builder.add(8, (24, _bulk()))
    builder.add(7, (8, _storage()), (8, _stored()), (8, _queue_length()))
    builder.row("Process and scrapes")
    builder.add(8, (6, _scrape_duration()), (6, _memory()), (6, _cpu()), (6, _samples()))
    builder.add(4, (11, _build()), (4, _configured()), (4, _damaged()), (5, _uptime()))
    return builder


def _up() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Exporter",
            "State of the scrape target. DOWN: Prometheus cannot scrape the exporter. Check its log and start it "
            "again.",
            "none",
        ),
        Query(f"up{_JOB}", "{{instance}}"),
        states=_UP,
        show_name=False,
    )


def _reload() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Configuration reload",
            "Result of the last reload. FAILED: the previous configuration is still active. The log names the file "
            "and the key.",
            "none",
        ),
        Query(select(exporter.CONFIG_RELOAD_SUCCESSFUL), "last reload"),
        states=_RELOAD,
        show_name=False,
    )


def _failed_evaluations() -> stat.Panel:
    return _increase(
        "Failed evaluations",
        "Evaluations that failed or timed out in the selected time range. Red: see the table below and the log.",
        f"sum(increase({select(runs.EVALUATIONS, model='~.+', outcome='~error|timeout')}[$__range]))",
    )


def _worker_crashes() -> stat.Panel:
    return _increase(
        "Worker crashes",
        "Worker processes that crashed in the selected time range, in a decoder or out of memory. Red: find the "
        "image in "
        "the log.",
        f"sum(increase({select(runs.EVALUATIONS, model='~.+', outcome='crashed')}[$__range]))",
    )


def _storage_failures() -> stat.Panel:
    return _increase(
        "Storage failures",
        "Results that could not be written to the history or evidence. Red: check disk space and permissions.",
        f"sum(increase({select(exporter.STORAGE_FAILURES)}[$__range]))",
    )


def _missing_sections() -> stat.Panel:
    return _increase(
        "Missing metric sections",
        "Scrapes in which the exporter failed to collect a section of the metrics. Red: a defect; see the log.",
        f"sum(increase({select(exporter.COLLECTOR_ERRORS)}[$__range]))",
    )


def _increase(title: str, description: str, expr: str) -> stat.Panel:
    return stat_panel(
        PanelInfo(title, description, "none", 0),
        Query(expr, "in the selected time range"),
        thresholds=ANY_IS_BAD,
        show_name=False,
    )


def _evaluations() -> table.Panel:
    labels = "model dataset"
    succeeded = by(labels, select(runs.EVALUATION_LAST_RUN_SUCCESSFUL, model="~.+"), "min")
    return table_panel(
        PanelInfo(
            "Evaluations since exporter start",
            "Number of evaluations by outcome. If the last one failed, the metrics are those of an earlier one. "
            "Crashed: the worker process crashed, in a decoder or out of memory. The log contains the reasons.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column("last run", succeeded, "none", states=_LAST_RUN),
        *(
            Column(
                outcome,
                by(labels, select(runs.EVALUATIONS, model="~.+", outcome=outcome)),
                "none",
                0,
                () if outcome in ("success", "cancelled") else HIGHLIGHT_ANY,
            )
            for outcome in OUTCOMES
        ),
        Column("duration", by(labels, select(runs.EVALUATION_DURATION, model="~.+"), "max"), "s", 1),
        Column(
            "time left",
            by(labels, select(runs.EVALUATION_REMAINING, model="~.+"), "max"),
            "s",
            0,
            no_value="–",
        ),
        Column("interval", by(labels, select(runs.EVALUATION_INTERVAL, model="~.+"), "max"), "s", 0),
        sort_by="model",
        descending=False,
    )


def _evaluations_over_time() -> statetimeline.Panel:
    return state_timeline(
        PanelInfo(
            "Evaluations over time",
            "Model and dataset that are evaluated at each time: one evaluation at a time, production first. A band "
            "that does not end indicates that the evaluation is stuck.",
            "none",
        ),
        Query(
            by("model dataset", select(runs.EVALUATION_IN_PROGRESS, model="~.+"), "max"),
            "{{model}}, {{dataset}}",
        ),
        states=_RUNNING,
    )


def _age_in_intervals() -> timeseries.Panel:
    age = f"time() - {by('model dataset', select(runs.EVALUATION_TIMESTAMP, model='~.+'), 'min')}"
    interval = by("model dataset", select(runs.EVALUATION_INTERVAL, model="~.+"), "max")
    return line_chart(
        PanelInfo(
            "Age of results in intervals",
            f"1 is on time; an alert fires above {STALE_INTERVALS:g} (red). If a line rises, evaluations fail or take "
            "longer than the interval: use fewer models, fewer images or a longer interval.",
            "none",
            1,
        ),
        Query(f"({age}) / {interval}", "{{model}}, {{dataset}}"),
        Query(f"vector({STALE_INTERVALS:g})", "limit"),
    ).override_by_name("limit", reference_line(BAD))


def _duration() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Evaluation duration",
            "Duration of the last successful evaluation. If the sum exceeds the interval, use fewer images or fewer "
            "models.",
            "s",
        ),
        Query(
            by("model dataset", select(runs.EVALUATION_DURATION, model="~.+"), "max"),
            "{{model}}, {{dataset}}",
        ),
    )


def _progress() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Progress of the current evaluation",
            "Share of the images processed. A flat line below 100% indicates that the evaluation is stuck. Not "
            "measured: no evaluation is in progress.",
            "percentunit",
            0,
        ),
        Query(
            by("model dataset", select(runs.EVALUATION_PROGRESS, model="~.+"), "max"),
            "{{model}}, {{dataset}}",
        ),
        maximum=1,
    )


def _load_failures() -> timeseries.Panel:
    failures = select(models.MODEL_LOAD_FAILURES, model="~.+")
    return line_chart(
        PanelInfo(
            "Model load failures",
            "By reason, in the previous hour. The metrics remain those of the last file that was loaded. Above 0: "
            "replace the file.",
            "none",
            0,
        ),
        Query(
            f"sum by (model, reason) (increase({failures}[1h])) > 0 or sum by (model) (increase({failures}[1h]))",
            "{{model}} {{reason}}",
        ),
    )


def _analyses() -> table.Panel:
    return table_panel(
        PanelInfo(
            "Analyses",
            "Background analyses of the exporter by outcome since it started, and the time of the last result. If "
            "the last run failed, the values on the dashboard Models are those of an earlier one; see the log.",
            "none",
        ),
        Column("analysis"),
        Column("last run", by("analysis", select(analyses.ANALYSIS_SUCCESSFUL), "min"), "none", states=_LAST_RUN),
        *(
            Column(
                outcome,
                by("analysis", select(analyses.ANALYSIS_RUNS, outcome=outcome)),
                "none",
                0,
                () if outcome in ("success", "cancelled") else HIGHLIGHT_ANY,
            )
            for outcome in OUTCOMES
        ),
        Column("result", by("analysis", f"{select(analyses.ANALYSIS_TIMESTAMP)} * 1000", "max"), "dateTimeFromNow"),
    )


def _bulk() -> table.Panel:
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


def _storage() -> timeseries.Panel:
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


def _stored() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Storage usage",
            "Size of history and evidence; the oldest entries are deleted at the configured limits. If a line "
            "approaches the free space, lower `history` or `evidence` in the configuration.",
            "bytes",
        ),
        Query(by("store", select(exporter.STORAGE_SIZE), "max"), "{{store}}"),
    )


def _queue_length() -> timeseries.Panel:
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


def _scrape_duration() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Scrape duration",
            "Measured by Prometheus. A scrape does not compute anything, so slow scrapes indicate resource "
            "starvation on the machine.",
            "s",
        ),
        Query(f"scrape_duration_seconds{_JOB}", "{{instance}}"),
    )


def _memory() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Memory",
            "Resident memory of the exporter process without its workers. Steady growth indicates a memory leak: "
            "restart the exporter and report it.",
            "bytes",
        ),
        Query(f"process_resident_memory_bytes{_JOB}", "{{instance}}"),
    )


def _cpu() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "CPU", "Cores used by the exporter process without its workers. Near 1: too many scrapes.", "none", 3
        ),
        Query(f"rate(process_cpu_seconds_total{_JOB}[$__rate_interval])", "{{instance}}"),
    )


def _samples() -> timeseries.Panel:
    return line_chart(
        PanelInfo(
            "Samples per scrape and open files",
            "Steps result from models and datasets added to the configuration. Steady growth indicates a leak.",
            "none",
            0,
        ),
        Query(f"scrape_samples_scraped{_JOB}", "samples"),
        Query(f"process_open_fds{_JOB}", "open files"),
        colours={"files": YELLOW},
    )


def _build() -> table.Panel:
    labels = "version revision python onnxruntime"
    return table_panel(
        PanelInfo("Build", "Versions of the exporter and its runtime. Include them in bug reports.", "none"),
        Column("version"),
        Column("revision"),
        Column("python"),
        Column("onnxruntime"),
        Column("exporters", by(labels, select(exporter.BUILD_INFO)), "none", 0),
    )


def _configured() -> stat.Panel:
    return stat_panel(
        PanelInfo("Configuration age", "Time since the last successful reload of the configuration.", "s", 0),
        Query(f"time() - max({select(exporter.CONFIG_RELOAD_SUCCESS_TIMESTAMP)})", "ago"),
        show_name=False,
    )


def _damaged() -> stat.Panel:
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


def _uptime() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Uptime",
            "Time since the exporter started. If it is repeatedly short, the exporter is being restarted.",
            "s",
            0,
        ),
        Query(f"time() - max(process_start_time_seconds{_JOB})", "since start"),
        show_name=False,
    )
