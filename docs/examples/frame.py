"""Print the detection rates of a stored history as a table.

.venv/bin/python -m pip install 'pandas>=2.2,<4'
.venv/bin/python docs/examples/frame.py data/history.jsonl
"""

import sys

import pandas as pd

import starlight_exporter as starlight


def main(history: str) -> None:
    """Print one row per evaluation, one column per method."""
    rates = pd.concat(evaluation.to_frame() for evaluation in starlight.read_history(history))
    detection = rates[rates["metric"] == "detection_rate"]
    print(detection.pivot_table(index=["finished_at", "model", "dataset"], columns="slice", values="rate"))


if __name__ == "__main__":
    main(*sys.argv[1:])
