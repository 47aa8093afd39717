"""Is the measuring itself sound: runs and their failures, scrapes, memory, storage."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from grafana.source.board import Board
from grafana.source.limits import ANY_IS_BAD, ANY_IS_WARNING, FREE_SPACE, MARKED, STALE_INTERVALS
from grafana.source.panels import Look, Query, line_chart, single_value, state_history
from grafana.source.queries import by, select
from grafana.source.style import BAD, BLUE, GOOD, GREY, WARNING, YELLOW, reference_line
from grafana.source.tables import MODEL_WIDTH, Column, rows
from starlight_exporter.publish import metrics
from starlight_exporter.publish.snapshot import OUTCOMES

_JOB = '{job="starlight-exporter"}'
_UP = {1: ("UP", GOOD), 0: ("DOWN", BAD)}
_RELOAD = {1: ("in force", GOOD), 0: ("REFUSED", BAD)}
_RUNNING = {0: ("idle", GREY), 1: ("running", BLUE)}
_LAST_RUN = {0: ("failed", BAD), 1: ("succeeded", GOOD)}
_STAGED = {0: ("whole", GREY), 1: ("staged", BLUE)}
_WRITABLE = {0: ("not kept", WARNING), 1: ("kept", GOOD)}


def exporter() -> Board:
    """The exporter's own dashboard: all models, whatever is chosen elsewhere."""
    board = Board(
        "starlight-exporter",
        "Starlight / Exporter",
        "Runs and failures of the exporter, scrapes, memory, storage, configuration.",
        one_model=False,
    )
    board.add(4, (4, _up()), (4, _reload()), (4, _failed()), (4, _crashed()), (4, _not_stored()), (4, _left_out()))
    board.row("Runs")
    board.add(8, (24, _runs()))
    board.add(8, (14, _activity()), (10, _schedule()))
    board.add(8, (8, _duration()), (8, _progress()), (8, _failures()))
    board.add(6, (24, _analyses()))
    board.row("Decoding and storage")
    board.add(8, (24, _bulk()))
    board.add(7, (8, _storage()), (8, _stored()), (8, _queue()))
    board.row("Process and scrapes")
    board.add(8, (6, _scrape()), (6, _memory()), (6, _processor()), (6, _samples()))
    board.add(4, (11, _build()), (4, _configured()), (4, _damaged()), (5, _started()))
    return board


def _up() -> stat.Panel:
    return single_value(
        Look("Exporter", "Whether Prometheus reaches it. Down: read its log, then start it again.", "none"),
        Query(f"up{_JOB}", "{{instance}}"),
        meanings=_UP,
        named=False,
    )


def _reload() -> stat.Panel:
    return single_value(
        Look(
            "Configuration",
            "The last attempt to read it. Refused: the old one stays in force; the log names the file and the key.",
            "none",
        ),
        Query(select(metrics.CONFIG_RELOAD_SUCCESSFUL), "last reload"),
        meanings=_RELOAD,
        named=False,
    )


def _failed() -> stat.Panel:
    return _increase(
        "Failed runs",
        "Runs without a result in the chosen time. Red: Runs below says which, the log why.",
        f"sum(increase({select(metrics.EVALUATIONS, model='~.+', outcome='~error|timeout')}[$__range]))",
    )


def _crashed() -> stat.Panel:
    return _increase(
        "Crashed workers",
        "Worker processes that died in the chosen time, in a decoder or for lack of memory. Red: look for the image "
        "in the log.",
        f"sum(increase({select(metrics.EVALUATIONS, model='~.+', outcome='crashed')}[$__range]))",
    )


def _not_stored() -> stat.Panel:
    return _increase(
        "Not stored",
        "Results that could not be written to history or evidence. Red: look at disk space and permissions.",
        f"sum(increase({select(metrics.STORAGE_FAILURES)}[$__range]))",
    )


def _left_out() -> stat.Panel:
    return _increase(
        "Sections left out",
        "Scrapes in which a part of the metrics could not be built. Red: a defect; the log has the reason.",
        f"sum(increase({select(metrics.COLLECTOR_ERRORS)}[$__range]))",
    )


def _increase(title: str, description: str, expr: str) -> stat.Panel:
    return single_value(
        Look(title, description, "none", 0), Query(expr, "in the chosen time"), thresholds=ANY_IS_BAD, named=False
    )


