"""Speed and memory, measured by hand; README.md holds the numbers. The benchmarks use the test support modules."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
