#!/usr/bin/env python3
"""Run the notification log, a webhook receiver for Alertmanager."""

from wrapper import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("stack.notification_log"))
