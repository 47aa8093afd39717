#!/usr/bin/env python3
"""Run `starlight baseline record`."""

from wrapper import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("starlight_exporter.cli.baseline_record"))