def _runs() -> table.Panel:
    labels = "model dataset"
    succeeded = by(labels, select(metrics.EVALUATION_LAST_RUN_SUCCESSFUL, model="~.+"), "min")
    return rows(
        Look(
            "Runs since the exporter started",
            "By outcome. A failed last run: the numbers are of an older one. Crashed: a worker died, in a decoder "
            "or for lack of memory. The log has the reasons.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column("last run", succeeded, "none", meanings=_LAST_RUN),
        *(
            Column(
                outcome,
                by(labels, select(metrics.EVALUATIONS, model="~.+", outcome=outcome)),
                "none",
                0,
                () if outcome in ("success", "cancelled") else MARKED,
            )
            for outcome in OUTCOMES
        ),
        Column("duration", by(labels, select(metrics.EVALUATION_DURATION, model="~.+"), "max"), "s", 1),
        Column(
            "still to go",
            by(labels, select(metrics.EVALUATION_REMAINING, model="~.+"), "max"),
            "s",
            0,
            nothing="–",
        ),
        Column("interval", by(labels, select(metrics.EVALUATION_INTERVAL, model="~.+"), "max"), "s", 0),
        sort_by="model",
        descending=False,
    )


def _activity() -> statetimeline.Panel:
    return state_history(
        Look(
            "Runs over time",
            "Which model is evaluated on what, and when: one run at a time, production first. A band that does not "
            "end hangs.",
            "none",
        ),
        Query(
            by("model dataset", select(metrics.EVALUATION_IN_PROGRESS, model="~.+"), "max"), "{{model}}, {{dataset}}"
        ),
        meanings=_RUNNING,
    )


def _schedule() -> timeseries.Panel:
    age = f"time() - {by('model dataset', select(metrics.EVALUATION_TIMESTAMP, model='~.+'), 'min')}"
    interval = by("model dataset", select(metrics.EVALUATION_INTERVAL, model="~.+"), "max")
    return line_chart(
        Look(
            "Age of results in intervals",
            f"1 is on time; an alert fires above {STALE_INTERVALS:g} (red). Rising: runs fail, or the queue of runs "
            "takes longer than the interval: fewer models, fewer images, or a longer interval.",
            "none",
            1,
        ),
        Query(f"({age}) / {interval}", "{{model}}, {{dataset}}"),
        Query(f"vector({STALE_INTERVALS:g})", "stale"),
    ).override_by_name("stale", reference_line(BAD))


def _duration() -> timeseries.Panel:
    return line_chart(
        Look(
            "Duration of runs",
            "Of the last complete run. Together longer than the interval: fewer images or fewer models.",
            "s",
        ),
        Query(by("model dataset", select(metrics.EVALUATION_DURATION, model="~.+"), "max"), "{{model}}, {{dataset}}"),
    )


def _progress() -> timeseries.Panel:
    return line_chart(
        Look(
            "Progress of the run under way",
            "Share of the images done; a flat line below 100 % hangs. Not measured: no run is under way.",
            "percentunit",
            0,
        ),
        Query(by("model dataset", select(metrics.EVALUATION_PROGRESS, model="~.+"), "max"), "{{model}}, {{dataset}}"),
        maximum=1,
    )


def _failures() -> timeseries.Panel:
    failures = select(metrics.MODEL_LOAD_FAILURES, model="~.+")
    return line_chart(
        Look(
            "Model files that did not load",
            "By reason, over the hour before; the numbers of the last good file stay in place. Above 0: replace the "
            "file.",
            "none",
            0,
        ),
        Query(
            f"sum by (model, reason) (increase({failures}[1h])) > 0 or sum by (model) (increase({failures}[1h]))",
            "{{model}} {{reason}}",
        ),
    )


def _analyses() -> table.Panel:
    return rows(
        Look(
            "Analyses",
            "What the exporter runs on its own beside evaluations: by outcome since it started, and when the last "
            "one gave a result. Failed: the numbers in Models are of an older one; the log has the reason.",
            "none",
        ),
        Column("analysis"),
        Column("last run", by("analysis", select(metrics.ANALYSIS_SUCCESSFUL), "min"), "none", meanings=_LAST_RUN),
        *(
            Column(
                outcome,
                by("analysis", select(metrics.ANALYSIS_RUNS, outcome=outcome)),
                "none",
                0,
                () if outcome in ("success", "cancelled") else MARKED,
            )
            for outcome in OUTCOMES
        ),
        Column("result", by("analysis", f"{select(metrics.ANALYSIS_TIMESTAMP)} * 1000", "max"), "dateTimeFromNow"),
    )


def _bulk() -> table.Panel:
    labels = "model dataset"
    return rows(
        Look(
            "The last bulk pass",
            "How the images came in: from the cache of decoded images or decoded anew, and whether the model ran in "
            "stages that images share. Not kept: the cache folder is full or read-only; runs are slower, numbers "
            "the same.",
            "none",
        ),
        Column("model", width=MODEL_WIDTH),
        Column("dataset"),
        Column("images/s", by(labels, select(metrics.EVALUATION_SPEED, model="~.+"), "max"), "none", 0),
        Column("cached", by(labels, select(metrics.EVALUATION_CACHED_IMAGES, model="~.+"), "max"), "none", 0),
        Column("decoded", by(labels, select(metrics.EVALUATION_DECODED_IMAGES, model="~.+"), "max"), "none", 0),
        Column("cache size", by(labels, select(metrics.EVALUATION_CACHE_BYTES, model="~.+"), "max"), "bytes", 0),
        Column(
            "cache",
            by(labels, select(metrics.EVALUATION_CACHE_WRITABLE, model="~.+"), "max"),
            "none",
            meanings=_WRITABLE,
        ),
        Column(
            "model ran", by(labels, select(metrics.EVALUATION_STAGED, model="~.+"), "max"), "none", meanings=_STAGED
        ),
    )


def _storage() -> timeseries.Panel:
    panel = line_chart(
        Look(
            "Free space",
            "Where history and evidence are written. At the lines alerts fire (orange: nearly full, red: full): "
            "delete old results or give it a larger disk.",
            "bytes",
        ),
        Query(by("store", select(metrics.STORAGE_FREE), "min"), "{{store}}"),
        *(
            Query(f"vector({value:g})", name)
            for name, value in (("nearly full", FREE_SPACE[2][0]), ("full", FREE_SPACE[1][0]))
        ),
    )
    return panel.override_by_name("nearly full", reference_line(WARNING)).override_by_name("full", reference_line(BAD))


def _stored() -> timeseries.Panel:
    return line_chart(
        Look(
            "Stored results",
            "What history and evidence take; old ones make room at their configured limits. A line that only rises "
            "towards the free space beside it: lower `history` or `evidence` in the configuration.",
            "bytes",
        ),
        Query(by("store", select(metrics.STORAGE_SIZE), "max"), "{{store}}"),
    )


def _queue() -> timeseries.Panel:
    return line_chart(
        Look(
            "Runs that wait",
            "Evaluations in the queue behind the one under way. Never back at 0: runs take longer than their interval; "
            "fewer models, fewer images or a longer interval.",
            "none",
            0,
        ),
        Query(f"max({select(metrics.EVALUATIONS_QUEUED)})", "waiting"),
    )


def _scrape() -> timeseries.Panel:
    return line_chart(
        Look(
            "Scrape time",
            "As Prometheus measures it. A scrape computes nothing: slow ones mean a starved machine.",
            "s",
        ),
        Query(f"scrape_duration_seconds{_JOB}", "{{instance}}"),
    )


def _memory() -> timeseries.Panel:
    return line_chart(
        Look(
            "Memory",
            "Resident memory of the exporter itself; workers are apart and end with their run. Steady growth is a "
            "leak: restart it and file it.",
            "bytes",
        ),
        Query(f"process_resident_memory_bytes{_JOB}", "{{instance}}"),
    )


def _processor() -> timeseries.Panel:
    return line_chart(
        Look(
            "Processor", "Cores used by the exporter itself, without its workers. Near 1: too many scrapes.", "none", 2
        ),
        Query(f"rate(process_cpu_seconds_total{_JOB}[$__rate_interval])", "{{instance}}"),
    )


def _samples() -> timeseries.Panel:
    return line_chart(
        Look(
            "Samples per scrape, open files",
            "Steps come with models and datasets of the configuration. Steady growth of either: a leak.",
            "none",
            0,
        ),
        Query(f"scrape_samples_scraped{_JOB}", "samples"),
        Query(f"process_open_fds{_JOB}", "open files"),
        colours={"files": YELLOW},
    )


def _build() -> table.Panel:
    labels = "version revision python onnxruntime"
    return rows(
        Look("Build", "Versions of the exporter and of what it runs on: quote them with a defect.", "none"),
        Column("version"),
        Column("revision"),
        Column("python"),
        Column("onnxruntime"),
        Column("exporters", by(labels, select(metrics.BUILD_INFO)), "none", 0),
    )


def _configured() -> stat.Panel:
    return single_value(
        Look("Configuration read", "Time since the configuration was last read with success.", "s", 0),
        Query(f"time() - max({select(metrics.CONFIG_RELOAD_SUCCESS_TIMESTAMP)})", "ago"),
        named=False,
    )


def _damaged() -> stat.Panel:
    return single_value(
        Look(
            "Damaged history lines",
            "Skipped at the last start. A crash leaves one; more mean a failing disk.",
            "none",
            0,
        ),
        Query(f"max({select(metrics.HISTORY_DAMAGED_LINES)})", "lines"),
        thresholds=ANY_IS_WARNING,
        named=False,
    )


def _started() -> stat.Panel:
    return single_value(
        Look(
            "Running for", "Time since the exporter started: short again and again means that it is restarted.", "s", 0
        ),
        Query(f"time() - max(process_start_time_seconds{_JOB})", "since start"),
        named=False,
    )
