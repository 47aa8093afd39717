"""The Exporter dashboard: evaluations and their failures, storage, scrapes, and resource usage."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source import exporter_resources as resources
from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.limits import ANY_IS_BAD, HIGHLIGHT_ANY, STALE_INTERVALS
from grafana.source.panels import PanelInfo, Query, line_chart, stat_panel, state_timeline
from grafana.source.queries import EXPORTER, by, select
from grafana.source.style import BAD, BLUE, GOOD, GREY, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, table_panel
from starlight_exporter.publish.families import analyses, exporter, models, runs
from starlight_exporter.publish.snapshot import OUTCOMES

_UP = {1: ("UP", GOOD), 0: ("DOWN", BAD)}
_RELOAD = {1: ("successful", GOOD), 0: ("FAILED", BAD)}
_RUNNING = {0: ("idle", GREY), 1: ("running", BLUE)}
_LAST_RUN = {0: ("failed", BAD), 1: ("succeeded", GOOD)}


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
    builder.add(8, (24, resources.bulk()))
    builder.add(7, (8, resources.storage()), (8, resources.stored()), (8, resources.queue_length()))
    builder.row("Process and scrapes")
    builder.add(
        8, (6, resources.scrape_duration()), (6, resources.memory()), (6, resources.cpu()), (6, resources.samples())
    )
    builder.add(
        4, (11, resources.build()), (4, resources.configured()), (4, resources.damaged()), (5, resources.uptime())
    )
    return builder


def _up() -> stat.Panel:
    return stat_panel(
        PanelInfo(
            "Exporter",
            "State of the scrape target. DOWN: Prometheus cannot scrape the exporter. Check its log and start it "
            "again.",
            "none",
        ),
        Query(f"up{{{EXPORTER}}}", "{{instance}}"),
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
