"""History, Prometheus and VictoriaMetrics: import, verification, and remote write with outages."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.long_term import PATIENCE, Timing, history, run
from starlight_exporter.cli.main import main
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.backfill import export_openmetrics
from starlight_exporter.publish.history import History
from support.long_term_stack import Counts, LongTermStack
from support.servers import put_prometheus_3_first
from support.snapshots import full_evaluation
from support.victoria_metrics import RETENTION, VictoriaMetrics
from support.waiting import wait_until

pytestmark = pytest.mark.integration

LABELS = {"job": "starlight", "instance": "exporter:9877"}
STEP = 600.0
MODELS = ("production", 'v4.1-"x" [b]')


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    with VictoriaMetrics(tmp_path / "store", log=tmp_path / "store.log") as store:
        yield store


@pytest.fixture
def newer_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VictoriaMetrics]:
    put_prometheus_3_first(monkeypatch)
    with VictoriaMetrics(tmp_path / "store", log=tmp_path / "store.log") as store:
        yield store


def evaluations(count: int) -> Iterator[Evaluation]:
    """Return evaluations of two models that ended in steps of ten minutes until now."""
    now = time.time()
    for number in range(count):
        yield full_evaluation(
            evaluation_id=f"run-{number}",
            model=MODELS[number % 2],
            finished_at=now - (count - number) * STEP + 0.1234 * (number % 7),
            false_positives=number % 50,
            model_sha256=f"{number % 5:012}" + "0" * 52,
        )


def write_history(folder: Path, count: int) -> list[Evaluation]:
    found = list(evaluations(count))
    written = History(folder / "history.jsonl")
    for one in found:
        written.append(one)
    written.close()
    return found


def exported(folder: Path, results: list[Evaluation]) -> tuple[Path, int]:
    """Write an export; return file and number of samples."""
    file = folder / f"history-{len(results)}.om"
    with file.open("w") as out:
        return file, export_openmetrics(results, out, extra_labels=LABELS)


def verify(folder: Path, url: str, *flags: str, labels: dict[str, str] = LABELS) -> int:
    selected = [f"--label={name}={value}" for name, value in labels.items()]
    return main(
        ["history", "verify", f"--history={folder / 'history.jsonl'}", f"--prometheus={url}", *selected, *flags]
    )


@pytest.mark.slow
def test_150000_samples_are_imported_twice_without_difference(
    tmp_path: Path, store: VictoriaMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    file, samples = exported(tmp_path, write_history(tmp_path, 464))
    assert samples > 150_000
    for _ in range(2):
        store.import_file(file)
    store.flush()
    assert verify(tmp_path, store.url) == 0
    assert capsys.readouterr().out == (
        f"464 evaluations (464 imported, 0 scraped, 0 missing), {samples} samples compared: 0 different\n"
    )
    assert store.value('sum(count_over_time({__name__=~"starlight_.+"}[30d]))') == samples


def test_interrupted_import_is_reported_and_completed(
    tmp_path: Path, store: VictoriaMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    file, samples = exported(tmp_path, write_history(tmp_path, 20))
    content = file.read_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", store.port)
    connection.putrequest("POST", "/api/v1/import/prometheus")
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders()
    connection.send(content[: len(content) // 2])
    connection.close()
    # How much of it is stored depends on the moment of the interruption.
    assert verify(tmp_path, store.url) == 1
    *differences, summary = capsys.readouterr().out.splitlines()
    assert differences
    assert all(line.endswith((": no sample", ": not in the store")) for line in differences)
    assert summary.endswith(f": {len(differences)} different")

    store.import_file(file)
    store.flush()
    assert verify(tmp_path, store.url) == 0
    assert f"(20 imported, 0 scraped, 0 missing), {samples} samples" in capsys.readouterr().out


def test_overlapping_imports_store_each_sample_once(tmp_path: Path, newer_store: VictoriaMetrics) -> None:
    results = write_history(tmp_path, 20)
    files = [exported(tmp_path, part)[0] for part in (results[:15], results[5:20], results)]
    imports = [threading.Thread(target=newer_store.import_file, args=[file]) for file in files]
    for one in imports:
        one.start()
    for one in imports:
        one.join()
    newer_store.flush()
    assert verify(tmp_path, newer_store.url) == 0
    assert newer_store.value('sum(count_over_time(starlight_clean_images{job="starlight"}[30d]))') == 20


def test_repeated_and_different_samples_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store without deduplication."""
    results = write_history(tmp_path, 3)
    file, _ = exported(tmp_path, results)
    with VictoriaMetrics(tmp_path / "store", log=tmp_path / "store.log", flags=[RETENTION]) as store:
        kept = [line for line in file.read_text().splitlines() if "starlight_ablation" not in line]
        changed = "\n".join(kept).replace(f" {results[1].images} ", " 1 ")
        assert changed.count(" 1 ") > 0
        file.write_text(changed + "\n")
        store.import_file(file)
        only = [line for line in kept if line.startswith("starlight_clean_images") and 'model="production"' in line]
        file.write_text("\n".join(only) + "\n")
        store.import_file(file)
        store.flush()
        assert verify(tmp_path, store.url) == 1
    lines = capsys.readouterr().out.splitlines()
    pair = '{dataset="reference",model="production"}'
    assert f"run-0: starlight_clean_images{pair}: 2 samples" in lines
    assert f"run-2: starlight_clean_images{pair}: 2 samples" in lines
    assert f"run-1: starlight_clean_images{pair}: 2 samples" not in lines


