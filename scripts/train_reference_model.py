#!/usr/bin/env python3
"""Train a reference model."""

from wrapper import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("training.train_model"))
