"""SIGTERM interrupts a command as Ctrl-C does; what a killed command leaves behind is deleted by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from starlight_exporter.cli.main import main
from support.images import write_dataset
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "models" / "production" / "model.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_predictions_of_an_ended_evaluation_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    write_dataset(tmp_path / "images", clean=60, stego=30, negatives=10)
    script = "from starlight_exporter.cli.main import main; raise SystemExit(main())"
    words = [sys.executable, "-c", script, "evaluate", f"--model={MODEL}", f"--dataset={tmp_path / 'images'}"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as evaluating:
        wait_until(lambda: any(temporary.rglob("starlight-predictions-*")), "predictions")
        evaluating.send_signal(number)
        evaluating.wait(timeout=120)
    if number == signal.SIGKILL:
        assert any(temporary.rglob("starlight-predictions-*"))
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        # Any command, whatever its outcome.
        assert main(["evaluate", f"--model={tmp_path / 'missing'}", f"--dataset={tmp_path}"]) == 2
    else:
        assert evaluating.returncode == 130
    assert list(temporary.iterdir()) == []
