"""Prometheus configuration with the shipped rules and short intervals for a test exporter."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
EVALUATION_TIMEOUT = 480.0


def write_prometheus_config(folder: Path, exporter_port: int) -> Path:
    """Write the shipped configuration and rules with intervals of a few seconds and `for` durations of 1 s."""
    rules = folder / "rules"
    rules.mkdir()
    for file in (ROOT / "prometheus" / "rules").glob("*.yml"):
        text = re.sub(r"^(\s+(?:interval|for):) .*$", r"\1 1s", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (rules / file.name).write_text(text, encoding="utf-8")
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rules / "*.yml")]
    config["alerting"] = {}
    config["scrape_configs"] = [
        {
            "job_name": "starlight-exporter",
            "static_configs": [{"targets": [f"127.0.0.1:{exporter_port}"]}],
        }
    ]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return file
