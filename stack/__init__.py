"""Runs the whole stack as plain processes on loopback: exporter, Prometheus, Alertmanager, notification log."""
