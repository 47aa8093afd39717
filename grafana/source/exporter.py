"""Is the measuring itself sound: runs and their failures, scrapes, memory, storage."""

from __future__ import annotations

from exporter.publish import metrics
from grafana.source.board import Board
from grafana.source.panels import Column, Look, Query, line_chart, rows, single_value, state_history
from grafana.source.queries import by, select
from grafana.source.style import ANY_IS_BAD, BAD, BLUE, GOOD, GREY, states

_JOB = '{job="starlight-exporter"}'
_UP = states(up=(1, "up", GOOD), down=(0, "down", BAD))
_SUCCESS = states(good=(1, "good", GOOD), bad=(0, "refused", BAD))
_RUNNING = states(idle=(0, "idle", GREY), running=(1, "running", BLUE))


def exporter() -> Board:
    """The exporter's own dashboard."""
    board = Board(
        "starlight-exporter",
        "Starlight / Exporter",
        "Runs and failures of the exporter, scrapes, memory, storage, configuration.",
    )
    board.add(
        5,
        (
            4,
            single_value(
                Look("Exporter", "Whether Prometheus reaches it. Down: see its log, then restart it.", "none"),
                Query(f"up{_JOB}", "{{instance}}"),
                thresholds=((None, GREY),),
                mappings=_UP,
            ),
        ),
        (
            4,
            single_value(
                Look(
                    "Configuration",
                    "The last reload. Refused: the old one is in force, the log names file and key.",
                    "none",
                ),
                Query(select(metrics.CONFIG_RELOAD_SUCCESSFUL), "last reload"),
                thresholds=((None, GREY),),
                mappings=_SUCCESS,
                named=False,
            ),
        ),
        (
            4,
            single_value(
                Look(
                    "Failed runs",
                    "Runs in the chosen time without a result. The runs below say which, the log why.",
                    "none",
                    0,
                ),
                Query(
                    f"sum(increase({select(metrics.EVALUATIONS, outcome='~error|crashed|timeout')}[$__range]))",
                    "error, crashed, timeout",
                ),
                thresholds=ANY_IS_BAD,
                named=False,
            ),
        ),
        (
            4,
            single_value(
                Look(
                    "Not stored",
                    "Results that could not be written. Red: look at disk space and permissions.",
                    "none",
                    0,
                ),
                Query(f"sum by (store) (increase({select(metrics.STORAGE_FAILURES)}[$__range]))", "{{store}}"),
                thresholds=ANY_IS_BAD,
            ),
        ),
        (
            4,
            single_value(
                Look(
                    "Sections left out",
                    "Parts of the metrics that could not be built. Red: a bug; the log has the reason.",
                    "none",
                    0,
                ),
                Query(f"sum(increase({select(metrics.COLLECTOR_ERRORS)}[$__range]))", "errors"),
                thresholds=ANY_IS_BAD,
                named=False,
            ),
        ),
        (
            4,
            single_value(
                Look(
                    "Damaged history lines",
                    "Skipped at the last start. A crash leaves one; more mean a failing disk.",
                    "none",
                    0,
                ),
                Query(select(metrics.HISTORY_DAMAGED_LINES), "lines"),
                thresholds=((None, GOOD), (1.0, BLUE)),
                named=False,
            ),
        ),
    )
    board.row("Runs")
    runs = rows(
        Look(
            "Runs since the exporter started",
            "By outcome. Crashed: a worker died, in a decoder or for lack of memory.",
            "",
        ),
        Column("model"),
        Column("dataset"),
        *(
            Column(
                outcome,
                by("model dataset", select(metrics.EVALUATIONS, outcome=outcome)),
                "none",
                0,
                ((None, "text"),) if outcome in ("success", "cancelled") else ((None, "text"), (1.0, BAD)),
            )
            for outcome in ("success", "error", "crashed", "timeout", "cancelled")
        ),
        Column("duration", by("model dataset", select(metrics.EVALUATION_DURATION), "max"), "s", 1),
        Column("interval", by("model dataset", select(metrics.EVALUATION_INTERVAL), "max"), "s", 0),
    )
    activity = state_history(
        Look("Activity", "Which model is evaluated when; one run at a time, production first.", "none"),
        Query(by("model dataset", select(metrics.EVALUATION_IN_PROGRESS), "max"), "{{model}} on {{dataset}}"),
        mappings=_RUNNING,
    )
    board.add(8, (13, runs), (11, activity))
    duration = line_chart(
        Look(
            "Duration of runs",
            "Of the last complete run. Longer than the interval: fewer images or fewer models.",
            "s",
            1,
        ),
        Query(by("model dataset", select(metrics.EVALUATION_DURATION), "max"), "{{model}} on {{dataset}}"),
    )
    progress = line_chart(
        Look(
            "Progress of the current run",
            "Share of the images done; a flat line below 1 is a run that hangs.",
            "percentunit",
            0,
        ),
        Query(by("model dataset", select(metrics.EVALUATION_PROGRESS), "max"), "{{model}} on {{dataset}}"),
        maximum=1,
    )
    failures = line_chart(
        Look(
            "Model files that did not load",
            "By reason, per hour; the numbers of the last good file stay in place.",
            "none",
            0,
        ),
        Query(f"sum by (model, reason) (increase({select(metrics.MODEL_LOAD_FAILURES)}[1h]))", "{{model}}: {{reason}}"),
    )
    board.add(8, (8, duration), (8, progress), (8, failures))
    board.row("Process and scrapes")
    scrape = line_chart(
        Look(
            "Scrape time",
            "As Prometheus measures it. It computes nothing: slow scrapes mean a starved machine.",
            "s",
            3,
        ),
        Query(f"scrape_duration_seconds{_JOB}", "{{instance}}"),
    )
    memory = line_chart(
        Look(
            "Memory", "Resident memory of the exporter process; workers are apart and end with their run.", "bytes", 0
        ),
        Query(f"process_resident_memory_bytes{_JOB}", "{{instance}}"),
    )
    processor = line_chart(
        Look("Processor", "Cores used by the exporter process itself.", "none", 2),
        Query(f"rate(process_cpu_seconds_total{_JOB}[$__rate_interval])", "{{instance}}"),
    )
    samples = line_chart(
        Look(
            "Samples per scrape",
            "Steps come with configured models and datasets. Steady growth would be a leak.",
            "none",
            0,
        ),
        Query(f"scrape_samples_scraped{_JOB}", "{{instance}}"),
    )
    board.add(8, (6, scrape), (6, memory), (6, processor), (6, samples))
    storage = line_chart(
        Look(
            "Free space", "Where history and evidence are written. Full: the newest results are not kept.", "bytes", 1
        ),
        Query(by("store", select(metrics.STORAGE_FREE), "min"), "{{store}}"),
    )
    files = line_chart(
        Look("Open files", "File descriptors of the exporter process.", "none", 0),
        Query(f"process_open_fds{_JOB}", "{{instance}}"),
    )
    build = rows(
        Look("Build", "Versions of the exporter and of what it runs on.", ""),
        Column("version"),
        Column("revision"),
        Column("python"),
        Column("onnxruntime"),
        Column("exporters", by("version revision python onnxruntime", select(metrics.BUILD_INFO)), "none", 0),
    )
    reloaded = single_value(
        Look("Configuration read", "Time since the configuration was last read with success.", "s", 0),
        Query(f"time() - {select(metrics.CONFIG_RELOAD_SUCCESS_TIMESTAMP)}", "since"),
        thresholds=((None, "text"),),
        named=False,
    )
    board.add(7, (8, storage), (6, files), (6, build), (4, reloaded))
    return board
