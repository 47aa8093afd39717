"""`--output` of a command: pipes, standard output, links, and failures that leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from starlight_exporter.cli import main as starlight
from starlight_exporter.publish.history import History
from support.config_files import VALID
from support.snapshots import full_evaluation
from support.waiting import wait_until

EVALUATIONS = 60
"""More text than a pipe holds."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose history has results."""
    folder = tmp_path_factory.mktemp("exporter")
    (folder / "starlight.yml").write_text(VALID)
    (folder / "data").mkdir()
    history = History(folder / "data" / "history.jsonl")
    for number in range(EVALUATIONS):
        history.append(full_evaluation(evaluation_id=f"run-{number}", finished_at=1_700_000_000.0 + number))
    history.close()
    return folder / "starlight.yml"


def command(config: Path, output: object) -> list[str]:
    return ["history", "export", f"--config.file={config}", f"--output={output}"]


def process(config: Path, output: object, stdout: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "starlight_exporter.cli.main", *command(config, output)]
    return subprocess.Popen(words, stdout=stdout, stderr=subprocess.PIPE, text=True)


def complete(text: str) -> bool:
    return text.startswith("# HELP") and text.endswith("# EOF\n")


def test_export_to_a_pipe(config: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text)
        assert starlight.main(command(config, pipe)) == 0
        assert complete(read.result(timeout=60))
    assert pipe.is_fifo()


def test_exported_samples_have_the_given_labels(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "history.om"
    given = ["--label", "job=team/images", "--label", "instance=host=a:9877"]
    assert starlight.main([*command(config, output), *given]) == 0
    samples = [line for line in output.read_text().splitlines() if not line.startswith("#")]
    assert samples
    assert all('job="team/images"' in line and 'instance="host=a:9877"' in line for line in samples)


@pytest.mark.parametrize("label", ["job", "job=", "=a", "__name__=up", "a-b=c"])
def test_invalid_label_is_a_usage_error(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str
) -> None:
    assert starlight.main([*command(config, tmp_path / "history.om"), "--label", label]) == 2
    assert capsys.readouterr().err.endswith(f"argument --label: expected NAME=VALUE, got {label!r}\n")
    assert not (tmp_path / "history.om").exists()


def test_export_to_standard_output(config: Path) -> None:
    with process(config, "/dev/stdout", subprocess.PIPE) as exporting:
        text, error = exporting.communicate(timeout=120)
    assert (exporting.returncode, complete(text)) == (0, True)
    assert error.startswith("/dev/stdout: ")


def test_closed_pipe_exits_with_141(config: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with process(config, "/dev/stdout", writer) as exporting:
        os.close(writer)
        assert exporting.communicate(timeout=120)[1] == ""
    assert exporting.returncode == 141


def test_export_through_a_link(config: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("history.om")
    assert starlight.main(command(config, tmp_path / "link")) == 0
    assert (tmp_path / "link").is_symlink()
    assert complete((tmp_path / "history.om").read_text())


def test_full_device_exits_with_2_and_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert starlight.main(command(config, "/dev/full")) == 2
    assert capsys.readouterr().err == (
        "starlight history export: /dev/full: cannot be written: No space left on device\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_export_leaves_the_previous_file(config: Path, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "history.om"
    output.write_text("previous")
    # The process stops itself at the first family, with the output open.
    script = (
        "import os, signal, sys, starlight_exporter.publish.backfill as backfill\n"
        "from starlight_exporter.cli.main import main\n"
        # Background processes of a shell ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "real = backfill.openmetrics_header\n"
        "def stopped(*header):\n"
        "    backfill.openmetrics_header = real; os.kill(os.getpid(), signal.SIGSTOP); return real(*header)\n"
        "backfill.openmetrics_header = stopped\n"
        "raise SystemExit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", script, *command(config, output)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as exporting:
        wait_until(lambda: state(exporting.pid) == "T", "the export stopped")
        exporting.send_signal(number)
        exporting.send_signal(signal.SIGCONT)
        exporting.wait(timeout=120)
    assert exporting.returncode == (130 if number == signal.SIGINT else -number)
    assert output.read_text() == "previous"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("before", [True, False])
def test_service_accepts_the_configuration_before_and_after_the_command(
    config: Path, tmp_path: Path, *, before: bool
) -> None:
    flag, words, output = f"--config.file={config}", ["history", "export"], tmp_path / "history.om"
    given = [flag, *words] if before else [*words, flag]
    service = [sys.executable, "-m", "starlight_exporter"]
    subprocess.run([*service, *given, "--output", str(output)], check=True, timeout=120)
    assert output.read_text().endswith("# EOF\n")


def state(pid: int) -> str:
    """Return the state of a process, from /proc."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