@pytest.mark.parametrize("ahead", [-2_400.0, 2_400.0])
def test_clocks_of_exporter_and_prometheus_may_differ(
    tmp_path: Path, store: VictoriaMetrics, ahead: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Samples as scrapes of a Prometheus whose clock is 40 minutes ahead, or behind, would have stored them."""
    results = write_history(tmp_path, 6)
    lines = []
    for line in exported(tmp_path, results)[0].read_text().splitlines():
        # A scrape shows other series with the values of the newest evaluation of the dataset, or of the model.
        if 'model="' in line and 'dataset="' in line:
            series, at = line.rsplit(" ", 1)
            # Two scrapes show each evaluation.
            lines += [f"{series} {float(at) + ahead + after:.3f}" for after in (5, 20)]
    scraped = tmp_path / "scraped.txt"
    scraped.write_text("\n".join(lines) + "\n")
    store.import_file(scraped)
    store.flush()
    assert verify(tmp_path, store.url) == 0
    assert "6 evaluations (0 imported, 6 scraped, 0 missing)" in capsys.readouterr().out
    # An import adds what the scrapes do not have, under the time of the exporter.
    store.import_file(exported(tmp_path, results)[0])
    store.flush()
    assert verify(tmp_path, store.url) == 0
    assert "(6 imported, 0 scraped, 0 missing)" in capsys.readouterr().out


def test_series_of_two_exporters_are_told_apart_by_labels(
    tmp_path: Path, store: VictoriaMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    file, samples = exported(tmp_path, write_history(tmp_path, 2))
    store.import_file(file)
    file.write_text(file.read_text().replace("exporter:9877", "other:9877"))
    store.import_file(file)
    store.flush()
    assert verify(tmp_path, store.url) == 0
    assert verify(tmp_path, store.url, labels={"job": "starlight"}) == 1
    assert f"{samples} samples compared: {samples} different" in capsys.readouterr().out
    assert verify(tmp_path, store.url, labels={"job": "another"}) == 1
    assert "run-1: not in the store\n2 evaluations (0 imported, 0 scraped, 2 missing)" in capsys.readouterr().out


def test_since_restricts_the_comparison(
    tmp_path: Path, store: VictoriaMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    results = write_history(tmp_path, 6)
    store.import_file(exported(tmp_path, results[4:])[0])
    store.flush()
    assert verify(tmp_path, store.url, "--since=25m") == 0
    assert "2 evaluations (2 imported" in capsys.readouterr().out
    assert verify(tmp_path, store.url, "--since=1s") == 2
    assert "no evaluations to compare" in capsys.readouterr().err


def test_unavailable_store_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_history(tmp_path, 1)
    assert verify(tmp_path, "http://127.0.0.1:1") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Prometheus is unavailable" in line


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[LongTermStack]:
    """A stack with two evaluations, of which the store has the first: it is stopped, and Prometheus sends again."""
    with LongTermStack(tmp_path, scrape_seconds=1) as stack:
        stack.exporter.wait_until(stack.evaluate, "accepted evaluation")
        wait_until(stack.is_complete, "first evaluation in the store", timeout=PATIENCE, interval=0.5)
        stack.store.stop()
        stack.exporter.wait_until(stack.evaluate, "accepted evaluation")
        wait_until(lambda: stack.evaluations() == 2, "second evaluation", timeout=PATIENCE, interval=0.5)
        wait_until(stack.retried, "samples sent again", timeout=PATIENCE, interval=0.5)
        yield stack


def final_counts(stack: LongTermStack) -> Counts:
    """Return the counts after Prometheus has sent everything that it can."""
    wait_until(stack.is_complete, "second evaluation in the store", timeout=PATIENCE, interval=0.5)
    stack.exporter.stop()
    wait_until(stack.is_sent, "all samples sent", timeout=PATIENCE, interval=0.5)
    return stack.counts(3_600)


@pytest.mark.slow
def test_refusing_store_receives_everything_after_its_return(waiting: LongTermStack) -> None:
    """Prometheus sends again with back-off, counts it, and loses nothing."""
    waiting.start("store")
    counts = final_counts(waiting)
    assert counts.history == 2
    assert counts.equal(), counts


@pytest.mark.slow
def test_prometheus_killed_with_waiting_samples_loses_no_evaluation(waiting: LongTermStack) -> None:
    """Only scrapes are missing in the store, and copied from Prometheus. Nothing is imported."""
    waiting.kill("prometheus")
    waiting.start("store")
    waiting.start("prometheus")
    counts = final_counts(waiting)
    assert counts.history == counts.prometheus == counts.store == 2
    assert counts.store_samples < counts.prometheus_samples
    waiting.copy_scrapes()
    counts = waiting.counts(3_600)
    assert counts.equal(), counts
    done = history(waiting, "verify", f"--prometheus={waiting.store.url}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("2 evaluations (0 imported, 2 scraped, 0 missing)")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_when_each_part_is_killed(tmp_path: Path) -> None:
    """`python -m benchmarks.long_term` with short intervals."""
    timing = Timing(duration=18, evaluation=3, scrape=1, outage=2)
    report = run(tmp_path, timing, backfill=False)
    assert report.exit_code == 0, report.verification
    assert report.after.history == report.after.store >= 4
    # Prometheus has no results of its own outage, which the store has by the import.
    assert report.after.prometheus_samples <= report.after.store_samples
    assert report.after.repeated_samples == 0
