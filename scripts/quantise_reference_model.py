#!/usr/bin/env python3
"""Quantise a reference model to eight bits."""

from wrapper import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("training.quantise_model"))
