"""No network access by an evaluation: neither lookups nor files of telemetry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.images import write_dataset
from support.models import write_random_model

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EVALUATION = "import sys; import starlight_exporter as s; s.evaluate(sys.argv[1], sys.argv[2], latency_sample=0)"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_evaluation_opens_no_connection_and_leaves_no_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    trace = tmp_path / "trace"
    model = write_random_model(tmp_path / "model.onnx")
    images = write_dataset(tmp_path / "images", clean=4, stego=0, negatives=0)
    environment = {
        name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY" and name[:4] != "XDG_"
    }
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [
            *("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace)),
            *(sys.executable, "-c", EVALUATION, str(model), str(images)),
        ],
        env=environment,
        check=True,
        timeout=240,
    )
    calls = [line for line in trace.read_text().splitlines() if "AF_INET" in line or "port=" in line]
    assert calls == []
    assert list(home.rglob("*")) == []
