#!/usr/bin/env python3
"""Check a running `docker compose up`."""

from wrapper import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("stack.smoke_test"))
