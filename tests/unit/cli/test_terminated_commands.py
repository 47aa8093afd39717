"""SIGTERM interrupts a command as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.images import write_dataset
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "models" / "production" / "model.onnx"


@pytest.mark.slow
def test_terminated_evaluation_deletes_its_predictions(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    write_dataset(tmp_path / "images", clean=60, stego=30, negatives=10)
    script = "from starlight_exporter.cli.main import main; raise SystemExit(main())"
    words = [sys.executable, "-c", script, "evaluate", f"--model={MODEL}", f"--dataset={tmp_path / 'images'}"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as evaluating:
        wait_until(lambda: any(temporary.glob("starlight-predictions-*")), "predictions")
        evaluating.send_signal(signal.SIGTERM)
        evaluating.wait(timeout=120)
    assert evaluating.returncode == 130
    assert list(temporary.iterdir()) == []
